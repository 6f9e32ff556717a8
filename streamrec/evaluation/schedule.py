"""Which event belongs to which window, which are scored, and which are held out for the matrix R.

It follows from the log alone, so every arm and every seed is asked the same questions.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import SetupError
from streamrec.evaluation.log import Log
from streamrec.events import Article, Feedback
from streamrec.replay import digest

Ints = NDArray[np.int64]
READS = ("click", "read", "like")
HELD_OUT = 0.1  # share of the first reads that no arm ever learns
UNRANKABLE, READ, REPEAT = 0, 1, 2


@dataclass(frozen=True)
class Schedule:
    """By event number: `window` (0: the bootstrap), `kind`; `scored`, `held`, `repeats`: event numbers."""

    window: Ints
    kind: Ints
    scored: set[int]
    held: set[int]
    held_ids: frozenset[str]
    bounds: list[tuple[float, float]]  # epoch s of each window's first and last event
    repeats: set[int] = field(default_factory=set)  # scored too, and reported apart

    @property
    def windows(self) -> int:
        """Windows after the bootstrap."""
        return len(self.bounds) - 1


@dataclass(frozen=True)
class Protocol:
    """The protocol's numbers. `tuning` windows choose variants, and are not reported."""

    windows: int = 10
    bootstrap: float = 0.3
    sample: int = 6000  # scored first reads, spread over the windows; 0: all
    repeats: float = 0.1  # scored repeats, as a share of `sample`; 0: none
    matrix_sample: int = 150  # held-out first reads of each window for R
    tuning: int = 2


def plan(log: Log, p: Protocol) -> Schedule:
    """Raises SetupError when the log is too short for the windows, or nothing in them can be scored."""
    events = log.events
    start = int(len(events) * p.bootstrap)
    if p.windows < p.tuning + 1:
        raise SetupError(f"{p.windows} windows are too few: {p.tuning} are for tuning alone")
    if start < 1 or len(events) - start < p.windows:
        raise SetupError(f"{len(events)} events are too few for {p.windows} windows")
    edges = np.linspace(start, len(events), p.windows + 1).round().astype(int)
    window = np.searchsorted(edges, np.arange(len(events)), side="right")
    kind = _kinds(log)
    held = {n for n in np.flatnonzero(kind == READ).tolist() if _share(events[n], "held") < HELD_OUT}
    firsts = np.flatnonzero((kind == READ) & (window > 0)).tolist()
    _check_scorable(events, window, kind, p)
    scored = _spread(events, window, firsts, p.sample, p.windows)
    again = np.flatnonzero((kind == REPEAT) & (window > 0)).tolist() if p.repeats else []
    repeats = _spread(events, window, again, math.ceil(p.sample * p.repeats), p.windows)
    held_later = _spread(events, window, sorted(held), p.matrix_sample * (p.windows + 1), p.windows + 1)
    ts = [float(e.timestamp) for e in events]  # type: ignore[arg-type]
    bounds = [(ts[int(w[0])], ts[int(w[-1])]) for w in
              (np.flatnonzero(window == k) for k in range(p.windows + 1))]
    return Schedule(window, kind, scored, held_later, frozenset(events[n].event_id for n in held), bounds,
                    repeats)


def _check_scorable(events: Sequence[Feedback], window: Ints, kind: Ints, p: Protocol) -> None:
    """Raises SetupError that says what the events are if there is none to choose by, or to report."""
    for name, at in (("tuning", (window > 0) & (window <= p.tuning)), ("reported", window > p.tuning)):
        if not (at & (kind == READ)).any():
            of_read = np.array([e.event_type in READS for e in events])
            others, repeats = int((at & ~of_read).sum()), int((at & (kind == REPEAT)).sum())
            raise SetupError(
                f"no first read can be scored in the {name} windows: of their {int(at.sum())} events "
                f"{others} are no reads, {repeats} are repeats, and {int(at.sum()) - others - repeats} are "
                "of articles that nobody knew before, or that the reader had dismissed; describe the "
                "articles in articles.jsonl, or give a log with more reads"
            )


def _kinds(log: Log) -> Ints:
    """READ: the reader's first of an article that was described or seen before; REPEAT: a later
    one; UNRANKABLE: anything else, among it events that make their article known, and reads of what the
    reader had dismissed, which the scorer leaves out."""
    announced: set[str] = set()
    read: dict[str, set[str]] = defaultdict(set)
    dismissed: set[tuple[str, str]] = set()
    out = []
    for at, m in log.messages:
        if isinstance(m, Article):
            announced.add(m.item_id)
            continue
        item, kind = m.item_id, UNRANKABLE
        if item is not None and m.event_type in READS:
            if item in read[m.user_id]:
                kind = REPEAT
            elif (m.user_id, item) not in dismissed and (item in announced or log.dated.get(item, at) > at):
                kind = READ
            read[m.user_id].add(item)
        elif item is not None and m.event_type == "dismiss":
            dismissed.add((m.user_id, item))
        out.append(kind)
    return np.array(out, dtype=np.int64)


def _share(event: Feedback, salt: str) -> float:
    """A number in [0, 1) that the event's id fixes."""
    return int(digest(f"{salt}/{event.event_id}"), 16) / 2.0**64


def _spread(
    events: Sequence[Feedback], window: Ints, among: Sequence[int], total: int, windows: int
) -> set[int]:
    """At most total/windows of the events in each window, by hash; all of them when total is 0."""
    if not total:
        return set(among)
    of: dict[int, list[Any]] = defaultdict(list)
    for n in among:
        of[int(window[n])].append((_share(events[n], "scored"), n))
    return {n for some in of.values() for _, n in sorted(some)[: -(-total // windows)]}
