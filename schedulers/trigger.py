"""When to train: a pure decision; time is an argument."""

from collections.abc import Sequence

from streamrec.clock import due
from streamrec.config import Trainer
from streamrec.registry import Pointer
from streamrec.replay import Cursor

DAY_S = 86_400.0


def waiting(made: Cursor, learned: Cursor) -> int:
    """Rows made and not yet taken by an increment."""
    return sum(max(0, n - learned.get(p, 0)) for p, n in made.items())


def why_train(
    now: float, rows: int, pointer: Pointer, started_at: float, s: Trainer, alarm: bool = False
) -> str | None:
    """The trigger that fired, or None. N new rows, or T seconds with at least the minimum, or at once
    with the minimum after an alarm of drift.

    Rows held out by the last gate wait for the next increment, so they count only together
    with what is new.
    """
    if rows >= max(s.trigger_rows, s.min_rows):
        return "rows"
    if alarm and rows >= s.min_rows:
        return "drift"
    if due(now, max(pointer.last_attempt_at, started_at), s.trigger_s) and rows >= s.min_rows:
        return "time"
    return None


def drift_asks(
    now: float, alarm_at: float, pointer: Pointer, taken: Sequence[float], s: Trainer
) -> bool:
    """Whether an alarm of `alarm_at` (epoch s) is still to be answered at `now`. An alarm older than the last
    increment has been answered by it, and alarms make no storm of updates; `taken`: see `held`."""
    return alarm_at > pointer.last_attempt_at and not held(taken, now, s)


def held(taken: Sequence[float], now: float, s: Trainer) -> bool:
    """Whether updates upon alarms have to wait: one in `drift_every_s`, `drift_per_day` a day, of which
    `taken` are the times."""
    today = of_a_day(taken, now)
    return len(today) >= s.drift_per_day or bool(today and not due(now, today[-1], s.drift_every_s))


def of_a_day(taken: Sequence[float], now: float) -> list[float]:
    """Those of the last day."""
    return [at for at in taken if now - at < DAY_S]
