"""Rows that the window dropped before anybody learned them are counted."""

from schedulers.learner import rows_lost
from streamrec.replay import Row, WindowRow

ROW = Row("e", "u", "a", "click", 1.0, [], [], 1.0, -1.0)


def window(**ordinals: list[int]) -> list[WindowRow]:
    return [WindowRow(int(p[1:]), n, ROW) for p, found in ordinals.items() for n in found]


def test_a_window_that_continues_the_cursor_lost_nothing() -> None:
    assert rows_lost(window(p0=[4, 5], p1=[1, 2]), {0: 3}) == 0
    assert rows_lost([], {0: 3}) == 0


def test_the_gap_after_the_cursor_was_lost() -> None:
    assert rows_lost(window(p0=[14, 15], p1=[3]), {0: 3}) == 10 + 2
