"""What serving and training both keep about articles, by integer index.

Popularity fades exponentially at several half-lives (`replay.bump` is the same recursion for one
article). Co-reads use forward decay (Cormode et al. 2009): weights only ever grow, and are scaled
down when asked for. Everything is kept per feedback partition, as the buffer keeps it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamrec.config import Buffer

LANDMARK = 1_577_836_800.0  # 2020-01-01: forward decay counts from here
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CoReads = dict[int, dict[int, float]]  # article -> what was read after it -> weight


class Counters:
    """Popularity, publication times and co-reads; article ids get indices in order of arrival."""

    def __init__(self, settings: Buffer) -> None:
        self.half_lives = tuple(settings.half_lives_s)
        self.co_half_life, self.co_keep = settings.co_half_life_s, settings.co_keep
        self.ids: list[str] = []
        self.index: dict[str, int] = {}
        self.partitions: dict[int, int] = {}  # feedback partition -> first axis of the arrays
        self.t0: Floats = np.zeros((0, 0))
        self.values: Floats = np.zeros((0, 0, len(self.half_lives)))
        self.total: Ints = np.zeros((0, 0), dtype=np.int64)
        self.published_at: Floats = np.zeros(0)  # epoch s; NaN: unknown
        self._in_order: Floats | None = None  # publication times, sorted; None: to be made
        self.co: dict[int, CoReads] = {}

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

    def co_add(self, partition: int, before: Sequence[str], item_id: str, ts: float) -> None:
        """Count a read of `item_id` at `ts` after each article of `before`."""
        table, item = self.co.setdefault(partition, {}), self.add(item_id)
        weight = 2.0 ** ((ts - LANDMARK) / self.co_half_life)
        for b in before:
            partners = table.setdefault(self.add(b), {})
            partners[item] = partners.get(item, 0.0) + weight
            if len(partners) > self.co_keep:
                del partners[min(partners, key=lambda k: (partners[k], self.ids[k]))]

    def co_set(self, partition: int, before: str, item_id: str, weight: float) -> None:
        """Take over one co-read count as it stands."""
        table, item = self.co.setdefault(partition, {}), self.add(item_id)
        table.setdefault(self.add(before), {})[item] = weight

    def co_table(self) -> tuple[Ints, Floats]:
        """All co-reads: places [3, n] (partition, article, read after it) and weights [n]."""
        rows = [(p, i, k, w) for p, t in self.co.items() for i, d in t.items()
                for k, w in d.items()]
        columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
        return np.array(columns[:3], dtype=np.int64).reshape(3, -1), np.array(columns[3], float)

    def co_query(self, last_reads: Sequence[int], now: float) -> list[dict[int, float]]:
        """Decayed co-reads at `now`: for each last read one dict of partner -> count."""
        scale = 2.0 ** min(1000.0, (LANDMARK - now) / self.co_half_life)
        found: list[dict[int, float]] = [{} for _ in last_reads]
        for counts, i in zip(found, last_reads, strict=True):
            for table in self.co.values():
                for k, w in table.get(i, {}).items():
                    counts[k] = counts.get(k, 0.0) + w * scale
        return found

    def copy(self) -> "Counters":
        """An independent copy."""
        twin = Counters.__new__(Counters)
        twin.half_lives, twin.co_half_life = self.half_lives, self.co_half_life
        twin.co_keep, twin.ids, twin.index = self.co_keep, list(self.ids), dict(self.index)
        twin.partitions = dict(self.partitions)
        twin.t0, twin.values, twin.total = self.t0.copy(), self.values.copy(), self.total.copy()
        twin.published_at, twin._in_order = self.published_at.copy(), None
        twin.co = {p: {i: dict(d) for i, d in t.items()} for p, t in self.co.items()}
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
