"""What the command line says when something is not as it should be: one sentence, an exit code."""

import json
import signal
from collections.abc import Iterator

import psutil
import pytest

from streamrec.adapters.embedded.ports import free_port
from tests.e2e.harness import Stack, wait_until

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


@pytest.fixture
def nowhere(stack: Stack) -> Iterator[Stack]:
    """A stack whose commands are sent to ports where nothing listens."""
    env = dict(stack.env)
    stack.env["STREAMREC_KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{free_port()}"
    stack.env["STREAMREC_REDIS__URL"] = f"redis://127.0.0.1:{free_port()}/0"
    yield stack
    stack.env = env


def one_sentence(text: str) -> None:
    assert len(text.strip().splitlines()) == 1 and text.startswith("streamrec: "), text
    assert "Traceback" not in text


@pytest.mark.parametrize("process", ["collect", "score", "train"])
def test_a_process_without_servers_says_so_in_one_line_of_its_log(nowhere: Stack, process: str) -> None:
    done = nowhere.run(process)
    assert done.returncode == 2
    why = why_ended(done.stderr, process)
    assert "does not answer" in why and "STREAMREC_" in why


def why_ended(log: str, process: str) -> str:
    """What the one line says: JSON, as all that a process logs."""
    (line,) = map(json.loads, log.splitlines())
    assert (line["event"], line["level"], line["process"]) == ("ended", "critical", process)
    return str(line["why"])


def test_a_process_with_no_address_says_where_one_comes_from(nowhere: Stack) -> None:
    del nowhere.env["STREAMREC_KAFKA__BOOTSTRAP_SERVERS"], nowhere.env["STREAMREC_REDIS__URL"]
    done = nowhere.run("collect")
    assert done.returncode == 2
    assert "streamrec up" in why_ended(done.stderr, "collect")


def test_settings_that_a_process_cannot_read_are_told_in_its_log_too(nowhere: Stack) -> None:
    nowhere.env["STREAMREC_LOG_LEVEL"] = "verbose"
    done = nowhere.run("collect")
    assert done.returncode == 2 and "STREAMREC_LOG_LEVEL" in why_ended(done.stderr, "collect")


def test_status_with_nothing_up_exits_with_3(nowhere: Stack) -> None:
    done = nowhere.run("status")
    assert done.returncode == 3
    one_sentence(done.stderr)
    assert not done.stdout


def test_up_ends_at_once_where_no_process_could_reach_its_redis(stack: Stack, monkeypatch) -> None:
    monkeypatch.setitem(stack.env, "STREAMREC_REDIS__URL", f"redis://127.0.0.1:{free_port()}/0")
    done = stack.run("up")
    assert done.returncode == 2
    one_sentence(done.stderr.splitlines()[-1])
    assert "Redis at" in done.stderr and "topics ready" not in done.stderr


def test_a_second_up_is_refused_a_killed_process_started_again_and_nothing_outlives_up(
    stack: Stack,
) -> None:
    up = stack.start("up")
    wait_until(lambda: "up; `streamrec status`" in up.log, 60, "up is up")
    second = stack.run("up")
    assert second.returncode == 2
    one_sentence(second.stderr)
    assert f"pid {up.pid}" in second.stderr

    killed = process(up.pid, "collect")
    killed.send_signal(signal.SIGKILL)
    again = wait_until(lambda: process(up.pid, "collect", killed.pid), 20, "it is started again")
    assert again.pid != killed.pid

    everything = up.children()
    up.kill()
    _, alive = psutil.wait_procs(everything, timeout=20)
    assert not alive, "nothing outlives `up`, however it ends"


def process(parent: int, name: str, but: int = 0) -> psutil.Process | None:
    """The process of that name under `up`."""
    for p in psutil.Process(parent).children(recursive=True):
        try:
            if p.pid != but and p.cmdline()[-3:] == ["-m", "streamrec", name] and guarded(p):
                return p
        except psutil.Error:
            pass
    return None


def guarded(p: psutil.Process) -> bool:
    """Not the guard itself, whose command line ends like its server's."""
    return "-c" not in p.cmdline()[:4]

