"""When to train: a pure decision; time is an argument."""

from collections import deque

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
    since = now - max(pointer.last_attempt_at, started_at)
    if since >= s.trigger_s and rows >= s.min_rows:
        return "time"
    return None


class DriftCap:
    """Keeps alarms from becoming a storm of updates: one in `drift_every_s`, `drift_per_day` a day. An
    alarm older than the last increment has been answered by it."""

    def __init__(self, settings: Trainer) -> None:
        self._s = settings
        self._taken: deque[float] = deque()

    def asks(self, now: float, alarm_at: float, pointer: Pointer) -> bool:
        """Whether an alarm of `alarm_at` (epoch s) is still to be answered at `now`."""
        while self._taken and now - self._taken[0] >= DAY_S:
            self._taken.popleft()
        if alarm_at <= pointer.last_attempt_at or len(self._taken) >= self._s.drift_per_day:
            return False
        return not self._taken or now - self._taken[-1] >= self._s.drift_every_s

    def took(self, now: float) -> None:
        """An update for drift begins."""
        self._taken.append(now)
