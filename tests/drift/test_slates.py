"""Slates, clicks and recommendations join in any order, and memory stays bounded."""

import itertools
import random

import pytest

from streamrec.drift.slates import EventTime, Neighbours, Outcome, Recent, Served, SlateOutcomes

ITEMS = ["a", "b", "c"]
RANKED = Served("v1", tuple(ITEMS), (3.0, 2.0, 1.0))
UNKNOWN, OTHER = Served("", tuple(ITEMS)), Served("", ("d", "e"))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_join_does_not_depend_on_order(order: tuple[int, ...]) -> None:
    slates = SlateOutcomes(30.0)
    steps = [
        lambda: slates.served("r", RANKED),
        lambda: slates.shown("u", "r", ["c", "b", "a"], 0.0),
        lambda: slates.clicked("u", "r", "b", [], 0.0),
    ]
    for i in order:
        steps[i]()
    assert slates.expire(29.9) == []
    assert slates.expire(30.0) == [Outcome(True, [2], RANKED, "u")]
    assert slates.expire(99.0) == []


def test_an_ignored_slate_and_a_second_click() -> None:
    slates = SlateOutcomes(30.0)
    for r in ("r1", "r2"):
        slates.served(r, RANKED)
        slates.shown("u", r, ITEMS, 0.0)
    for item in ("c", "a", "a"):
        slates.clicked("u", "r2", item, [], 1.0)
    assert slates.expire(30.0) == [Outcome(False, [], RANKED, "u"), Outcome(True, [3, 1], RANKED, "u")]


def test_an_unknown_recommendation_tells_nothing() -> None:
    slates = SlateOutcomes(30.0)
    slates.shown("u", "frozen-1", ITEMS, 0.0)
    slates.clicked("u", "frozen-1", "a", ITEMS, 0.0)
    assert slates.expire(100.0) == []


def test_without_a_recommendation_the_own_slate_gives_the_rank() -> None:
    slates = SlateOutcomes(30.0)
    slates.shown("u", None, ITEMS, 0.0)
    slates.clicked("u", None, "c", [], 1.0)
    slates.shown("u", None, ["d", "e"], 2.0)  # the reader's next slate ends the last
    assert slates.expire(2.0) == [Outcome(True, [3], UNKNOWN, "u")]
    slates.clicked("v", None, "b", ITEMS, 2.0)
    slates.clicked("v", None, "e", ["d", "e"], 3.0)
    assert slates.expire(40.0) == [
        Outcome(None, [2], UNKNOWN, "v"), Outcome(False, [], OTHER, "u"), Outcome(None, [2], OTHER, "v"),
    ]


def test_memory_is_bounded() -> None:
    slates = SlateOutcomes(1e9, most=100)
    for i in range(5000):
        slates.served(f"r{i}", RANKED)
        slates.shown("u", f"r{i}", ITEMS, float(i))
    assert len(slates) == 200
    recent: Recent[int, None] = Recent(2)
    assert [recent.put(k, None) for k in (1, 2, 1, 3, 2)] == [True, True, False, True, True]
    assert list(recent) == [3, 2]


def test_one_wrong_clock_does_not_move_event_time() -> None:
    time = EventTime()
    time.tick(86_400.0)  # the very first event comes from the future
    nows = [time.tick(86_400.0 if i % 5 == 0 else float(i)) for i in range(200)]
    assert max(nows[2:]) < 200 and nows[-1] > 150


def test_event_time_runs_at_most_a_minute_ahead_of_wall_time() -> None:
    time = EventTime()
    for _ in range(40):
        assert time.tick(86_400.0, 1000.0) <= 1060.0
    assert [time.tick(1100.0 + n, 1100.0 + n) for n in range(40)][-1] > 1100.0, "and goes on at once"


def test_event_time_is_taken_back_once_all_that_comes_is_far_behind_it() -> None:
    """A log of another year is replayed: its slates must not wait for the present to come again."""
    time = EventTime()
    for n in range(100):
        time.tick(1e9 + n)
    nows = [time.tick(5e8 + n) for n in range(1000)]
    assert nows[100] > 9e8 and nows[-1] < 5e8 + 1000


def test_event_time_goes_on_with_wall_time_where_most_clocks_are_put_back_by_hours() -> None:
    time = EventTime()
    for n in range(100):
        time.tick(1e9 + n, 1e9 + n)
    stood = time.now
    for n in range(100, 1000):
        now = time.tick(1e9 + n - 7200, 1e9 + n)
    assert stood + 800 < now <= 1e9 + 1000
    assert [time.tick(1e9 + n, 1e9 + n) for n in range(1000, 1040)][-1] > 1e9 + 1000, "and back at once"


def test_time_that_was_taken_back_holds_no_slate_up_behind_another() -> None:
    slates = SlateOutcomes(30.0)
    for n in range(50):
        slates.served(f"r{n}", RANKED)
        slates.shown("u", f"r{n}", ITEMS, 1e9 + n)
    assert slates.expire(5e8) == []
    assert len(slates.expire(5e8 + 30)) == 50


def test_events_far_apart_in_order_are_not_astray_and_one_out_of_order_is() -> None:
    clock, rng, at = Neighbours(), random.Random(1), 1e9
    found = []
    for i in range(300):
        at += rng.expovariate(1 / 1800)  # two an hour, and nights without any
        at += 8 * 3600.0 * (i % 40 == 0)
        found.append(clock.astray(at))
    assert found[:30] == [None] * 30 and set(found[30:]) == {0.0}
    for ts in (at - 86_400.0, *(at + n for n in range(15))):
        last = clock.astray(ts)
    assert last is not None and last > 3600.0


def test_a_slate_that_a_clock_ahead_opened_holds_up_no_other() -> None:
    slates = SlateOutcomes(30.0)
    for n, now in enumerate((43_200.0, 10.0, 20.0)):
        slates.served(f"r{n}", RANKED)
        slates.shown("u", f"r{n}", ITEMS, now)
    assert slates.expire(30.0) == []
    told = [outcome for now in (50.0, 60.0, 70.0) for outcome in slates.expire(now)]
    assert told == [Outcome(False, [], RANKED, "u")] * 3
