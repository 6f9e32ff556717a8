"""The topic of an article, for counting what is read."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BITS = 4
SEED = 7  # fixed: clusters of two monitors, or of one before and after a restart, must agree
UNTITLED = "untitled"


def topic_of(tags: Sequence[str], vector: NDArray[np.float32] | None) -> str:
    """The first tag; else the cluster of the base `vector`; without text (a zero vector), untitled."""
    if tags:
        return tags[0]
    if vector is None or not vector.any():
        return UNTITLED
    return cluster(np.asarray(vector, dtype=np.float32))


def cluster(vector: NDArray[np.float32]) -> str:
    """One of 16 clusters by the signs of random projections (Charikar 2002): near vectors agree.

    It needs no fitting and never moves, unlike k-means, so a change of the mix is the readers'.
    """
    signs = _planes(len(vector)) @ vector > 0
    return f"cluster-{int(signs @ (1 << np.arange(BITS)))}"


@lru_cache
def _planes(size: int) -> NDArray[np.float32]:
    return np.random.default_rng(SEED).standard_normal((BITS, size)).astype(np.float32)
