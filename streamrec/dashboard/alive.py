"""Is it alive, is it fresh? One sentence, and whether there is something to do."""

from collections.abc import Mapping
from typing import Any

from streamrec.dashboard.figures import RATE_S, Beats, age, number, per_second, serves
from streamrec.dashboard.watch import Seen

BEHIND = 1000  # messages that wait
SILENT_S = 30.0
OLD_S, SLOW_MS = 3600.0, 1000  # a model's age, a click's way to a list


def alive(redis: Seen[Any], kafka: Seen[dict[str, int]], beats: Beats, now: float) -> tuple[bool | None, str]:
    """Whether it is (None: neither good nor bad) and why. What is old comes first: it would only say what
    once was so, and blame the wrong process."""
    away = [name for name, seen in (("Redis", redis), ("Kafka", kafka)) if seen.stale]
    lag = sum(kafka.value.values())
    if any(seen.new for seen in (redis, kafka)):
        return None, "Not known yet."
    if away:
        return False, f"Not known: {' and '.join(away)} {'is' if len(away) == 1 else 'are'} away."
    if not beats or now - beats[-1]["at"] > SILENT_S:
        return False, "The monitor says nothing: is `streamrec monitor` running?"
    if lag > BEHIND:
        return False, f"{number(lag)} messages wait: see the lag in `streamrec status`."
    return _moving(beats)


def _moving(beats: Beats) -> tuple[bool | None, str]:
    if beats[-1]["at"] - beats[0]["at"] < RATE_S / 2 and not any(b.get("events") for b in beats):
        return None, "Not known yet."
    events, answers = (per_second(beats, name, RATE_S) for name in ("events", "answers"))
    if not events:
        also = "lists are made." if answers else "no list was asked for."
        return None, f"Nothing arrives: no event in the last minute; {also}"
    if not answers:
        return None, ("Events are taken, but no list was made in the last minute: is `streamrec score` "
                      "running?")
    return True, "Yes: events are taken and lists are made."


def silence(pulse: Seen[list[dict[str, Any]]], now: float) -> str:
    """Why what beats say is not known at `now`, or nothing. Judged as of when they were read: while Redis is
    away, nobody can tell whether the monitor speaks."""
    if not pulse.value:
        return ""
    for_s = now - pulse.value[-1]["at"]
    silent = for_s - (pulse.age_s or 0.0) > SILENT_S
    return f"Not known now: the monitor last spoke {age(for_s)} ago." if silent else ""


def fresh(
    facts: Mapping[str, Any], delays: tuple[int, int] | None, model_age: float | None, silent: str = ""
) -> tuple[bool | None, str]:
    """Whether lists know of clicks and the model of reads (s); `silent`: why `delays` (ms) are not known.
    What is wrong comes first, as it is known without the monitor, too."""
    trained = facts.get("model", {}).get("version")
    if facts.get("serving_refused"):
        return serves(facts)
    if trained and delays and delays[1] > SLOW_MS:
        return False, "Lists know of a click only after a second: see the scorer's load."
    if trained and (model_age or 0) > OLD_S:
        return False, f"The model is {age(model_age)} old: does the gate refuse, or is nothing new?"
    if silent:
        return None, silent
    return True, "Yes." if trained else \
        "No model has been trained yet: lists are made of popularity and text."
