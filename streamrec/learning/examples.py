"""Rows -> training examples, with the counters of the instant before each event.

Candidates are the slate shown, if one was logged, and sampled negatives from the articles alive
at that moment. Without a slate, negatives come half uniformly and half by popularity^0.75, and
each candidate's log expected count corrects the softmax for it (logQ: Yi et al., RecSys 2019).
With a slate the softmax is over what the reader saw, and a few negatives drawn uniformly, which
need no correction: many of them would teach what the site shows, not what the reader chooses of it.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from streamrec.config import Trainer
from streamrec.learning.negatives import Array, Sampler
from streamrec.model.counters import Counters
from streamrec.model.features import FEATURES, all_features
from streamrec.model.words import Words
from streamrec.replay import Row, WindowRow

BLOCK = 64  # rows that share one look at who is alive and popular, for speed
PAD = -1


@dataclass(frozen=True)
class Examples:
    """Packed rows; article numbers are indices of the trainer's Counters, PAD where empty."""

    hist: Array  # [R, H] int32, newest first
    cand: Array  # [R, C] int32
    feats: Array  # [R, C, F] float16
    logq: Array  # [R, C] float32: log of the expected count of each candidate in its sample
    target: Array  # [R] int64: slot of the article chosen
    shown: Array  # [R] int16: so many of the candidates, the first ones, are the slate; 0: none was logged
    ts: Array  # [R] float64, epoch s
    dwell: Array  # [R] float32: seconds that the article chosen was read, -1: not known
    event_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.event_ids)

    def take(self, rows: Sequence[int]) -> "Examples":
        """A subset, in the order given."""
        at = np.asarray(rows, dtype=np.int64)
        arrays = {f.name: getattr(self, f.name)[at] for f in fields(self)[:-1]}
        return Examples(**arrays, event_ids=tuple(self.event_ids[i] for i in rows))

    def as_shown(self) -> "Examples":
        """Rows to judge by: of those with a slate only its articles, for nobody saw the others."""
        beside = (self.shown > 0)[:, None] & (np.arange(self.cand.shape[1]) >= self.shown[:, None])
        return replace(self, cand=np.where(beside, PAD, self.cand))

    def only(self, event_ids: Collection[str]) -> "Examples":
        """The rows whose event is among `event_ids`."""
        return self.take([i for i, e in enumerate(self.event_ids) if e in event_ids])


def empty(history: int, candidates: int) -> Examples:
    """No rows."""
    return blank(0, history, candidates)


def blank(rows: int, history: int, candidates: int) -> Examples:
    """Rows of padding, to be filled in."""
    return Examples(
        hist=np.full((rows, history), PAD, dtype=np.int32),
        cand=np.full((rows, candidates), PAD, dtype=np.int32),
        feats=np.zeros((rows, candidates, len(FEATURES)), dtype=np.float16),
        logq=np.zeros((rows, candidates), dtype=np.float32),
        target=np.zeros(rows, dtype=np.int64), shown=np.zeros(rows, dtype=np.int16),
        ts=np.zeros(rows), dwell=np.full(rows, -1.0, dtype=np.float32),
        event_ids=("",) * rows,
    )


def concat(parts: Sequence[Examples]) -> Examples:
    """All rows; narrower parts (older settings) are padded."""
    width = max(p.hist.shape[1] for p in parts), max(p.cand.shape[1] for p in parts)
    out = blank(sum(map(len, parts)), *width)
    start = 0
    for part in parts:
        rows = slice(start, start + len(part))
        for name in ("hist", "cand", "feats", "logq"):
            filled = getattr(part, name)
            getattr(out, name)[rows, : filled.shape[1]] = filled
        for name in ("target", "shown", "ts", "dwell"):
            getattr(out, name)[rows] = getattr(part, name)
        start += len(part)
    ids = tuple(e for p in parts for e in p.event_ids)
    return Examples(**{f.name: getattr(out, f.name) for f in fields(out)[:-1]}, event_ids=ids)


def in_time_order(rows: Sequence[WindowRow]) -> list[WindowRow]:
    """Oldest first; one partition's rows of the same second stay in order."""
    return sorted(rows, key=lambda w: (w.row.ts, w.partition, w.ordinal))


def count(counters: Counters, partition: int, row: Row) -> None:
    """What the buffer counted when it took this row."""
    counters.bump(partition, row.item, row.ts)
    counters.co_add(partition, row.history, row.item, row.ts)


def materialise(
    rows: Sequence[WindowRow], counters: Counters, known: Array, base: Array, words: Words,
    history: int, settings: Trainer, seed: int,
) -> tuple[Examples, int]:
    """Examples of `rows` in time order, and how many rows had to be skipped.

    `counters` stand before the first row, know every id in the rows and their histories, and are
    walked past the last. `known` [N]: ONLY_NAMED, GONE or LIVE (as of now); `base` [N, d] their text
    vectors, `words` their words. A row whose article is not known is neither learned nor counted
    (see `parked`); one that has nobody to compare it with is counted but not learned.
    """
    rows, rng = in_time_order(rows), np.random.default_rng(seed)
    out = blank(len(rows), history, 1 + settings.slate + max(settings.negatives, settings.slate_negatives))
    liked, made, ids = _liked(rows), list[int](), list(out.event_ids)
    text = base.astype(np.float32)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        sampler = Sampler(counters, known, block[0].row.ts, settings, rng)
        for r, (partition, _, row) in enumerate(block, start):
            if _fill(out, r, row, counters, known, text, words, sampler, liked[row.user]):
                made.append(r)
                ids[r] = row.event_id
            if known[counters.index[row.item]]:
                count(counters, partition, row)
    full = Examples(**{f.name: getattr(out, f.name) for f in fields(out)[:-1]},
                    event_ids=tuple(ids))
    return full.take(made), len(rows) - len(made)


def _liked(rows: Sequence[WindowRow]) -> dict[str, set[str]]:
    """What each reader chose in these rows: never a negative of theirs."""
    liked = defaultdict(set)
    for w in rows:
        liked[w.row.user].add(w.row.item)
    return liked


def _fill(
    out: Examples, r: int, row: Row, counters: Counters, known: Array, text: Array,
    words: Words, sampler: Sampler, liked: set[str],
) -> bool:
    """Write row `r`; False if there is nothing to learn from it."""
    found = _candidates(row, counters, known, sampler, liked, out.cand.shape[1] - 1)
    if found is None:
        return False
    cand, slot, shown = found
    n, idx = len(cand), np.array(cand)
    history = [counters.index[i] for i in row.history]
    hist = history[: out.hist.shape[1]]
    out.hist[r, : len(hist)], out.cand[r, :n] = hist, cand
    out.feats[r, :n] = all_features(counters, row.ts, idx, history, text, words)
    out.logq[r, :n] = 0.0 if shown else sampler.logq(idx)
    out.target[r], out.shown[r], out.ts[r], out.dwell[r] = slot, shown, row.ts, row.dwell
    return True


def _candidates(
    row: Row, counters: Counters, known: Array, sampler: Sampler, liked: set[str], room: int
) -> tuple[list[int], int, int] | None:
    """Candidate indices, the slot of the one chosen, and how many of them, the first, are a slate shown."""
    index, n = counters.index, len(known)
    positive = index[row.item]
    if not known[positive]:
        return None
    taken = {index[i] for i in (*row.history, *liked) if i in index}
    slate = [index[i] for i in row.slate if i in index]
    shown = list(dict.fromkeys(i for i in slate if i not in taken and i < n and known[i]))
    shown = shown[: room - max(sampler.negatives, sampler.few)]
    drawn = [i for i in sampler.draw(beside_slate=bool(shown)) if i not in taken]
    others = list(dict.fromkeys((*shown, *drawn)))
    slot = int(sampler.rng.integers(len(shown or others) + 1))
    slots = len(shown) + 1 if shown else 0
    return ([*others[:slot], positive, *others[slot:]], slot, slots) if others else None
