"""Exploration: a new article gets a bounded number of early impressions, with known chances.

The exploring places share the newest articles out among them, every k-th to each, so that no two
places can draw the same one and each chance is exact. Half of a place's chance is spread evenly, half
by the model's score (softmax): text alone has placed what nobody has read yet.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

POOL = 100  # newest eligible articles that the exploring places draw from
EVEN = 0.5  # of the chance is spread evenly: no chance is far below 1 in 2 * POOL
Rows = NDArray[np.int64]


class Drawn(NamedTuple):
    """A row and the chance that it got this place."""

    row: int
    propensity: float


class Explorer:
    """Draws for the exploring places. `times`: impressions after which an article is explored enough,
    as far as this process has given them."""

    def __init__(self, times: int, seed: int) -> None:
        self._times, self._given = times, np.zeros(1024, np.int64)  # impressions by row
        self._rng = np.random.default_rng(seed)

    def open(self, rows: Rows) -> Rows:
        """Which of the rows, newest first, may still be explored: POOL of them at most."""
        if len(rows) and rows.max() >= len(self._given):
            self._given = np.pad(self._given, (0, 2 * int(rows.max()) + 1 - len(self._given)))
        found: Rows = rows[self._given[rows] < self._times][:POOL]
        return found

    def draw(self, pool: Rows, scores: NDArray[np.float32], places: int) -> list[Drawn]:
        """One row for each place, fewer if the pool is smaller. `scores` [P] of the pool's rows."""
        found = []
        for place in range(min(places, len(pool))):
            chances = mixed(scores[place::places])
            i = min(int(np.searchsorted(np.cumsum(chances), self._rng.random(), "right")), len(chances) - 1)
            found.append(Drawn(int(pool[place::places][i]), float(chances[i])))
        np.add.at(self._given, [d.row for d in found], 1)
        return found


def mixed(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Chances [n]: half even, half softmax."""
    odds = np.exp(scores.astype(np.float64) - scores.max())
    chances: NDArray[np.float64] = EVEN / len(scores) + (1 - EVEN) * odds / odds.sum()
    chances /= chances.sum()
    return chances
