"""What serving and training both keep about articles, by integer index.

Popularity fades exponentially at several half-lives (`replay.bump` is the same recursion for one
article). All but `near` is kept per feedback partition, as the buffer keeps it: what is read near an
article is asked for often, and one table a partition would make asking so many times as slow.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

import numpy as np

from streamrec.config import Buffer
from streamrec.model.pairs import Floats, Ints, Pairs, Partners

CO_LAST = 3  # reads before an event that count as co-read with it
NEAR_REACH, NEAR_LAST = 10, 10  # reads before an event that count as near it; last reads asked about
NEAR_MOST, WHOLE = 256, 0  # nearest that are candidates for it; the one table of what is near
NEAR_FADE = 0.85  # of what a read counts as near an event to what the next newer one does
FADE = 0.7  # of a read's weight to that of the next newer one


class CoReads(NamedTuple):
    """What others read who read what a reader read last: one dict of article -> decayed count for each of
    the CO_LAST newest reads, of what was read after it; and the articles `near` [n], ascending, with the sum
    [n] of their cosines to the NEAR_LAST newest reads, faded by rank (item-kNN: Sarwar et al. 2001), where
    what was read further apart counts less."""

    after: Sequence[Mapping[int, float]]
    near: Ints
    cosine: Floats

    @property
    def partners(self) -> Ints:
        """The articles [m] that were read after, and the nearest, ascending."""
        after = [np.fromiter(counts, np.int64, len(counts)) for counts in self.after]
        near = self.near[np.argsort(-self.cosine, kind="stable")[:NEAR_MOST]]
        return np.unique(np.concatenate([near, *after]))


class Counters:
    """Popularity, publication times and co-reads; article ids get indices in order of arrival."""

    def __init__(self, settings: Buffer) -> None:
        self.half_lives = tuple(settings.half_lives_s)
        self.co = Pairs(settings.co_half_life_s, settings.co_keep)  # an article, one read after it
        self.near = Pairs(inf, settings.near_keep)  # both ways, in one table
        self.ids: list[str] = []
        self.index: dict[str, int] = {}
        self.partitions: dict[int, int] = {}  # feedback partition -> first axis of the arrays
        self.t0: Floats = np.zeros((0, 0))
        self.values: Floats = np.zeros((0, 0, len(self.half_lives)))
        self.total: Ints = np.zeros((0, 0), dtype=np.int64)
        self.published_at: Floats = np.zeros(0)  # epoch s; NaN: unknown
        self._in_order: Floats | None = None  # publication times, sorted; None: to be made

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, item_id: str) -> int:
        """Index of an article, a new one if it was never seen."""
        found = self.index.get(item_id)
        if found is not None:
            return found
        self.index[item_id] = len(self.ids)
        self.ids.append(item_id)
        self._room(len(self.partitions), len(self.ids))
        return len(self.ids) - 1

    def publish(self, item_id: str, published_at: float | None) -> int:
        """Note when an article was published (epoch s, None: unknown); returns its index."""
        i = self.add(item_id)
        self.published_at[i] = np.nan if published_at is None else published_at
        self._in_order = None
        return i

    def restore(self, ids: Sequence[str], published_at: Floats) -> None:
        """Begin with these articles and their publication times [n] (epoch s, NaN: unknown)."""
        self.ids, self.index = list(ids), {item: i for i, item in enumerate(ids)}
        self._room(len(self.partitions), len(self.ids))
        self.published_at[: len(ids)], self._in_order = published_at, None

    def update(
        self, partition: int, item_id: str, t0: float, values: Sequence[float], total: int
    ) -> None:
        """Take over one of the buffer's counters as it stands."""
        p, i = self._partition(partition), self.add(item_id)
        self.t0[p, i], self.values[p, i], self.total[p, i] = t0, values, total

    def bump(self, partition: int, item_id: str, ts: float) -> None:
        """Count one read at `ts` (epoch s): the recursion of `replay.bump`, bit for bit."""
        p, i = self._partition(partition), self.add(item_id)
        t0 = float(self.t0[p, i]) if self.total[p, i] else ts
        dt, old = ts - t0, self.values[p, i].tolist()
        if dt >= 0:
            new = [v * 2.0 ** (-dt / h) + 1.0 for v, h in zip(old, self.half_lives, strict=True)]
        else:  # a late event is decayed instead of the counter
            new = [v + 2.0 ** (dt / h) for v, h in zip(old, self.half_lives, strict=True)]
        self.t0[p, i], self.values[p, i] = max(t0, ts), new
        self.total[p, i] += 1

    def decayed(self, now: float, idx: Ints | None = None) -> Floats:
        """Decayed reads [n, half-lives] at `now` (epoch s), summed over partitions."""
        at: Ints | slice = slice(len(self)) if idx is None else idx
        dt = np.maximum(now - self.t0[:, at], 0.0)
        faded = np.exp2(-dt[:, :, None] / np.asarray(self.half_lives)) * self.values[:, at]
        summed: Floats = faded.sum(axis=0)
        return summed

    def totals(self, idx: Ints | None = None) -> Ints:
        """First reads ever [n], summed over partitions."""
        at: Ints | slice = slice(len(self)) if idx is None else idx
        summed: Ints = self.total[:, at].sum(axis=0)
        return summed

    def last_read(self, idx: Ints | None = None) -> Floats:
        """Time of the newest first read [n], epoch s; NaN: never read."""
        at: Ints | slice = slice(len(self)) if idx is None else idx
        newest = np.where(self.total[:, at] > 0, self.t0[:, at], -np.inf).max(axis=0, initial=-np.inf)
        return np.where(np.isfinite(newest), newest, np.nan)

    def newer(self, now: float, idx: Ints | None = None) -> Floats:
        """How many articles [n] were published after each and by `now`; NaN: time unknown."""
        at: Ints | slice = slice(len(self)) if idx is None else idx
        if self._in_order is None:
            times = self.published_at[: len(self)]
            self._in_order = np.sort(times[~np.isnan(times)])
        published = self.published_at[at]
        until = np.searchsorted(self._in_order, now, side="right")
        after = until - np.searchsorted(self._in_order, published, side="right")
        return np.where(np.isnan(published), np.nan, np.maximum(after, 0).astype(np.float64))

    def co_add(self, partition: int, history: Sequence[str], item_id: str, ts: float) -> None:
        """Count a read of `item_id` at `ts` with the newest of `history`, newest first."""
        item, before = self.add(item_id), [self.add(b) for b in history[:NEAR_REACH]]
        weight, name = self.co.weight(ts), self.ids.__getitem__
        for b in before[:CO_LAST]:
            self.co.add(partition, b, item, weight, name)
        weight = self.near.weight(ts)
        for b in before:
            self.near.add(WHOLE, b, item, weight, name)
            self.near.add(WHOLE, item, b, weight, name)
            weight *= NEAR_FADE

    def co_query(self, last_reads: Sequence[int], now: float, near: Ints | None = None) -> CoReads:
        """What was read with some last reads, newest first, at `now` (epoch s); if only of some articles
        the cosine is asked for, of `near`: quicker than of all."""
        scale = self.co.scale(now)
        after: list[dict[int, float]] = [{} for _ in last_reads[:CO_LAST]]
        for counts, i in zip(after, last_reads, strict=False):
            for partners in self.co.of(i):
                for k, w in partners.items():
                    counts[k] = counts.get(k, 0.0) + w * scale
        reads = np.array(last_reads[:NEAR_LAST], np.int64)
        totals = self.totals(reads)
        # The trainer counts no read of what nobody has announced, though what was read around it: left out.
        weights = (np.where(totals > 0, FADE ** np.arange(len(reads)), 0.0) / np.sqrt(totals + 1.0)).tolist()
        found = [(p, w) for i, w in zip(reads.tolist(), weights, strict=True) for p in self.near.of(i)]
        near, summed = _summed(found) if near is None else _summed_of(found, np.unique(near))
        return CoReads(after, near, summed / np.sqrt(self.totals(near) + 1.0))

    def copy(self) -> "Counters":
        """An independent copy."""
        twin = Counters.__new__(Counters)
        twin.half_lives, twin.co, twin.near = self.half_lives, self.co.copy(), self.near.copy()
        twin.ids, twin.index = list(self.ids), dict(self.index)
        twin.partitions = dict(self.partitions)
        twin.t0, twin.values, twin.total = self.t0.copy(), self.values.copy(), self.total.copy()
        twin.published_at, twin._in_order = self.published_at.copy(), None
        return twin

    def _partition(self, partition: int) -> int:
        if partition not in self.partitions:
            self.partitions[partition] = len(self.partitions)
            self._room(len(self.partitions), len(self.ids))
        return self.partitions[partition]

    def _room(self, partitions: int, items: int) -> None:
        have_p, have_i = self.t0.shape
        if have_p >= partitions and have_i >= items and len(self.published_at) >= items:
            return
        grow_p = max(partitions - have_p, 0)
        grow_i = max(items, 2 * have_i, 64) - have_i if items > have_i else 0
        self.t0 = np.pad(self.t0, ((0, grow_p), (0, grow_i)))
        self.total = np.pad(self.total, ((0, grow_p), (0, grow_i)))
        self.values = np.pad(self.values, ((0, grow_p), (0, grow_i), (0, 0)))
        self.published_at = np.pad(self.published_at, (0, grow_i), constant_values=np.nan)


def _summed(found: Sequence[tuple[Partners, float]]) -> tuple[Ints, Floats]:
    """All partners [n], ascending, and the sums [n] of their weights, each times that of its dict."""
    places = [np.fromiter(partners, np.int64, len(partners)) for partners, _ in found]
    weights = [w * np.fromiter(p.values(), np.float64, len(p)) for p, w in found]
    near, at = np.unique(np.concatenate([np.zeros(0, np.int64), *places]), return_inverse=True)
    return near, np.bincount(at, np.concatenate([np.zeros(0), *weights]), len(near)).astype(np.float64)


def _summed_of(found: Sequence[tuple[Partners, float]], near: Ints) -> tuple[Ints, Floats]:
    """The same of some partners [n] alone."""
    summed, wanted = np.zeros(len(near)), near.tolist()
    for partners, weight in found:
        summed += weight * np.array([partners.get(i, 0.0) for i in wanted])
    return near, summed
