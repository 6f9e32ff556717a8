"""Counts of articles read by the same readers, by integer index, kept per feedback partition.

A weight fades by forward decay (Cormode et al. 2009): weights only ever grow, and are scaled down
when asked for.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

LANDMARK = 1_577_836_800.0  # 2020-01-01: forward decay counts from here
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Partners = dict[int, float]  # article -> weight


class Pairs:
    """Weights of pairs (an article, a partner of it). An article keeps its `keep` strongest partners, and
    up to twice as many between two cuts, so that a new one has time to grow. `half_life` in seconds."""

    def __init__(self, half_life: float, keep: int) -> None:
        self.half_life, self.keep = half_life, keep
        self.tables: dict[int, dict[int, Partners]] = {}

    def weight(self, ts: float) -> float:
        """What a read at `ts` (epoch s) weighs."""
        return float(2.0 ** ((ts - LANDMARK) / self.half_life))

    def add(
        self, partition: int, i: int, partner: int, weight: float, name: Callable[[int], str]
    ) -> None:
        """Count a read of so much weight. `name` of an article decides between equal
        weights, as processes number articles differently."""
        table = self.tables.get(partition)
        if table is None:
            table = self.tables[partition] = {}
        partners = table.get(i)
        if partners is None:
            table[i] = {partner: weight}
            return
        partners[partner] = partners.get(partner, 0.0) + weight
        if len(partners) > 2 * self.keep:
            strongest = sorted(partners, key=lambda k: (-partners[k], name(k)))[: self.keep]
            table[i] = {k: partners[k] for k in strongest}

    def set(self, partition: int, i: int, partner: int, weight: float) -> None:
        """Take over one weight as it stands."""
        self.tables.setdefault(partition, {}).setdefault(i, {})[partner] = weight

    def of(self, i: int) -> Iterator[Partners]:
        """Partners of an article, one dict a partition that has any."""
        return (table[i] for table in self.tables.values() if i in table)

    def scale(self, now: float) -> float:
        """What a weight is multiplied by at `now` (epoch s)."""
        return float(2.0 ** min(1000.0, (LANDMARK - now) / self.half_life))

    def items(self) -> Iterator[tuple[int, int, int, float]]:
        """All weights: partition, article, partner, weight."""
        return ((p, i, k, w) for p, t in self.tables.items() for i, d in t.items() for k, w in d.items())

    def arrays(self) -> tuple[Ints, Floats]:
        """All weights: places [3, n] (partition, article, partner) and weights [n]."""
        columns = list(zip(*self.items(), strict=True)) or [(), (), (), ()]
        return np.array(columns[:3], dtype=np.int64).reshape(3, -1), np.array(columns[3], float)

    def restore(self, places: Ints, weights: Floats) -> None:
        """Begin with what `arrays` answered."""
        for p, i, k, w in zip(*places.tolist(), weights.tolist(), strict=True):
            self.set(p, i, k, w)

    def copy(self) -> "Pairs":
        """An independent copy."""
        twin = Pairs(self.half_life, self.keep)
        twin.tables = {p: {i: dict(d) for i, d in t.items()} for p, t in self.tables.items()}
        return twin
