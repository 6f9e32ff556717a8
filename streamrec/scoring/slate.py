"""From rankings to slates: what is best, what the editors placed, what is explored, and why."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from streamrec.config import Scorer as Settings
from streamrec.events import RankedItem, Reason
from streamrec.scoring.ask import Ask
from streamrec.scoring.batch import Batch
from streamrec.scoring.explore import Explorer
from streamrec.scoring.fast import Bools
from streamrec.scoring.rankings import Ranking, Rankings
from streamrec.scoring.reasons import Strongest, explain, main_parts, words
from streamrec.scoring.rules import Applied, Move
from streamrec.scoring.state import ServingState


class Place(NamedTuple):
    """One place of a slate. `kind`: of its reason, empty: the score's own strongest part."""

    row: int
    propensity: float = 1.0
    kind: str = ""
    rule: str | None = None
    position: int = 0  # from 1, of what is pinned


class Slate(NamedTuple):
    """One list. `pinned`: item -> rule, of what has its place from an editor."""

    items: list[RankedItem]
    pinned: dict[str, str]


class Slates:
    """Makes slates. The last places explore; all others are certain, and owe nothing to what was drawn."""

    def __init__(self, state: ServingState, settings: Settings, seed: int) -> None:
        self._state, self._articles = state, state.articles
        self._explorer = Explorer(settings.explore_times, seed)
        self._rankings = Rankings(state, settings, self._explorer)

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
        """The slate of each ask of a batch; `masks` and `seen`: see Rankings."""
        masks = [mask[: batch.rows] for mask in masks]  # the state may be ahead of the model
        pins = [self._pinned(mask, ask, rules) for ask, mask in zip(asks, masks, strict=True)]
        ranked = self._rankings.make(batch, asks, masks, [[p.row for p in of] for of in pins], seen)
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

    def _places(self, ranking: Ranking, ask: Ask, pins: Sequence[Place]) -> list[Place]:
        """Pinned places where they belong, the best in between, exploring ones last: none of these comes
        first, which is the place that a list is judged by, unless there is nothing else."""
        free, n = partial(self._rankings.beside, [p.row for p in pins]), ask.n - len(pins)
        most = n if pins and pins[0].position == 1 else n - 1
        found = self._explorer.place(ranking.best, ranking.lots[-most:] if most > 0 else [], n, free)
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
