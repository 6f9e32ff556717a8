"""Negatives: articles alive and popular at the moment, and how likely each was to be drawn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.catalogue import LIVE
from streamrec.config import Trainer
from streamrec.model.counters import Counters

Array = NDArray[Any]
POWER = 0.75  # of the counts: between what is read and what could be read (word2vec's choice)


class Sampler:
    """Negatives for a block of rows, half uniform, half by popularity, as of its first moment. Of what was
    deleted since (see `known` of materialise) none is drawn: it would be taught as what nobody ever takes."""

    def __init__(
        self, counters: Counters, known: Array, ts: float, settings: Trainer,
        rng: np.random.Generator,
    ) -> None:
        self.negatives, self.few, self.rng = settings.negatives, settings.slate_negatives, rng
        published = counters.published_at[: len(known)]
        self.alive = np.flatnonzero((known == LIVE) & ~(published > ts))  # unknown time: alive
        self.uniform = 1.0 / max(len(self.alive), 1)
        weight = counters.totals(self.alive) ** POWER
        popular = weight / weight.sum() if weight.any() else np.full(len(weight), self.uniform)
        self.q = np.zeros(len(known))
        self.q[self.alive] = 0.5 * self.uniform + 0.5 * popular
        self.cdf = np.cumsum(self.q[self.alive])

    def draw(self, beside_slate: bool) -> list[int]:
        """Indices of up to `negatives` articles, with repeats; beside a slate a few, drawn uniformly."""
        if not len(self.alive):
            return []
        if beside_slate:
            at = self.rng.integers(len(self.alive), size=self.few)
        else:
            u = self.rng.random(self.negatives) * self.cdf[-1]
            at = np.minimum(np.searchsorted(self.cdf, u), len(self.alive) - 1)
        drawn: list[int] = self.alive[at].tolist()
        return drawn

    def logq(self, idx: Array) -> Array:
        """log of the chance that each article is in the sample: it is drawn without repeats."""
        q = np.maximum(self.q[idx], 0.5 * self.uniform)  # a positive published within this block
        found: Array = np.log(-np.expm1(self.negatives * np.log1p(-np.minimum(q, 0.999))))
        return found
