"""Rows about articles that nobody has announced yet. They wait, and are learned once, when the
article is there.

Until then they are not counted either: their article is no candidate, so no other example misses
the count (what was read around it is counted, and nobody asks for it, see `Counters.co_query`).
When such a row is learned, its own article's counters stand as they did at the event; those of its
negatives stand as they do by then, a little higher than at the event. A row that has waited too
long is dropped: counted, never learned.
"""

from collections.abc import Container, Sequence
from typing import Any

import msgspec

from streamrec.config import WEEK
from streamrec.replay import Row, WindowRow

AGE_S = WEEK  # stream time that a row may wait


def ripe(
    rows: Sequence[WindowRow], known: Container[str]
) -> tuple[list[WindowRow], list[WindowRow]]:
    """Rows whose article is known, and the others."""
    there: list[WindowRow] = []
    missing: list[WindowRow] = []
    for w in rows:
        (there if w.row.item in known else missing).append(w)
    return there, missing


def bounded(
    rows: Sequence[WindowRow], now: float, most: int
) -> tuple[list[WindowRow], list[WindowRow]]:
    """The newest `most` rows that are not too old at stream time `now` (epoch s), oldest first,
    and the rows dropped."""
    order = sorted(rows, key=lambda w: (w.row.ts, w.partition, w.ordinal))
    stale = sum(w.row.ts < now - AGE_S for w in order)
    start = max(stale, len(order) - most)
    return order[start:], order[:start]


def to_json(rows: Sequence[WindowRow]) -> list[Any]:
    """Rows as lists."""
    return [[w.partition, w.ordinal, msgspec.to_builtins(w.row)] for w in rows]


def from_json(rows: Sequence[Any]) -> list[WindowRow]:
    """The rows back. Raises ValueError, TypeError or msgspec.ValidationError."""
    return [WindowRow(p, n, msgspec.convert(row, Row)) for p, n, row in rows]
