"""Ways to share out the chance of an exploring place among the articles that it may show; see exploring."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from streamrec.scoring.explore import mixed

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
STRENGTH = 10.0  # impressions that the content prior of a click rate counts as
GRID = np.linspace(-14.0, 3.0, 160)  # logits of click rates
LOG_RATE, LOG_REST = -np.logaddexp(0.0, -GRID), -np.logaddexp(0.0, GRID)
LEAST = 1e-12  # of a chance, so that its logarithm is one
FIRST_LINE = np.array([-3.5, 0.3])  # logit of a click rate at a score that is a pool's mean, and by score
RIDGE = np.array([1.0, 20.0])  # how firmly these are held, until clicks say otherwise
REFIT = 50  # impressions


class Policy:
    """Chances [m] of rows [m] from their scores [m], and from what became of those shown before."""

    def __init__(self, share: Callable[[NDArray[np.float32]], Floats]) -> None:
        self._share = share

    def chances(self, rows: Rows, scores: NDArray[np.float32]) -> Floats:
        """See Explorer."""
        return self._share(scores)

    def told(self, row: int, clicked: bool) -> None:
        """What became of a row that was shown in an exploring place."""


class Thompson(Policy):
    """The chance of having the greatest draw from the posteriors of all click rates: Beta, about what the
    model's score lets expect of this reader. `even`: this much of the chance is spread evenly."""

    def __init__(self, even: float = 0.0, strength: float = STRENGTH) -> None:
        self._even, self._strength = even, strength
        self._seen: dict[int, list[int]] = {}  # row: shown, clicked
        self._scores: dict[int, float] = {}  # of the last pool
        self._log: list[tuple[float, bool]] = []
        self._line = FIRST_LINE

    def chances(self, rows: Rows, scores: NDArray[np.float32]) -> Floats:
        """See Policy."""
        above = scores.astype(np.float64) - scores.mean()  # a softmax's level is as good as any other
        self._scores = dict(zip(rows.tolist(), above.tolist(), strict=True))
        shown, clicked = np.array([self._seen.get(row, (0, 0)) for row in rows.tolist()], float).T
        hits = self._strength * rates(self._line, above) + clicked
        won = greatest(hits, self._strength + shown - hits)
        return self._even / len(rows) + (1 - self._even) * won

    def told(self, row: int, clicked: bool) -> None:
        """See Policy."""
        of = self._seen.setdefault(row, [0, 0])
        of[0], of[1] = of[0] + 1, of[1] + clicked
        if row in self._scores:  # else another policy showed it, before this one's turn
            self._log.append((self._scores[row], clicked))
            self._line = fitted(np.array(self._log, float)) if len(self._log) % REFIT == 0 else self._line


def rates(line: Floats, scores: Floats) -> Floats:
    """Click rates [m] that scores [m] let expect."""
    found: Floats = 1.0 / (1.0 + np.exp(-(line[0] + line[1] * scores)))
    return np.clip(found, 1e-4, 0.5)


def fitted(log: Floats) -> Floats:
    """The line of a logistic regression of clicks on scores, `log` [n, 2], by Newton's steps."""
    x, line = np.stack([np.ones(len(log)), log[:, 0]], axis=1), FIRST_LINE
    for _ in range(8):
        p = 1.0 / (1.0 + np.exp(-x @ line))
        slope = x.T @ (log[:, 1] - p) - RIDGE * (line - FIRST_LINE)
        bend = (x * (p * (1 - p))[:, None]).T @ x + np.diag(RIDGE)
        line = line + np.linalg.solve(bend, slope)
    return line


def greatest(hits: Floats, misses: Floats) -> Floats:
    """Chance [m] of each of m Beta draws to be the greatest, as numbers on a grid: no draw is made here, so
    that it is the chance itself that the place is drawn by."""
    density = hits[:, None] * LOG_RATE + misses[:, None] * LOG_REST  # of the logit: rate and rest once more
    mass = np.exp(density - density.max(axis=1, keepdims=True))
    mass /= mass.sum(axis=1, keepdims=True)
    below = np.log(np.maximum(mass.cumsum(axis=1) - mass / 2, 1e-300))
    won: Floats = (mass * np.exp(below.sum(axis=0) - below)).sum(axis=1) + LEAST
    return won / won.sum()


def even(scores: NDArray[np.float32]) -> Floats:
    """[m]"""
    return np.full(len(scores), 1.0 / len(scores))


def softmax(scores: NDArray[np.float32]) -> Floats:
    """[m]"""
    odds = np.exp(scores.astype(np.float64) - scores.max()) + LEAST
    return odds / odds.sum()


POLICIES: dict[str, Callable[[], Policy]] = {
    "none": lambda: Policy(mixed),  # never asked
    "even": lambda: Policy(even),
    "softmax": lambda: Policy(softmax),
    "shipped": lambda: Policy(mixed),
    "Thompson": Thompson,
    "Thompson 50": lambda: Thompson(strength=50.0),
    "even + Thompson": lambda: Thompson(even=0.5),
}
