"""The additive serving features of an article for a reader: one definition for both sides.

The scorer calls these on the buffer's counters, the trainer on counters that walk through time,
so a weight learned here means the same there. Popularity and age carry most of a news ranking;
text places what has no counts yet.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streamrec.model.counters import Counters, Ints

FEATURES: tuple[str, ...] = (
    "popular_short", "popular_middle", "popular_long", "popular_ever", "age", "co_read",
)
PARTS: dict[str, slice] = {
    "popularity": slice(0, 4), "freshness": slice(4, 5), "co_read": slice(5, 6),
}
Features = NDArray[np.float32]
K = TypeVar("K", bound=Hashable)


def item_features(counters: Counters, now: float, idx: Ints | None = None) -> Features:
    """Features [n, 5] that no reader changes, at `now` (epoch s); all articles if no `idx`.

    log1p of decayed reads at three half-lives, log1p of reads ever, and log1p of the age in
    shortest half-lives. An unknown publication time is NaN, which the network reads as average.
    """
    at: Ints | slice = slice(len(counters)) if idx is None else idx
    age = np.maximum(now - counters.published_at[at], 0.0) / counters.half_lives[0]
    parts = [counters.decayed(now, idx), counters.totals(idx)[:, None], age[:, None]]
    found: Features = np.log1p(np.concatenate(parts, axis=1)).astype(np.float32)
    return found


def co_feature(partners: Iterable[Mapping[K, float]], candidates: Sequence[K]) -> Features:
    """log1p of decayed co-reads [n] of each candidate with the reader's last reads.

    `partners`: for each of the last CO_LAST reads, what others read after it, decayed to now, as
    `Counters.co_query` answers. Keys may be any names of articles, the same in `candidates`.
    """
    summed: dict[K, float] = {}
    for counts in partners:
        for k, count in counts.items():
            summed[k] = summed.get(k, 0.0) + count
    if not summed:
        return np.zeros(len(candidates), dtype=np.float32)
    raw = np.array([summed.get(c, 0.0) for c in candidates], dtype=np.float64)
    found: Features = np.log1p(raw).astype(np.float32)
    return found


def join(items: Features, co: Features) -> Features:
    """All features [n, len(FEATURES)] from `item_features` [n, 5] and `co_feature` [n]."""
    return np.concatenate([items, co[:, None]], axis=1)
