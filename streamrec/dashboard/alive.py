"""Is it alive? One sentence, and whether there is something to do."""

from typing import Any

from streamrec.dashboard.figures import RATE_S, Beats, number, per_second
from streamrec.dashboard.watch import Seen

BEHIND = 1000  # messages that wait
SILENT_S = 30.0


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
