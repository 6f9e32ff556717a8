"""Whose turn it is: light wishes do not wait behind heavy ones, and heavy ones do not wait for ever."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from consumers.serving import BATCH, Wish
from streamrec.scoring import Ask
from streamrec.web import line
from streamrec.web.line import MOST, Line, cost


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(line, "time", clock)
    return clock


def join(to: Line, loop: asyncio.AbstractEventLoop, user: str, n: int, explain: bool = False) -> Any:
    future = loop.create_future()
    to.join(Wish(Ask(user, n, explain=explain), user), future)
    return future


def users(batch: Any) -> list[str]:
    return [w.wish.ask.user for w in batch]


def test_a_light_wish_is_answered_before_heavy_ones_that_came_first(loop: Any, clock: Any) -> None:
    waiting = Line()
    for k in range(BATCH):
        join(waiting, loop, f"heavy{k}", 500, explain=True)
    clock.now = 0.5
    join(waiting, loop, "light", 10)
    assert users(waiting.batch(0.0)) == ["light"]
    assert users(waiting.batch(0.0)) == ["heavy0"]


def test_a_batch_is_bounded_by_what_it_costs(loop: Any, clock: Any) -> None:
    waiting = Line()
    for k in range(200):
        join(waiting, loop, f"u{k}", 1 + 37 * k % 500, explain=k % 3 == 0)
    seen = list[str]()
    while batch := waiting.batch(0.0):
        assert len(batch) == 1 or sum(cost(w.wish) for w in batch) <= MOST
        seen += users(batch)
    assert sorted(seen) == sorted(f"u{k}" for k in range(200))


def test_many_light_wishes_are_one_batch(loop: Any, clock: Any) -> None:
    waiting = Line()
    for k in range(BATCH + 5):
        join(waiting, loop, f"u{k}", 10)
    assert users(waiting.batch(0.0)) == [f"u{k}" for k in range(BATCH)]
    assert len(waiting.batch(0.0)) == 5


def test_a_heavy_wish_has_its_turn_however_many_light_ones_come(loop: Any, clock: Any) -> None:
    waiting, turns = Line(), 0
    join(waiting, loop, "heavy", 500, explain=True)
    while turns < 100:
        clock.now += 0.05
        for k in range(BATCH):
            join(waiting, loop, f"light{k}", 10)
        if "heavy" in users(waiting.batch(0.0)):
            break
        turns += 1
    assert 5 < turns < 50


def test_who_has_given_up_is_answered_no_more(loop: Any, clock: Any) -> None:
    waiting = Line()
    first, _, last = (join(waiting, loop, f"u{k}", 500, explain=True) for k in range(3))
    assert users(waiting.batch(0.0)) == ["u0"] and not first.done()
    last.cancel()
    assert users(waiting.batch(0.0)) == ["u1"] and waiting.batch(0.0) == []
