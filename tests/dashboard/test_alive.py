"""Is it alive? What is old is not told as what is, and blames nobody else."""

import time
from typing import Any

from streamrec.dashboard.alive import SILENT_S, alive, fresh, silence
from streamrec.dashboard.watch import NOT_YET, STALE_S, Seen

NOW = 1000.0
FRESH: Seen[Any] = Seen({"feedback/0": 3}, time.monotonic() + 600)
OLD: Seen[Any] = Seen({"feedback/0": 3}, time.monotonic() - STALE_S - 1, "away")


def beats(until: float = NOW, **counts: int) -> list[dict[str, Any]]:
    return [{"at": until - 2 * n, **counts} for n in range(60)][::-1]


def test_while_a_server_is_away_nothing_is_known_whatever_was_seen_last() -> None:
    busy, silent = beats(events=5, answers=5), beats(NOW - 90, events=5)
    for seen in (busy, silent, []):
        assert alive(OLD, FRESH, seen, NOW) == (False, "Not known: Redis is away.")
        assert alive(FRESH, OLD, seen, NOW) == (False, "Not known: Kafka is away.")
        assert alive(OLD, OLD, seen, NOW) == (False, "Not known: Redis and Kafka are away.")


def test_before_the_first_answer_nothing_is_wrong() -> None:
    assert alive(Seen({}, None, NOT_YET), FRESH, [], NOW) == (None, "Not known yet.")
    assert alive(Seen({}, None, "Redis refuses"), FRESH, [], NOW)[1] == "Not known: Redis is away."


def test_yes_needs_events_and_lists() -> None:
    assert alive(FRESH, FRESH, beats(events=5, answers=5), NOW) == (
        True, "Yes: events are taken and lists are made.")
    good, told = alive(FRESH, FRESH, beats(), NOW)
    assert good is None and told.startswith("Nothing arrives: no event in the last minute")
    good, told = alive(FRESH, FRESH, beats(events=5), NOW)
    assert good is None and "no list was made in the last minute" in told


def test_the_monitor_and_the_lag_are_blamed_where_both_servers_answer() -> None:
    good, told = alive(FRESH, FRESH, beats(NOW - 90, events=5, answers=5), NOW)
    assert good is False and "streamrec monitor" in told
    behind: Seen[Any] = Seen({"feedback/0": 600, "feedback/1": 600}, FRESH.at)
    good, told = alive(FRESH, behind, beats(events=5, answers=5), NOW)
    assert good is False and told.startswith("1,200 messages wait")


def test_a_monitor_that_is_gone_is_told_with_how_long_ago_it_spoke() -> None:
    def told(until: float, read_s_ago: float = 0.0) -> str:
        return silence(Seen(beats(until), time.monotonic() - read_s_ago), NOW)

    assert told(NOW) == told(NOW - SILENT_S) == ""
    assert told(NOW - 90) == "Not known now: the monitor last spoke 1.5 min ago."
    assert silence(Seen([], None, NOT_YET), NOW) == "", "it may not have begun"


def test_while_redis_is_away_no_silence_is_the_monitors() -> None:
    assert silence(Seen(beats(NOW - 90), time.monotonic() - 85, "away"), NOW) == ""
    assert silence(Seen(beats(NOW - 90), time.monotonic() - 20, "away"), NOW) != ""


def test_lists_are_not_said_to_be_fresh_while_the_monitor_says_nothing() -> None:
    facts, silent = {"model": {"version": "3"}}, "Not known now: the monitor last spoke 1.5 min ago."
    assert fresh(facts, (47, 90), 5.0) == (True, "Yes.")
    assert fresh(facts, None, 5.0, silent) == fresh({}, None, None, silent) == (None, silent)
    assert fresh(facts, (47, 5_000), 5.0)[0] is False
    good, told = fresh(facts, None, 7200.0, silent)
    assert good is False and "The model is 2.0 h old" in told, "that is known without the monitor"
    assert fresh({}, (47, 5_000), None) == (
        True, "No model has been trained yet: lists are made of popularity and text.")
    refused = {"serving": "3", "serving_refused": {"version": "4", "why": "bad"}}
    assert fresh(facts | refused, (47, 90), 5.0, silent)[0] is False
