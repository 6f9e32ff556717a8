"""Ctrl-C, a mistake or the death of one unit end `streamrec evaluate` at once, without a traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from small_log import rows, write

from tests.e2e.harness import clean_env, wait_until

pytestmark = pytest.mark.timeout(180)
PLACE = "test_interrupts:Theirs"


class Theirs:
    """An outside system that is in the middle of something for long, breaks, or dies."""

    def __init__(self, folder: Path) -> None:
        self._does, self._asked = os.environ["THEIRS_DOES"], Path(os.environ["THEIRS_ASKED"])

    def observe(self, event):
        pass

    def recommend(self, user, t, n):
        self._asked.touch()
        if self._does == "sleep":
            time.sleep(600)
        if self._does == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyError("theirs")


def heeding() -> None:
    """What a shell starts in the background ignores interrupts, and all that it starts does, too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def evaluating(tmp_path):
    """Starts an evaluation in which `Theirs` does something; the process, and whether it was asked yet."""
    folder, started = write(tmp_path / "log", *rows(events=200)), []

    def start(does: str, arms: str):
        asked = tmp_path / "asked"
        env = clean_env(STREAMREC_HOME=str(tmp_path / "home")) | {
            "THEIRS_DOES": does, "THEIRS_ASKED": str(asked),
            "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parent, Path.cwd())))}
        started.append(subprocess.Popen(
            [sys.executable, "-m", "streamrec", "evaluate", str(folder), "--arms", arms, "--windows", "3",
             "--sample", "20", "--outside", f"theirs={PLACE}", "--outside", f"again={PLACE}"],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            preexec_fn=heeding))
        return started[0], asked.exists

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("whom", [os.kill, os.killpg])
def test_an_interrupt_ends_a_long_unit_and_leaves_no_process(evaluating, whom):
    process, asked = evaluating("sleep", "theirs,again")
    wait_until(asked, 120, "the outside system is asked")
    children = psutil.Process(process.pid).children(recursive=True)
    at = time.monotonic()
    whom(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=30)
    assert time.monotonic() - at < 10 and process.returncode not in (0, None)
    assert "Traceback" not in out + said, said
    assert children and not psutil.wait_procs(children, 5)[1]


@pytest.mark.parametrize(("does", "why"), [
    ("break", "the arm theirs made a mistake in recommend(): KeyError: \'theirs\'"),
    ("die", "a run ended without a word, exit code -9"),
])
def test_a_mistake_is_one_sentence_and_the_finished_arms_are_kept(evaluating, tmp_path, does, why):
    process, _ = evaluating(does, "newest,theirs,again")
    out, said = process.communicate(timeout=150)
    assert process.returncode == 2 and f"streamrec: {why}" in said and "Traceback" not in out + said, said
    assert list((tmp_path / "home" / "evaluations").glob("*/newest-*.json.gz"))
