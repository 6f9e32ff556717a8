"""Exploration: a new article gets a bounded number of early impressions, with known chances.

The exploring places share the newest articles out among them, every k-th to each (where a list is to hold few
of a source or topic, all of one to one place), so that no two places can draw the same one and each chance is
exact. Half of a place's chance is spread evenly, half by the model's score (softmax): text alone has placed
what nobody has read yet. Thompson sampling gained no clicks that could be seen, at half of the sample that
can be used offline: see "Exploration" in docs/benchmark.md (`make bench-explore`).

Lots are drawn before the list is known, by Gumbel's trick (Kool et al. 2019): the first lot that is
not ruled out by the list is a draw among all that are not, so its chance is known afterwards.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

POOL = 100  # newest eligible articles that the exploring places draw from
EVEN = 0.5  # of the chance is spread evenly: no chance is far below 1 in 2 * POOL
Rows = NDArray[np.int64]
Chances = NDArray[np.float64]
Free = Callable[[Rows, Sequence[int]], NDArray[np.bool_]]


class Given(NamedTuple):
    """A row, the chance that it got this place, and whether the place explores."""

    row: int
    propensity: float = 1.0
    explores: bool = False


class Lots(NamedTuple):
    """What one place may show: rows [n] in the order drawn, and the chance [n] of each to be the first.
    `often`: the chance that the place explores at all."""

    rows: Rows
    chances: Chances
    often: float

    def only(self, free: NDArray[np.bool_]) -> "Lots":
        """Without those that are ruled out."""
        return Lots(self.rows[free], self.chances[free], self.often)

    @property
    def first(self) -> Given:
        """The one drawn."""
        return Given(int(self.rows[0]), self.often * float(self.chances[0] / self.chances.sum()), True)


class Explorer:
    """Draws for the exploring places. `times`: impressions after which an article is explored enough, those
    by others counted as far as they were `told`."""

    def __init__(self, times: int, seed: int) -> None:
        self._times, self._given = times, np.zeros(1024, np.int64)  # impressions by row
        self._asked = np.zeros(1024, np.bool_)  # by row: whether it was ever told of
        self.untold: Counter[int] = Counter()  # impressions by row, given here since the last `told`
        self._rng = np.random.default_rng(seed)

    def open(self, rows: Rows) -> Rows:
        """Which of the rows, newest first, may still be explored: POOL of them at most."""
        self._room_for(rows)
        found: Rows = rows[self._given[rows] < self._times][:POOL]
        return found

    def _room_for(self, rows: Rows) -> None:
        if len(rows) and (most := int(rows.max())) >= len(self._given):
            more = (0, 2 * most + 1 - len(self._given))
            self._given, self._asked = np.pad(self._given, more), np.pad(self._asked, more)

    def unasked(self, rows: Rows) -> list[int]:
        """Of which of some rows nothing was ever told."""
        self._room_for(rows)
        return [int(row) for row in rows[~self._asked[rows]]]

    def told(self, totals: Mapping[int, int]) -> None:
        """All there were of some rows, `untold` included."""
        self.untold.clear()
        for row, n in totals.items():
            self._given[row], self._asked[row] = n, True

    def draw(
        self, pool: Rows, scores: NDArray[np.float32], places: float, dealt: Rows | None = None
    ) -> list[Lots]:
        """Lots for each place, fewer if the pool is smaller. `scores` [P] of the rows; `dealt` [P]: the
        place that each may be drawn for. Of two and a half places the first explores every other time."""
        found, whole = [], math.ceil(places)
        dealt = np.arange(len(pool)) % whole if dealt is None else dealt
        for place in range(whole):
            mine = np.flatnonzero(dealt == place)
            if not len(mine):
                continue
            rows, chances = pool[mine], self.chances(pool[mine], scores[mine])
            order = np.argsort(-np.log(chances) - self._rng.gumbel(size=len(rows)))
            often = 1.0 if place else places - whole + 1
            found.append(Lots(rows[order], chances[order], often))
        return found

    def chances(self, rows: Rows, scores: NDArray[np.float32]) -> Chances:
        """[m]: by which one place is drawn among rows [m] of these scores."""
        return mixed(scores)

    def place(self, ranking: Sequence[int], lots: Sequence[Lots], n: int, free: Free) -> list[Given]:
        """Up to n places from a ranking that owes nothing to the lots. `free(rows, listed)` tells which rows
        [m] could stand beside those listed."""
        while True:
            whole = sum(of.often == 1.0 for of in lots)
            listed = list(ranking[: n - whole])
            # Since the lots were drawn, the readers before in the batch may have explored one enough.
            left = [of.only(free(of.rows, listed) & (self._given[of.rows] < self._times)) for of in lots]
            if all(len(of.rows) for of in left):
                break
            lots = [of for of, now in zip(lots, left, strict=True) if len(now.rows)]
        places = [Given(row) for row in listed]
        if len(listed) < n - whole:  # a place that nothing else has explores for certain
            left = [of._replace(often=1.0) for of in left]
        for of in left:
            if self._rng.random() < of.often:
                places = [*(places if of.often == 1.0 else places[:-1]), of.first]
            else:
                places[-1] = Given(listed[-1], 1 - of.often)
        explored = [p.row for p in places if p.explores]
        np.add.at(self._given, explored, 1)
        self.untold.update(explored)
        return places


def mixed(scores: NDArray[np.float32]) -> Chances:
    """Chances [n]: half even, half softmax."""
    odds = np.exp(scores.astype(np.float64) - scores.max())
    chances: Chances = EVEN / len(scores) + (1 - EVEN) * odds / odds.sum()
    chances /= chances.sum()
    return chances
