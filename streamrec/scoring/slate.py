"""From scores to slates: what is best, what the editors placed, what is explored, and why."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.config import Scorer as Settings
from streamrec.events import RankedItem, Reason
from streamrec.scoring.ask import Ask
from streamrec.scoring.batch import Batch, Bools, Pool
from streamrec.scoring.choose import Caps, choose, window
from streamrec.scoring.explore import Explorer
from streamrec.scoring.reasons import explain, main_parts, words
from streamrec.scoring.rules import Applied
from streamrec.scoring.state import ServingState

Rows = NDArray[np.int64]


class Place(NamedTuple):
    """One place of a slate. `score`: the full one, None: not made yet. `kind`: of its reason, empty:
    the score's own strongest part."""

    row: int
    score: float | None
    propensity: float = 1.0
    kind: str = ""
    rule: str | None = None


class Slates:
    """Makes slates. The last places explore; all others are certain."""

    def __init__(self, state: ServingState, settings: Settings, seed: int) -> None:
        self._state, self._articles, self._s = state, state.articles, settings
        self._explorer = Explorer(settings.explore_times, seed)

    def make(
        self, batch: Batch, asks: Sequence[Ask], masks: Sequence[Bools], rules: Applied
    ) -> list[list[RankedItem]]:
        """The items of each ask of a batch; `masks` [N] say what is eligible to whom."""
        pools = batch.pools(masks)
        slates = [
            self._places(batch, b, pool, masks[b], ask, rules)
            for b, (ask, pool) in enumerate(zip(asks, pools, strict=True))
        ]
        slates = _scored(batch, slates)
        rows = [np.array([p.row for p in places], np.int64) for places in slates]
        parts = main_parts(batch, rows)
        return [
            self._items(batch, b, asks[b], places, parts[b], rules)
            for b, places in enumerate(slates)
        ]

    def _places(
        self, batch: Batch, b: int, pool: Pool, mask: Bools, ask: Ask, rules: Applied
    ) -> list[Place]:
        explore = 0 if batch.popularity or ask.similar_to else int(round(self._s.explore * ask.n))
        pinned = self._pinned(mask, ask, rules)
        best = self._best(pool, set(pinned), ask, ask.n - explore - len(pinned))
        taken = [*pinned, *(p.row for p in best)]
        places = best + self._explored(batch, b, mask, taken, explore)
        for row, (position, rule) in sorted(pinned.items(), key=lambda p: p[1]):
            places.insert(position - 1, Place(row, None, kind="rule", rule=rule))
        return places[: ask.n]

    def _pinned(self, mask: Bools, ask: Ask, rules: Applied) -> dict[int, tuple[int, str]]:
        if ask.policy != "live":  # the control arms are no editors
            return {}
        fit = [(row, pin) for row, pin in rules.pins.items() if row < len(mask) and mask[row]]
        return dict(sorted(fit, key=lambda p: p[1])[: ask.n])

    def _best(self, pool: Pool, without: set[int], ask: Ask, n: int) -> list[Place]:
        diversity = self._s.diversity if ask.diversity is None else ask.diversity
        capped = bool(self._s.per_source or self._s.per_topic)
        rows, scores = pool
        if without:
            keep = ~np.isin(rows, list(without))
            rows, scores = rows[keep], scores[keep]
        wide = window(n, diversity, capped)
        places = self._spread(rows[:wide], scores[:wide], n, diversity)
        if len(places) < n and len(rows) > wide:  # too many of them were one article, or of one source
            places = self._spread(rows, scores, n, diversity)
        return places

    def _spread(
        self, rows: Rows, scores: NDArray[np.float32], n: int, diversity: float
    ) -> list[Place]:
        vectors = self._articles.vectors[rows].astype(np.float32)
        entries = [self._articles.entries[i] for i in rows]
        caps = Caps(self._s.per_source, self._s.per_topic)
        at = choose(scores, vectors, entries, n, diversity, caps, self._s.duplicate)
        return [Place(int(rows[i]), float(scores[i])) for i in at]

    def _explored(
        self, batch: Batch, b: int, mask: Bools, taken: Sequence[int], places: int
    ) -> list[Place]:
        if not places:
            return []
        mask = mask[: batch.rows].copy()
        mask[list(taken)] = False
        pool = self._explorer.open(self._state.newest(mask))
        if not len(pool):
            return []
        drawn = self._explorer.draw(pool, batch.fast(b, pool), places)
        return [Place(d.row, None, d.propensity, "exploration") for d in drawn]

    def _items(
        self, batch: Batch, b: int, ask: Ask, places: Sequence[Place], parts: Sequence[str], rules: Applied
    ) -> list[RankedItem]:
        entries, rows = self._articles.entries, np.array([p.row for p in places], np.int64)
        why = explain(batch, b, rows, ask.locale) if ask.explain else [[] for _ in places]
        return [
            RankedItem(
                item_id=entries[p.row].item_id, title=entries[p.row].title, rank=k + 1, score=p.score or 0.0,
                propensity=p.propensity, reason=words(p.kind or parts[k], ask.locale),
                reasons=[*_own(p, ask, rules), *why[k]] if ask.explain else [],
            )
            for k, p in enumerate(places)
        ]


def _scored(batch: Batch, slates: list[list[Place]]) -> list[list[Place]]:
    """With the full scores of those that have none yet, all of a batch at once."""
    rows = [np.array([p.row for p in places if p.score is None], np.int64) for places in slates]
    if batch.popularity or not any(map(len, rows)):
        return slates
    found = [iter(scores.tolist()) for scores in batch.full(rows)]
    return [
        [p._replace(score=next(found[b])) if p.score is None else p for p in places]
        for b, places in enumerate(slates)
    ]


def _own(place: Place, ask: Ask, rules: Applied) -> list[Reason]:
    """Reasons that lie not in the score: an editor's rule, exploration."""
    found = [place.rule] if place.rule else list(rules.by_row.get(place.row, []))
    reasons = [Reason(kind="rule", text=words("rule", ask.locale), rule_id=rule) for rule in found]
    if place.kind == "exploration":
        reasons.append(Reason(kind="exploration", text=words("exploration", ask.locale)))
    return reasons
