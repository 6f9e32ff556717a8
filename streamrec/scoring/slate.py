"""From scores to slates: what is best, what the editors placed, what is explored, and why."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.config import Scorer as Settings
from streamrec.events import RankedItem, Reason
from streamrec.scoring.ask import Ask
from streamrec.scoring.batch import Batch
from streamrec.scoring.calibrate import Mix
from streamrec.scoring.choose import Caps, beside, choose, deal, distinct, unlike, window
from streamrec.scoring.explore import Explorer, Lots
from streamrec.scoring.fast import Bools, Floats, Rows
from streamrec.scoring.reasons import Strongest, explain, main_parts, words
from streamrec.scoring.rules import Applied, Move
from streamrec.scoring.state import ServingState

WALK, STEP = 20_000, 500  # articles looked at for a list that is short, at most and at once


class Place(NamedTuple):
    """One place of a slate. `kind`: of its reason, empty: the score's own strongest part."""

    row: int
    propensity: float = 1.0
    kind: str = ""
    rule: str | None = None
    position: int = 0  # from 1, of what is pinned


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


class Slate(NamedTuple):
    """One list. `pinned`: item -> rule, of what has its place from an editor."""

    items: list[RankedItem]
    pinned: dict[str, str]


class Slates:
    """Makes slates. The last places explore; all others are certain, and owe nothing to what was drawn."""

    def __init__(self, state: ServingState, settings: Settings, seed: int) -> None:
        self._state, self._articles, self._s = state, state.articles, settings
        self._explorer = Explorer(settings.explore_times, seed)
        self._laid = -1, np.zeros(0, np.int64), np.zeros((0, 0), np.float32)  # see _new

    def share_explored(self) -> None:
        """With all who score: together they give an article its early impressions, no more. Raises
        RetryLater."""
        newest, every = self._state.newest(self._articles.live), self._articles.entries
        given = dict.fromkeys(self._explorer.unasked(newest), 0) | self._explorer.untold
        if given:
            totals = self._state.explored({every[row].item_id: n for row, n in given.items()})
            self._explorer.told({self._articles.index[item]: n for item, n in totals.items()})

    def make(
        self, batch: Batch, asks: Sequence[Ask], masks: Sequence[Bools], rules: Applied,
        seen: Sequence[Sequence[int]],
    ) -> list[Slate]:
        """The slate of each ask of a batch; `masks` [N] say what is eligible to whom, `seen` [K] are rows
        that come again under another name only where nothing else is left."""
        masks = [mask[: batch.rows] for mask in masks]  # the state may be ahead of the model
        pins = [self._pinned(mask, ask, rules) for ask, mask in zip(asks, masks, strict=True)]
        known = [Seen(rows, self._texts(rows)) for rows in seen]
        ranked = self._uncopied(batch, asks, masks, pins, known)
        slates = [self._places(*of) for of in zip(ranked, asks, pins, strict=True)]
        scores = [r.scores for r in ranked]
        self._score_rest(batch, slates, scores)
        chosen = [np.array([p.row for p in places], np.int64) for places in slates]
        strongest = main_parts(batch, chosen)
        return [
            Slate(self._items(batch, b, asks[b], places, scores[b], strongest[b], rules),
                  {self._articles.entries[p.row].item_id: p.rule for p in places if p.rule})
            for b, places in enumerate(slates)
        ]

    def _ranked(
        self, batch: Batch, asks: Sequence[Ask], masks: Sequence[Bools], pins: Sequence[Sequence[Place]],
        seen: Sequence[Seen],
    ) -> list[Ranking]:
        """From what is eligible to what each list is made from."""
        pools, each = batch.candidates(masks), range(len(asks))
        lots = [self._lots(batch, b, masks[b], asks[b], pins[b], seen[b]) for b in each]
        rows = [_with(pools[b], [p.row for p in pins[b]] + [int(of.rows[0]) for of in lots[b]]) for b in each]
        full = batch.full(rows)
        return [
            Ranking(pools[b], dict(zip(rows[b].tolist(), full[b].tolist(), strict=True)), lots[b],
                    self._best(pools[b], full[b][: len(pools[b])], asks[b], pins[b], batch.reads[b], seen[b]))
            for b in each
        ]

    def _uncopied(
        self, batch: Batch, asks: Sequence[Ask], masks: Sequence[Bools], pins: Sequence[Sequence[Place]],
        seen: Sequence[Seen],
    ) -> list[Ranking]:
        """`_filled`; but a list of copies of what was seen is better than none."""
        ranked = self._filled(batch, asks, masks, pins, seen)
        bare = [bool(m.any()) and not r.best and not p for m, r, p in zip(masks, ranked, pins, strict=True)]
        if not any(bare):
            return ranked
        seen = [Seen((), s.texts[:0]) if b else s for b, s in zip(bare, seen, strict=True)]
        return self._filled(batch, asks, masks, pins, seen)

    def _filled(
        self, batch: Batch, asks: Sequence[Ask], masks: Sequence[Bools], pins: Sequence[Sequence[Place]],
        seen: Sequence[Seen],
    ) -> list[Ranking]:
        """`_ranked`; where copies and caps left places free, what could have them is looked at, too."""
        ranked = self._ranked(batch, asks, masks, pins, seen)
        rest = [self._rest(batch, b, *of)
                for b, of in enumerate(zip(ranked, asks, masks, pins, seen, strict=True))]
        if not any(map(len, rest)):
            return ranked
        for b, (rows, full) in enumerate(zip(rest, batch.full(rest), strict=True)):
            if len(rows):
                pool = np.concatenate([ranked[b].pool, rows])
                scores = ranked[b].scores | dict(zip(rows.tolist(), full.tolist(), strict=True))
                of_pool = np.array([scores[row] for row in pool.tolist()], np.float32)
                best = self._best(pool, of_pool, asks[b], pins[b], batch.reads[b], seen[b])
                ranked[b] = Ranking(pool, scores, ranked[b].lots, best)
        return ranked

    def _rest(
        self, batch: Batch, b: int, ranking: Ranking, ask: Ask, mask: Bools, pins: Sequence[Place], seen: Seen
    ) -> Rows:
        """Twice as many rows as a list lacks, none of them a candidate, that could stand in it together: the
        best of the rest by the fast score."""
        listed = [*(p.row for p in pins), *ranking.best]
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
        texts = self._texts(rows)
        new = self._unlike(seen, rows, texts)
        rows, texts = rows[new], texts[new]
        taken = list(zip(self._texts(listed), [every[row] for row in listed], strict=True))
        at = choose(batch.fast(b, rows), texts, [every[row] for row in rows], n, 0.0, self._caps(),
                    self._s.duplicate, taken)
        return [int(row) for row in rows[at]]

    def _places(self, ranking: Ranking, ask: Ask, pins: Sequence[Place]) -> list[Place]:
        """Pinned places where they belong, the best in between, exploring ones last."""
        free, n = partial(self._beside, [p.row for p in pins]), ask.n - len(pins)
        found = self._explorer.place(ranking.best, ranking.lots, n, free)
        places, last = [Place(g.row, g.propensity, "exploration" if g.explores else "") for g in found], -1
        for pin in pins:  # in the order of their positions; the second of a position comes after the first
            last = max(pin.position - 1, last + 1)
            places.insert(last, pin)
        return places[: ask.n]

    def _score_rest(
        self, batch: Batch, slates: Sequence[Sequence[Place]], scores: Sequence[dict[int, float]]
    ) -> None:
        """Of what was drawn after the first lot was ruled out."""
        rest = [np.array([p.row for p in s if p.row not in known], np.int64)
                for s, known in zip(slates, scores, strict=True)]
        if any(map(len, rest)):
            for rows, full, known in zip(rest, batch.full(rest), scores, strict=True):
                known.update(zip(rows.tolist(), full.tolist(), strict=True))

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
        self, rows: Rows, scores: Floats, ask: Ask, pins: Sequence[Place], reads: Sequence[int],
        seen: Seen,
    ) -> list[int]:
        """The rows for the places that no pin has, best first, for a list without duplicates."""
        taken, n = [p.row for p in pins], ask.n - len(pins)
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
        self, batch: Batch, b: int, mask: Bools, ask: Ask, pins: Sequence[Place], seen: Seen
    ) -> list[Lots]:
        """Drawn among the newest; what the list turns out to hold anyway is ruled out later."""
        places = min(round(self._s.explore * ask.n, 6), ask.n - len(pins))  # .1 * 30 is more than 3
        if places <= 0 or batch.popularity or ask.similar_to or not ask.explore:
            return []
        pool, every = self._explorer.open(self._state.newest(mask)), self._articles.entries
        pool = pool[self._unlike(seen, pool, self._new(pool))] if seen.rows and len(pool) else pool
        if places <= 1:
            return self._explorer.draw(pool, batch.fast(b, pool), places)
        # Two places are drawn side by side: neither shows what the other may, or another of its kind.
        pool = pool[distinct(pool, self._new(pool), every, self._s.duplicate)]
        dealt = deal([every[row] for row in pool], self._caps(), math.ceil(places))
        return self._explorer.draw(pool, batch.fast(b, pool), places, dealt)

    def _beside(self, pinned: Sequence[int], rows: Rows, listed: Sequence[int]) -> Bools:
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

    def _items(
        self, batch: Batch, b: int, ask: Ask, places: Sequence[Place], scores: dict[int, float],
        strongest: Sequence[Strongest], rules: Applied,
    ) -> list[RankedItem]:
        entries, rows = self._articles.entries, np.array([p.row for p in places], np.int64)
        why = explain(batch, b, rows, ask.locale) if ask.explain else [[] for _ in places]
        usual = _usual(places, rules)
        return [
            RankedItem(
                item_id=entries[p.row].item_id, title=entries[p.row].title, rank=k + 1,
                score=scores[p.row], propensity=p.propensity,
                reason=words(p.kind or _main(strongest[k], _moves(p, rules), usual), ask.locale),
                reasons=sorted([*_own(p, ask, rules), *why[k]], key=partial(_order, usual))
                if ask.explain else [],
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


def _moves(place: Place, rules: Applied) -> Sequence[Move]:
    """What moves an article; one that has its place from an editor is moved by nothing else."""
    return () if place.rule else rules.by_row.get(place.row, ())


def _usual(places: Sequence[Place], rules: Applied) -> float:
    """What the editors add to the articles of a list on the average, as parts of the score are compared with
    theirs; of one alone, to any."""
    free = [sum(m.bias for m in _moves(p, rules)) for p in places if not p.rule]
    return sum(free) / len(free) if len(free) > 1 else 0.0


def _main(strongest: Strongest, moves: Sequence[Move], usual: float) -> str:
    """Kind of what lifts an article most over the list's average: a part of the score, or the editors."""
    bias = sum(m.bias for m in moves)
    over = round(bias - usual, 6)  # less is rounding
    return "boost" if bias > 0 and over > max(strongest.lift, 0.0) else strongest.kind


def _own(place: Place, ask: Ask, rules: Applied) -> list[Reason]:
    """Reasons that lie not in the model's score: an editor's rule, exploration."""
    locale = ask.locale
    reasons = [
        Reason(kind="rule", text=words("boost" if m.bias > 0 else "bury", locale), weight=round(m.bias, 4),
               rule_id=m.rule)
        for m in _moves(place, rules)
    ]
    if place.kind:  # it is there by a pin, or drawn
        reasons.append(Reason(kind=place.kind, text=words(place.kind, locale), rule_id=place.rule))
    return reasons


def _order(usual: float, reason: Reason) -> float:
    """What gave an article its place comes first, then what lifts it most over the list's average, last what
    moved it down."""
    if reason.weight is None:
        return -math.inf
    return usual - reason.weight if reason.kind == "rule" else -reason.weight
