"""What is published: article vectors by maximum mean discrepancy, and words nobody used before."""

import re
from collections.abc import Sequence
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from streamrec.config import Monitor
from streamrec.drift.contract import Detector, moved
from streamrec.drift.formulas import two_sided
from streamrec.events import Finding

BLOCK = 100  # articles compared with the reference at once
KEPT = 400  # reference articles
PERMUTATIONS = 500
IN_A_ROW = 2  # blocks that must all differ: with one, chance would alarm each 50,000 articles
NEW_WORDS = 0.05  # of a title's words: a rise that matters
SIGMAS = 6.0
Vector = NDArray[np.float32]
Title = NewType("Title", str)


class ContentShift(Detector):
    """MMD with an RBF kernel (Gretton et al. 2012) of blocks of new articles against the first ones,
    its width the median distance; the p-value by permutation."""

    name, kind = "content", "content"
    why_not = f"not yet an alarm: {IN_A_ROW} blocks in a row must be"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._rng = np.random.default_rng(7)
        self.rearm()

    def rearm(self) -> None:
        """Begin anew: also when the encoder changed, as vectors of two encoders do not compare."""
        self._reference: list[Vector] = []
        self._block: list[Vector] = []
        self._row, self._since = 0, 0.0
        self._last: Finding | None = None

    def update(self, x: Vector, at: float = 0.0) -> None:
        """Take the vector [d] of one new article; one without a text says nothing."""
        if not np.isfinite(x).all() or not x.any():
            return
        if self._reference and len(x) != len(self._reference[0]):
            self.rearm()
        if len(self._reference) < 2 * BLOCK:
            self._reference.append(x)
            return
        self._since = self._since if self._block or self._row else at
        self._block.append(x)
        if len(self._block) == BLOCK:
            self._compare()

    def _compare(self) -> None:
        block, self._block = self._block, []
        value, threshold, p = mmd(self._reference, block, self._rng)
        self._row = self._row + 1 if value > threshold else 0
        n = len(self._reference)
        self._last = Finding(
            detector=self.name, alarm=self._row == IN_A_ROW, value=value, threshold=threshold,
            samples=n + BLOCK, reference=f"{n} articles", current=f"newest {BLOCK} articles",
            detail=f"MMD {value:.4f}, chance gives up to {threshold:.4f}", p_value=p, first_seen=self._since,
        )
        if self._last.alarm:
            self._latch(self._last)
            self.rearm()
        elif not self._row and n < KEPT:
            self._reference += block

    def _state(self) -> Finding:
        seen = len(self._reference) + len(self._block)
        if self._last is None:
            return self._too_few(seen, 3 * BLOCK)
        return self._last


def mmd(
    reference: Sequence[Vector], block: Sequence[Vector], rng: np.random.Generator
) -> tuple[float, float, float]:
    """(MMD², the largest that permuted labels give, p-value)."""
    x, n = np.asarray([*reference, *block], dtype=np.float32), len(reference)
    squares = (x**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * x @ x.T, 0.0)
    kernel = np.exp(-distances / max(float(np.median(distances)), 1e-9))
    weights = np.concatenate([np.full(n, 1 / n), np.full(len(block), -1 / len(block))]).astype(np.float32)
    drawn = rng.permuted(np.tile(weights, (PERMUTATIONS, 1)), axis=1)
    chance = ((drawn @ kernel) * drawn).sum(axis=1)
    value = float(weights @ kernel @ weights)
    return value, float(chance.max()), float((1 + (chance >= value).sum()) / (1 + PERMUTATIONS))


class NewWords(Detector):
    """Share of a title's words that the first titles had not: of the next block of titles, and of each
    block since. Their difference is tested: some words are always new."""

    name, kind = "new-words", "content"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._rearm()

    def _rearm(self) -> None:
        self._known: set[str] = set()
        self._usual: list[float] = []
        self._block: list[float] = []
        self._learned, self._since = 0, 0.0
        self._last: Finding | None = None

    def update(self, x: Title, at: float = 0.0) -> None:
        """Take one title; one without words says nothing."""
        words = re.findall(r"\w+", x.casefold())
        if not words:
            return
        if self._learned < BLOCK:
            self._known.update(words)
            self._learned += 1
            return
        share = sum(w not in self._known for w in words) / len(words)
        if len(self._usual) < BLOCK:
            self._usual.append(share)
            return
        self._since = self._since if self._block else at
        self._block.append(share)
        if len(self._block) == BLOCK:
            self._compare()

    def _compare(self) -> None:
        before, after = np.asarray(self._usual), np.asarray(self._block)
        self._block = []
        rise = float(after.mean() - before.mean())
        error = float(np.sqrt((before.var() + after.var()) / BLOCK))
        threshold = max(NEW_WORDS, SIGMAS * error)
        self._last = Finding(
            detector=self.name, alarm=abs(rise) >= threshold, value=abs(rise), threshold=threshold,
            samples=3 * BLOCK, reference=f"{BLOCK} titles, {before.mean():.3f} of the words new",
            current=f"newest {BLOCK} titles, {after.mean():.3f} of the words new",
            detail=f"share of new words {moved(f'{before.mean():.3f}', f'{after.mean():.3f}', rise > 0)}",
            p_value=two_sided(rise, error), interval=(rise - 1.96 * error, rise + 1.96 * error),
            first_seen=self._since,
        )
        if self._last.alarm:
            self._latch(self._last)
            self._rearm()

    def _state(self) -> Finding:
        if self._last is None:
            seen = self._learned + len(self._usual) + len(self._block)
            return self._too_few(seen, 3 * BLOCK)
        return self._last
