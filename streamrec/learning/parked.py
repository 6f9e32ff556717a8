"""Rows about articles that nobody has announced yet. They wait, and are learned once, when the
article is there.

Until then they are not counted either: their article is no candidate, so no other example misses
the count (what was read around it is counted, and nobody asks for it, see `Counters.co_query`).
When such a row is learned, its own article's counters stand as they did at the event; those of its
negatives stand as they do by then, a little higher than at the event. There is room for so many: the
oldest beyond are dropped, counted but never learned, and told. Time is no bound: a log of years that is
replayed in minutes waits for its catalogue, too.
"""

from collections.abc import Container, Sequence
from typing import Any

import msgspec

from streamrec.replay import Row, WindowRow


def ripe(
    rows: Sequence[WindowRow], known: Container[str]
) -> tuple[list[WindowRow], list[WindowRow]]:
    """Rows whose article is known, and the others."""
    there: list[WindowRow] = []
    missing: list[WindowRow] = []
    for w in rows:
        (there if w.row.item in known else missing).append(w)
    return there, missing


def bounded(rows: Sequence[WindowRow], most: int) -> tuple[list[WindowRow], list[WindowRow]]:
    """The newest `most` rows, oldest first, and the rows dropped."""
    order = sorted(rows, key=lambda w: (w.row.ts, w.partition, w.ordinal))
    start = max(len(order) - most, 0)
    return order[start:], order[:start]


def to_json(rows: Sequence[WindowRow]) -> list[Any]:
    """Rows as lists."""
    return [[w.partition, w.ordinal, msgspec.to_builtins(w.row)] for w in rows]


def from_json(rows: Sequence[Any]) -> list[WindowRow]:
    """The rows back. Raises ValueError, TypeError or msgspec.ValidationError."""
    return [WindowRow(p, n, msgspec.convert(row, Row)) for p, n, row in rows]
