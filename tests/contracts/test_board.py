"""Small facts that every process may read, in Redis and in the fake."""

import pytest

from streamrec.adapters.memory import MemoryBoard
from streamrec.events import Finding
from streamrec.metrics import Board


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.server)])
def board(request: pytest.FixtureRequest, prefix: str) -> Board:
    if request.param == "memory":
        return MemoryBoard()
    from streamrec.adapters.redis_store import RedisBoard

    return RedisBoard(request.getfixturevalue("redis_connection"), prefix)


def test_what_was_put_is_what_is_read(board: Board) -> None:
    assert board.get("x") is None
    for value in ({"dim": 384, "list": [1, None]}, "text", 0, False):
        board.put("x", value)
        assert board.get("x") == value


def test_a_message_is_read_back_as_plain_data(board: Board) -> None:
    board.put("x", Finding(detector="d", alarm=True, value=1.5, threshold=None, samples=2,
                           reference="r", current="c"))
    assert board.get("x")["alarm"] is True and board.get("x")["threshold"] is None


def test_counters_add_up_and_are_apart_from_values(board: Board) -> None:
    assert board.total("n") == 0
    board.count("n")
    board.count("n", 4)
    board.put("n", "a value")
    assert board.total("n") == 5 and board.get("n") == "a value"


def test_a_series_keeps_its_newest_values_in_order(board: Board) -> None:
    assert board.newest("s", 5) == []
    for i in range(7):
        board.append("s", {"i": i}, 4)
    assert board.newest("s", 9) == [{"i": i} for i in (3, 4, 5, 6)]
    assert board.newest("s", 2) == [{"i": 5}, {"i": 6}]
    assert board.get("s") is None
