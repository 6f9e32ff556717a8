"""The fitting child: JSON lines between two processes, and another child when one has died."""

import contextlib
import os
import sys

import pytest

from schedulers.child import ChildLearner, TrainingFailed

CHILD = """
import json, os, sys
for line in sys.stdin:
    order = json.loads(line)
    if order["why"] == "die": os._exit(9)
    print(json.dumps({"event": "progress", "rows": 5}), flush=True)
    error = {"error": "no luck"} if order["why"] == "fail" else {"token": order["token"]}
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


def test_a_child_that_died_is_replaced(learner: ChildLearner) -> None:
    with pytest.raises(TrainingFailed, match="died with 9"):
        learner.train(1, "die")
    learner.train(1, "rows")
    os.kill(learner.pid or 0, 9)
    with contextlib.suppress(TrainingFailed):  # unless it was seen to be dead in time
        learner.train(1, "rows")
    learner.train(1, "rows")
