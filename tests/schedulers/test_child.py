"""The fitting child: JSON lines between two processes, and another child when one has died."""

import contextlib
import os
import subprocess
import sys

import pytest

from schedulers.child import ChildLearner, NotYet, TrainingFailed

CHILD = """
import json, os, sys
for line in sys.stdin:
    order = json.loads(line)
    if order["why"] == "die": os._exit(9)
    if order["why"] == "babble": print("[] 3 % done", flush=True)
    print(json.dumps({"event": "progress", "rows": 5}), flush=True)
    error = {"error": "no luck"} if order["why"] == "fail" else {"token": order["token"]}
    if order["why"] == "wait": error = {"error": "no articles", "later": True}
    print(json.dumps({"event": "done", **error}), flush=True)
"""


@pytest.fixture
def learner():
    learner = ChildLearner([sys.executable, "-c", CHILD])
    yield learner
    learner.close()


def test_one_child_does_one_increment_after_another(learner: ChildLearner) -> None:
    learner.train(1, "rows")
    pid = learner.pid
    learner.train(2, "time")
    assert learner.pid == pid is not None


def test_what_the_child_could_not_do_is_an_error_and_it_lives_on(learner: ChildLearner) -> None:
    with pytest.raises(TrainingFailed, match="no luck"):
        learner.train(1, "fail")
    learner.train(1, "rows")


def test_what_the_child_waits_for_is_no_failure(learner: ChildLearner) -> None:
    with pytest.raises(NotYet, match="no articles"):
        learner.train(1, "wait")
    learner.train(1, "rows")


def test_a_child_that_died_is_replaced(learner: ChildLearner) -> None:
    with pytest.raises(TrainingFailed, match="died with 9"):
        learner.train(1, "die")
    learner.train(1, "rows")
    os.kill(learner.pid or 0, 9)
    with contextlib.suppress(TrainingFailed):  # unless it was seen to be dead in time
        learner.train(1, "rows")
    learner.train(1, "rows")


def test_a_child_that_says_something_else_is_replaced(learner: ChildLearner) -> None:
    learner.train(1, "rows")
    pid = learner.pid
    with pytest.raises(TrainingFailed, match="not understood"):
        learner.train(1, "babble")
    learner.train(2, "rows")
    assert learner.pid != pid


def test_once_closed_it_starts_no_child(learner: ChildLearner) -> None:
    learner.close()
    with pytest.raises(TrainingFailed, match="stops"):
        learner.train(1, "rows")
    assert learner.pid is None


REAL = """
import os
from schedulers.child import orders, take_stdout
say, incoming = take_stdout(), orders()
for order in incoming:
    print("a library says hello")
    os.write(1, b"and one in C too\\n")
    if order["why"] == "hang":
        import time
        time.sleep(60)
    say("done", {"token": order["token"]})
"""


def test_what_libraries_print_is_not_taken_for_an_answer() -> None:
    learner = ChildLearner([sys.executable, "-c", REAL])
    learner.train(1, "rows")
    pid = learner.pid
    learner.train(2, "rows")
    assert learner.pid == pid
    learner.close()


def test_a_child_in_mid_fit_ends_when_its_parent_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", REAL], stdin=subprocess.PIPE, text=True)
    assert child.stdin
    child.stdin.write('{"token": 1, "why": "hang"}\n')
    child.stdin.close()
    assert child.wait(20) == 0
