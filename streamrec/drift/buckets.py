"""A window as ADWIN keeps it, which tells that its mean changed but not when."""

from collections.abc import Iterator
from typing import NamedTuple

LIKE = 5  # buckets of one size, as in river: one more, and the two oldest become one of the next size


class Bucket(NamedTuple):
    """So many values in a row, their sum, and the event time of the first."""

    n: int
    total: float
    since: float


class Buckets:
    """Values in buckets that grow with age (Bifet & Gavaldà 2007, section 4): a change is looked for between
    two buckets."""

    def __init__(self) -> None:
        self._sizes: list[list[tuple[int, float, float]]] = []  # each oldest first
        self.n, self.total, self.squares = 0, 0.0, 0.0  # squares: of the distances from the mean

    def put(self, x: float, at: float) -> None:
        """Take one value of event time `at`."""
        if self.n:
            self.squares += self.n * (x - self.total / self.n) ** 2 / (self.n + 1)
        self.n, self.total = self.n + 1, self.total + x
        self._add((1, x, at))

    def _add(self, bucket: tuple[int, float, float]) -> None:
        """Plain tuples and no calls: this is done for each value of each detector."""
        for alike in self._sizes:
            alike.append(bucket)
            if len(alike) <= LIKE:
                return
            (n, total, since), (m, more, _) = alike[0], alike[1]
            del alike[:2]
            bucket = n + m, total + more, since
        self._sizes.append([bucket])

    def newest_first(self) -> Iterator[Bucket]:
        """All of them."""
        for alike in self._sizes:
            yield from map(Bucket._make, reversed(alike))
