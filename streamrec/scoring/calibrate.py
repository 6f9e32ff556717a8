"""A list whose tags are mixed as in what the reader reads, so that their lesser interests are not
crowded out by the greatest one: calibrated recommendations (Steck 2018).
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from streamrec.catalogue import Entry

SMOOTHED = 0.01  # of the reader's own mix is in every list's, or a missing tag would cost without end
Floats = NDArray[np.float64]


class Mix:
    """The tags of a list that grows, against those of a reader's reads. `entries` [P]: what may be added;
    `weight`: 0 is the best articles, 1 the reader's mix alone."""

    def __init__(self, read: Iterable[Entry], entries: Sequence[Entry], weight: float) -> None:
        wanted = Counter[str]()
        for entry in read:
            for tag in entry.tags:
                wanted[tag] += 1 / len(entry.tags)  # type: ignore[assignment]
        self.weight = weight if wanted else 0.0
        self._at = {tag: k for k, tag in enumerate(wanted)}
        self._wanted = np.array(list(wanted.values())) / max(sum(wanted.values()), 1e-9)
        self._each = np.stack([self._shares(e) for e in entries]) if entries else np.zeros((0, len(wanted)))
        self._sum, self._n = np.zeros(len(wanted)), 0

    def misfits(self) -> Floats:
        """[P]: how far the list would be from the reader's mix with each of the articles in it, from 0 to 1:
        their divergence (Kullback-Leibler) over the largest that can be."""
        list_ = (self._sum + self._each) / (self._n + 1)
        smooth = (1 - SMOOTHED) * list_ + SMOOTHED * self._wanted
        found: Floats = (self._wanted * np.log(self._wanted / smooth)).sum(axis=1) / -math.log(SMOOTHED)
        return found

    def take(self, entry: Entry) -> None:
        """It is in the list."""
        self._sum, self._n = self._sum + self._shares(entry), self._n + 1

    def _shares(self, entry: Entry) -> Floats:
        found = np.zeros(len(self._at))
        for tag in entry.tags:
            if tag in self._at:
                found[self._at[tag]] += 1 / len(entry.tags)
        return found
