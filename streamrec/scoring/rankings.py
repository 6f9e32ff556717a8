"""From scores to what lists are made of: candidates without copies and within the caps, and lots for the
places that explore."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.config import Scorer as Settings
from streamrec.scoring.ask import Ask
from streamrec.scoring.batch import Batch
from streamrec.scoring.calibrate import Mix
from streamrec.scoring.choose import Caps, beside, choose, deal, distinct, unlike, window
from streamrec.scoring.explore import Explorer, Lots
from streamrec.scoring.fast import Bools, Floats, Rows
from streamrec.scoring.state import ServingState

WALK, STEP = 20_000, 500  # articles looked at for a list that is short, at most and at once


class Ranking(NamedTuple):
    """What one list is made from: the candidates, the full scores of all that may be in it, the lots of the
    exploring places, and the rows for all others, best first."""

    pool: Rows
    scores: dict[int, float]
    lots: list[Lots]
    best: list[int]


class Seen(NamedTuple):
    """Rows that may not come again under another name, and their text vectors [n, d]."""

    rows: Sequence[int]
    texts: NDArray[np.float32]


class Rankings:
    """Makes rankings. `pinned` [K] are rows that have a place already, and count for copies and caps."""

    def __init__(self, state: ServingState, settings: Settings, explorer: Explorer) -> None:
        self._state, self._articles, self._s, self._explorer = state, state.articles, settings, explorer
        self._laid = -1, np.zeros(0, np.int64), np.zeros((0, 0), np.float32)  # see _new

    def make(
        self, batch: Batch, asks: Sequence[Ask], masks: Sequence[Bools], pinned: Sequence[Sequence[int]],
        rows_seen: Sequence[Sequence[int]],
    ) -> list[Ranking]:
        """What the list of each ask of a batch is made of; `masks` [N] say what is eligible to whom,
        `rows_seen` [K] are rows that come again under another name only where nothing else is left."""
        seen = [Seen(rows, self._texts(rows)) for rows in rows_seen]
        ranked = self._filled(batch, asks, masks, pinned, seen)
        bare = [bool(m.any()) and not r.best and not p for m, r, p in zip(masks, ranked, pinned, strict=True)]
        if not any(bare):
            return ranked
        seen = [Seen((), s.texts[:0]) if b else s for b, s in zip(bare, seen, strict=True)]
        return self._filled(batch, asks, masks, pinned, seen)

    def _filled(
        self, batch: Batch, asks: Sequence[Ask], masks: Sequence[Bools], pinned: Sequence[Sequence[int]],
        seen: Sequence[Seen],
    ) -> list[Ranking]:
        """`_ranked`; where copies and caps left places free, what could have them is looked at, too."""
        ranked = self._ranked(batch, asks, masks, pinned, seen)
        rest = [self._rest(batch, b, *of)
                for b, of in enumerate(zip(ranked, asks, masks, pinned, seen, strict=True))]
        if not any(map(len, rest)):
            return ranked
        for b, (rows, full) in enumerate(zip(rest, batch.full(rest), strict=True)):
            if len(rows):
                pool = np.concatenate([ranked[b].pool, rows])
                scores = ranked[b].scores | dict(zip(rows.tolist(), full.tolist(), strict=True))
                of_pool = np.array([scores[row] for row in pool.tolist()], np.float32)
                best = self._best(pool, of_pool, asks[b], pinned[b], batch.reads[b], seen[b])
                ranked[b] = Ranking(pool, scores, ranked[b].lots, best)
        return ranked

    def _ranked(
        self, batch: Batch, asks: Sequence[Ask], masks: Sequence[Bools], pinned: Sequence[Sequence[int]],
        seen: Sequence[Seen],
    ) -> list[Ranking]:
        """From what is eligible to what each list is made from."""
        pools, each = batch.candidates(masks), range(len(asks))
        lots = [self._lots(batch, b, masks[b], asks[b], pinned[b], seen[b]) for b in each]
        rows = [_with(pools[b], [*pinned[b]] + [int(of.rows[0]) for of in lots[b]]) for b in each]
        full = batch.full(rows)
        best = [self._best(pools[b], full[b][: len(pools[b])], asks[b], pinned[b], batch.reads[b], seen[b])
                for b in each]
        scores = [dict(zip(at.tolist(), of.tolist(), strict=True)) for at, of in zip(rows, full, strict=True)]
        return [Ranking(*of) for of in zip(pools, scores, lots, best, strict=True)]

    def _rest(
        self, batch: Batch, b: int, ranking: Ranking, ask: Ask, mask: Bools, pinned: Sequence[int], seen: Seen
    ) -> Rows:
        """Twice as many rows as a list lacks, none of them a candidate, that could stand in it together: the
        best of the rest by the fast score."""
        listed = [*pinned, *ranking.best]
        lacking, found = ask.n - len(listed), mask.copy()
        found[ranking.pool] = False
        if lacking <= 0 or not found.any():
            return np.zeros(0, np.int64)
        for kind, value in self._caps(listed).used_up():
            rows = self._state.attributes.having(kind, value)
            found[rows[rows < len(found)]] = False
        rows, chosen = batch.best_of(b, found, WALK), list[int]()
        for start in range(0, len(rows), STEP):
            if len(chosen) < 2 * lacking:
                some, left = rows[start : start + STEP], 2 * lacking - len(chosen)
                chosen += self._fitting(batch, b, some, left, [*listed, *chosen], seen)
        return np.array(chosen, np.int64)

    def _fitting(
        self, batch: Batch, b: int, rows: Rows, n: int, listed: Sequence[int], seen: Seen
    ) -> list[int]:
        """Up to n of some rows, best first, that could stand in a list of other ones together."""
        caps, every = self._caps(listed), self._articles.entries
        rows = rows[[caps.allow(every[row]) for row in rows]]
        return self._spread(rows, batch.fast(b, rows), n, 0.0, 0.0, listed, (), seen)

    def _best(
        self, rows: Rows, scores: Floats, ask: Ask, pinned: Sequence[int], reads: Sequence[int],
        seen: Seen,
    ) -> list[int]:
        """The rows for the places that no pin has, best first, for a list without duplicates."""
        taken, n = pinned, ask.n - len(pinned)
        free = ~among(rows, taken)
        order = np.argsort(-scores[free], kind="stable")
        rows, scores = rows[free][order], scores[free][order]
        diversity = self._s.diversity if ask.diversity is None else ask.diversity
        calibration = self._s.calibration if ask.calibration is None else ask.calibration
        capped = bool(self._s.per_source or self._s.per_topic)
        wide = window(n, bool(diversity or calibration or capped))
        spread = partial(self._spread, n=n, diversity=diversity, calibration=calibration, taken=taken,
                         reads=reads, seen=seen)
        places = spread(rows[:wide], scores[:wide])
        if len(places) < n and len(rows) > wide:  # too many of them were one article, or of one source
            places = spread(rows, scores)
        return places

    def _spread(
        self, rows: Rows, scores: Floats, n: int, diversity: float, calibration: float,
        taken: Sequence[int], reads: Sequence[int], seen: Seen,
    ) -> list[int]:
        every = self._articles.entries
        texts = self._texts(rows)
        if seen.rows:
            new = self._unlike(seen, rows, texts)
            rows, scores, texts = rows[new], scores[new], texts[new]
        entries = [every[i] for i in rows]
        others = list(zip(self._texts(taken), [every[i] for i in taken], strict=True))
        mix = Mix((every[i] for i in reads), entries, calibration) if calibration else None
        at = choose(scores, texts, entries, n, diversity, self._caps(), self._s.duplicate, others,
                    mix)
        return [int(rows[i]) for i in at]

    def _caps(self, listed: Sequence[int] = ()) -> Caps:
        """For one list, in which some rows are already: they count."""
        caps = Caps(self._s.per_source, self._s.per_topic)
        for row in listed:
            caps.take(self._articles.entries[row])
        return caps

    def _lots(
        self, batch: Batch, b: int, mask: Bools, ask: Ask, pinned: Sequence[int], seen: Seen
    ) -> list[Lots]:
        """Drawn among the newest, as of stream time: a log of years ago is explored as of its own day. What
        the list turns out to hold anyway is ruled out later."""
        places = min(round(self._s.explore * ask.n, 6), ask.n - len(pinned))  # .1 * 30 is more than 3
        if places <= 0 or batch.popularity or ask.similar_to or not ask.explore:
            return []
        newest, every = self._state.newest(mask), self._articles.entries
        young = self._articles.published[newest] >= batch.now - self._s.explore_age_s
        pool = self._explorer.open(newest[young])
        pool = pool[self._unlike(seen, pool, self._new(pool))] if seen.rows and len(pool) else pool
        if places <= 1:
            return self._explorer.draw(pool, batch.fast(b, pool), places)
        # Two places are drawn side by side: neither shows what the other may, or another of its kind.
        pool = pool[distinct(pool, self._new(pool), every, self._s.duplicate)]
        dealt = deal([every[row] for row in pool], self._caps(), math.ceil(places))
        return self._explorer.draw(pool, batch.fast(b, pool), places, dealt)

    def beside(self, pinned: Sequence[int], rows: Rows, listed: Sequence[int]) -> Bools:
        """Which rows could stand in a list."""
        others = [*pinned, *listed]
        fit = beside(rows, self._new(rows), self._articles.entries, self._caps(), self._s.duplicate, others,
                     self._texts(others))
        return fit & ~among(rows, others)

    def _unlike(self, seen: Seen, rows: Rows, texts: NDArray[np.float32]) -> Bools:
        """Which rows, of text vectors [n, d], are none of those seen under another name."""
        return unlike(rows, texts, self._articles.entries, self._s.duplicate, *seen)

    def _new(self, rows: Rows) -> NDArray[np.float32]:
        """Text vectors [n, d] of some of the newest rows: every list asks for them, so they are laid out."""
        cursor, place, vectors = self._laid
        if cursor != self._articles.cursor or (place[rows] < 0).any():
            every = np.union1d(rows, self._state.newest(self._articles.live))
            place, vectors = np.full(len(self._articles), -1), self._texts(every)
            place[every] = np.arange(len(every))
            self._laid = self._articles.cursor, place, vectors
        return vectors[place[rows]]

    def _texts(self, rows: Rows | Sequence[int]) -> NDArray[np.float32]:
        """Text vectors [n, d] of some rows."""
        return self._articles.vectors[np.asarray(rows, np.int64)].astype(np.float32)


def _with(rows: Rows, more: list[int]) -> Rows:
    """Rows, and those of `more` that are not among them."""
    new = [row for row in more if not (rows == row).any()]
    return np.concatenate([rows, np.array(new, np.int64)]) if new else rows


def among(rows: Rows, some: Sequence[int]) -> Bools:
    """Which rows are among a few."""
    found: Bools = (rows[:, None] == np.array(some, np.int64)).any(axis=1)
    return found
