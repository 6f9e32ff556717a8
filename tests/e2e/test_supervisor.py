"""`up` on a bad day: full disks, a lock that is held, a server that comes back on another port."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from streamrec import config
from streamrec.adapters.embedded.redis import EmbeddedRedis
from streamrec.adapters.kafka import KafkaBroker
from streamrec.errors import AlreadyRunning, ServerRefused, ServerUnreachable, SetupError
from streamrec.supervisor import Child, Supervisor
from tests.e2e.harness import clean_env, wait_until

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
Make = Callable[..., Supervisor]


@pytest.fixture
def make(kafka_server: str, redis_server: str, prefix: str, home: Path) -> Iterator[Make]:
    """Supervisors of no process on the session's servers, stopped at the end."""
    made: list[Supervisor] = []

    def supervisor(folder: Path = home, redis: str = redis_server, **more: object) -> Supervisor:
        settings = config.Settings(
            home=folder, redis=config.Redis(url=redis),  # type: ignore[arg-type]
            kafka=config.Kafka(bootstrap_servers=kafka_server, topic_prefix=prefix),
        )
        made.append(Supervisor(settings, print, **{"processes": (), **more}))  # type: ignore[arg-type]
        return made[-1]

    yield supervisor
    for one in made:
        one.stop()


@contextmanager
def tiny(folder: Path, size: str) -> Iterator[None]:
    """A file system of that size in `folder`, where we may mount one."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
                          capture_output=True)
    if done.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("filled", [True, False], ids=["for the lock", "for up.json"])
def test_a_full_disk_is_one_sentence(make: Make, home: Path, filled: bool) -> None:
    with tiny(home, "4k"):
        if filled:
            (home / "junk").write_bytes(b"x" * 4096)
        up = make()
        with pytest.raises(SetupError, match="is full: free some space") as caught:
            up.start()
        assert "\n" not in str(caught.value)
        up.stop()


def test_a_process_that_cannot_be_started_is_tried_again(home: Path) -> None:
    (home / "file").touch()
    child = Child("collect", {}, home / "file")
    for now in (10.0, 11.0, 13.0):
        with pytest.raises(SetupError, match="Cannot use"):
            child.tend(now)
        assert child.tend(now + 0.5) is None, "after a pause"


def ended(child: Child, at: float) -> str:
    """What is said of its next end."""
    said = child.tend(at)
    end = time.monotonic() + 30
    while not said and time.monotonic() < end:
        time.sleep(0.05)
        said = child.tend(at)
    assert said
    return said


def test_what_a_process_died_of_is_printed_and_still_in_its_log_after_the_next_starts(home: Path) -> None:
    child = Child("collect", clean_env(), home)
    child._command[1:] = ["-c", "raise SystemExit('the first cause')"]
    assert "collect ended with 1 (the first cause); " in ended(child, 10.0)
    child._command[2] = "import os; print('{\"event\": \"stopping\", \"why\": \"no Redis\"}'); os._exit(3)"
    child._command.insert(1, "-u")
    child.tend(12.0)
    assert "ended with 3 (stopping: no Redis)" in ended(child, 12.0)
    child._command[-1] = "import os; os._exit(4)"
    child.tend(15.0)
    assert "ended with 4 (it said nothing)" in ended(child, 15.0)
    assert "the first cause" in (home / "collect.log").read_text()


def test_a_process_whose_guard_was_killed_comes_back_on_its_own_port(home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = Child("web", clean_env(), home)
    child._command[1:] = ["-c", "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', "
                          f"{port})); s.listen(); print('bound', flush=True); time.sleep(600)"]
    child.tend(10.0)
    log = home / "web.log"
    wait_until(lambda: log.read_text().count("bound") == 1, 10, "it listens")
    first = child.pid
    os.kill(psutil.Process(first).ppid(), signal.SIGKILL)
    assert "web ended with -9" in ended(child, 11.0)
    child.tend(20.0)
    wait_until(lambda: log.read_text().count("bound") == 2, 10, "it listens again")
    assert child.pid != first and child.tend(21.0) is None
    child.stop()


def test_a_log_does_not_grow_for_ever(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrec.supervisor.child.LOG_BYTES", 5)
    child = Child("collect", clean_env(), home)
    child._command[1:] = ["-c", "raise SystemExit('long')"]
    ended(child, 10.0)
    child._command[2] = "raise SystemExit('new')"
    child.tend(12.0)
    assert "(new)" in ended(child, 12.0) and (home / "collect.log.1").read_text() == "long\n"


def test_tending_goes_on_when_one_process_cannot_be_started(make: Make, home: Path) -> None:
    up = make()
    up.start()
    up.children = [Child("collect", {}, home / "up.json"), Child("catalogue", dict(os.environ), home)]
    up.tend()
    assert up.children[1].pid


def test_a_redis_that_no_process_could_use_ends_it_before_anything_is_made(
    make: Make, home: Path, kafka_broker: KafkaBroker, prefix: str
) -> None:
    unsafe = EmbeddedRedis(home / "unsafe", extra=("--appendonly", "no"))
    unsafe.start()
    for url, kind in (("redis://127.0.0.1:1/0", ServerUnreachable), (unsafe.url, ServerRefused)):
        with pytest.raises(kind, match="STREAMREC_REDIS__") as caught:
            make(redis=url).start()
        assert "\n" not in str(caught.value) and not (home / "up.json").exists()
    unsafe.kill()
    assert not [topic for topic in kafka_broker.topics() if topic.startswith(prefix)]


def test_a_second_up_names_the_first_even_while_that_one_still_starts(make: Make, home: Path) -> None:
    first = make()
    first._own_home()
    assert not (home / "up.json").exists()
    with pytest.raises(AlreadyRunning, match=f"as pid {os.getpid()}:"):
        make().start()


def test_a_home_is_emptied_only_by_who_owns_it(make: Make, home: Path) -> None:
    (home / "emptied-at-each-start").touch()
    (home / "models").mkdir()
    (home / "models" / "old").touch()
    first = make(fresh=True)
    first._own_home()
    with pytest.raises(AlreadyRunning):
        make(fresh=True).start()
    assert (home / "models" / "old").exists()
    first.stop()
    make(fresh=True).start()
    assert not (home / "models").exists() and (home / "up.json").exists()


def test_a_server_back_on_another_port_is_followed(
    make: Make, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    up = make(redis="", processes=("collect",))
    before = up.start().redis.url.get_secret_value()
    first = wait_until(lambda: up.children[0].pid, 10, "the process runs")
    up.servers["redis"].kill()
    taken = taking(int(before.rpartition(":")[2].partition("/")[0]))
    up.tend()
    taken.close()
    assert "redis ended with 137; starting it again" in capsys.readouterr().out
    after = up.settings.redis.url.get_secret_value()
    assert after != before
    assert json.loads((home / "up.json").read_text())["redis"] == after
    again = up.children[0].pid
    assert again and again != first and not psutil.pid_exists(first)
    assert psutil.Process(again).environ()["STREAMREC_REDIS__URL"] == after


def taking(port: int) -> socket.socket:
    """A listener on that port, as soon as it is free."""
    taken, end = socket.socket(), time.monotonic() + 10
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    while True:
        try:
            taken.bind(("127.0.0.1", port))
            taken.listen(1)
            return taken
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
