"""Work behind the loop's back: in order, owed until it is done, never past what failed."""

import threading
from collections.abc import Callable

import pytest

from consumers.pipeline import Pipeline
from streamrec.errors import Fenced, RetryLater


class Server:
    """Takes numbers; raises what `trouble` holds for one, once."""

    def __init__(self, **trouble: Exception) -> None:
        self.trouble = {int(n[1:]): error for n, error in trouble.items()}
        self.taken: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, n: int) -> None:
        self.gate.wait(10)
        if n in self.trouble:
            raise self.trouble.pop(n)
        self.taken.append(n)


def trying(action: Callable[[], None], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        action()


def test_items_are_worked_through_in_order_while_the_owner_goes_on() -> None:
    server = Server()
    server.gate.clear()
    pipeline = Pipeline(server, 4)
    for n in range(3):
        pipeline.put(n)  # returns, though none is done
    assert server.taken == []
    server.gate.set()
    pipeline.settle()
    assert server.taken == [0, 1, 2]


def test_what_comes_behind_a_failure_waits_for_it() -> None:
    pipeline = Pipeline(server := Server(n1=RetryLater("away")), 4)
    for n in range(3):
        pipeline.put(n)
    trying(pipeline.settle, RetryLater)
    assert server.taken == [0]
    pipeline.settle()
    assert server.taken == [0, 1, 2]


def test_a_put_that_raises_has_not_taken_its_item() -> None:
    pipeline = Pipeline(server := Server(n0=RetryLater("away")), 1)
    pipeline.put(0)
    trying(lambda: pipeline.put(1), RetryLater)
    pipeline.put(1)
    pipeline.settle()
    assert server.taken == [0, 1]


def test_what_is_fenced_is_dropped_with_all_behind_it() -> None:
    pipeline = Pipeline(server := Server(n1=Fenced("another owner")), 4)
    for n in range(3):
        pipeline.put(n)
    trying(pipeline.settle, Fenced)
    pipeline.put(3)
    pipeline.settle()
    assert server.taken == [0, 3]
