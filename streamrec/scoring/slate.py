"""From scores to slates: what is best, what the editors placed, what is explored, and why."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from streamrec.config import Scorer as Settings
from streamrec.events import RankedItem, Reason
from streamrec.scoring.ask import Ask
from streamrec.scoring.batch import Batch
from streamrec.scoring.calibrate import Mix
from streamrec.scoring.choose import Caps, choose, window
from streamrec.scoring.explore import Explorer
from streamrec.scoring.fast import Bools, Floats, Rows
from streamrec.scoring.reasons import explain, main_parts, words
from streamrec.scoring.rules import Applied
from streamrec.scoring.state import ServingState


class Place(NamedTuple):
    """One place of a slate. `kind`: of its reason, empty: the score's own strongest part."""

    row: int
    propensity: float = 1.0
    kind: str = ""
    rule: str | None = None
    position: int = 0  # from 1, of what is pinned


class Slates:
    """Makes slates. The last places explore; all others are certain."""

    def __init__(self, state: ServingState, settings: Settings, seed: int) -> None:
        self._state, self._articles, self._s = state, state.articles, settings
        self._explorer = Explorer(settings.explore_times, seed)

    def make(
        self, batch: Batch, asks: Sequence[Ask], masks: Sequence[Bools], rules: Applied
    ) -> list[list[RankedItem]]:
        """The items of each ask of a batch; `masks` [N] say what is eligible to whom."""
        masks = [mask[: batch.rows] for mask in masks]  # the state may be ahead of the model
        best = batch.candidates(masks)
        set_ = []  # what has its place whatever its score
        for b, (ask, mask) in enumerate(zip(asks, masks, strict=True)):
            pins = self._pinned(mask, ask, rules)
            set_.append([*pins, *self._explored(batch, b, best[b], mask, ask, rules, ask.n - len(pins))])
        rows = [_with(r, [p.row for p in places]) for r, places in zip(best, set_, strict=True)]
        full = batch.full(rows)
        scores = [dict(zip(r.tolist(), s.tolist(), strict=True)) for r, s in zip(rows, full, strict=True)]
        slates = [self._places(*of) for of in zip(rows, full, asks, set_, batch.reads, strict=True)]
        chosen = [np.array([p.row for p in places], np.int64) for places in slates]
        parts = main_parts(batch, chosen)
        return [
            self._items(batch, b, asks[b], places, scores[b], parts[b], rules)
            for b, places in enumerate(slates)
        ]

    def _places(
        self, rows: Rows, scores: Floats, ask: Ask, set_: Sequence[Place], reads: Sequence[int]
    ) -> list[Place]:
        """Pinned places where they belong, the best in between, exploring ones last."""
        free = ~among(rows, [p.row for p in set_])
        pins, drawn = [p for p in set_ if p.rule], [p for p in set_ if not p.rule]
        order = np.argsort(-scores[free], kind="stable")
        taken = [p.row for p in set_]
        best = self._best(rows[free][order], scores[free][order], ask, ask.n - len(set_), taken, reads)
        places, last = [*map(Place, best), *drawn], -1
        for pin in pins:  # in the order of their positions; the second of a position comes after the first
            last = max(pin.position - 1, last + 1)
            places.insert(last, pin)
        return places[: ask.n]

    def _pinned(self, mask: Bools, ask: Ask, rules: Applied) -> list[Place]:
        """In the order of their positions; only what is eligible."""
        if not rules.pins:
            return []
        fit = sorted(
            (pos, rule, n, row) for n, (row, (pos, rule)) in enumerate(rules.pins.items())
            if pos <= ask.n and row < len(mask) and mask[row]
        )
        return [Place(row, kind="rule", rule=rule, position=pos) for pos, rule, _, row in fit[: ask.n]]

    def _best(
        self, rows: Rows, scores: Floats, ask: Ask, n: int, taken: Sequence[int], reads: Sequence[int]
    ) -> list[int]:
        """Up to n rows of a ranking, best first, for a list without duplicates, those `taken` included."""
        diversity = self._s.diversity if ask.diversity is None else ask.diversity
        calibration = self._s.calibration if ask.calibration is None else ask.calibration
        capped = bool(self._s.per_source or self._s.per_topic)
        wide = window(n, bool(diversity or calibration or capped))
        spread = partial(self._spread, n=n, diversity=diversity, calibration=calibration, taken=taken,
                         reads=reads)
        places = spread(rows[:wide], scores[:wide])
        if len(places) < n and len(rows) > wide:  # too many of them were one article, or of one source
            places = spread(rows, scores)
        return places

    def _spread(
        self, rows: Rows, scores: Floats, n: int, diversity: float, calibration: float,
        taken: Sequence[int], reads: Sequence[int],
    ) -> list[int]:
        every = self._articles.entries
        vectors, entries = self._articles.vectors[rows].astype(np.float32), [every[i] for i in rows]
        caps = Caps(self._s.per_source, self._s.per_topic)
        others = [(self._articles.vectors[i].astype(np.float32), every[i]) for i in taken]
        mix = Mix((every[i] for i in reads), entries, calibration) if calibration else None
        at = choose(scores, vectors, entries, n, diversity, caps, self._s.duplicate, others, mix)
        return [int(rows[i]) for i in at]

    def _explored(
        self, batch: Batch, b: int, best: Rows, mask: Bools, ask: Ask, rules: Applied, room: int
    ) -> list[Place]:
        """Drawn among those that are not in the list anyway by the fast score, before anything else is
        chosen: so the chances are known."""
        n = min(int(round(self._s.explore * ask.n)), room)
        if n <= 0 or batch.popularity or ask.similar_to or not ask.explore:
            return []
        pool = self._explorer.open(self._state.newest(mask))
        first = best[np.argsort(-batch.fast(b, best), kind="stable")[: ask.n - n]]
        pool = pool[~among(pool, [*first.tolist(), *rules.pins])]
        if not len(pool):
            return []
        drawn = self._explorer.draw(pool, batch.fast(b, pool), n)
        return [Place(d.row, d.propensity, "exploration") for d in drawn]

    def _items(
        self, batch: Batch, b: int, ask: Ask, places: Sequence[Place], scores: dict[int, float],
        parts: Sequence[str], rules: Applied,
    ) -> list[RankedItem]:
        entries, rows = self._articles.entries, np.array([p.row for p in places], np.int64)
        why = explain(batch, b, rows, ask.locale) if ask.explain else [[] for _ in places]
        return [
            RankedItem(
                item_id=entries[p.row].item_id, title=entries[p.row].title, rank=k + 1,
                score=scores[p.row], propensity=p.propensity,
                reason=words(p.kind or parts[k], ask.locale),
                reasons=[*_own(p, ask, rules), *why[k]] if ask.explain else [],
            )
            for k, p in enumerate(places)
        ]


def _with(rows: Rows, more: list[int]) -> Rows:
    """Rows, and those of `more` that are not among them."""
    new = [row for row in more if not (rows == row).any()]
    return np.concatenate([rows, np.array(new, np.int64)]) if new else rows


def among(rows: Rows, some: Sequence[int]) -> Bools:
    """Which rows are among a few."""
    found: Bools = (rows[:, None] == np.array(some, np.int64)).any(axis=1)
    return found


def _own(place: Place, ask: Ask, rules: Applied) -> list[Reason]:
    """Reasons that lie not in the score: an editor's rule, exploration."""
    found = [place.rule] if place.rule else list(rules.by_row.get(place.row, []))
    reasons = [Reason(kind="rule", text=words("rule", ask.locale), rule_id=rule) for rule in found]
    if place.kind == "exploration":
        reasons.append(Reason(kind="exploration", text=words("exploration", ask.locale)))
    return reasons
