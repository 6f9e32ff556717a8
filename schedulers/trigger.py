"""When to train: a pure decision; time is an argument."""

from streamrec.config import Trainer
from streamrec.registry import Pointer
from streamrec.replay import Cursor


def waiting(made: Cursor, learned: Cursor) -> int:
    """Rows made and not yet taken by an increment."""
    return sum(max(0, n - learned.get(p, 0)) for p, n in made.items())


def why_train(now: float, rows: int, pointer: Pointer, started_at: float, s: Trainer) -> str | None:
    """The trigger that fired, or None. N new rows, or T seconds with at least the minimum.

    Rows held out by the last gate wait for the next increment, so they count only together
    with what is new.
    """
    if rows >= max(s.trigger_rows, s.min_rows):
        return "rows"
    since = now - max(pointer.last_attempt_at, started_at)
    if since >= s.trigger_s and rows >= s.min_rows:
        return "time"
    return None
