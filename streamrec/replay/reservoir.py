"""Rehearsal: a weighted reservoir, A-Res of Efraimidis & Spirakis (2006), under a byte budget.

A row's key is log(u)/w with u a hash of its event id, and the rows with the largest keys stay. A
row that left never comes back (thresholds only rise), so redelivery changes nothing, and
partitions merge: rows above the highest partition threshold are a sample of the whole stream.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from msgspec import msgpack

from streamrec.replay.contract import Read, Row


def digest(event_id: str) -> str:
    """16 hex digits that stand for an event id (the msgpack inside Redis knows no raw bytes)."""
    return blake2b(event_id.encode(), digest_size=8).hexdigest()


def a_res_key(event_digest: str, weight: float = 1.0) -> float:
    """log(u)/w with u uniform in (0, 1): orders rows as u^(1/w) does, without underflow."""
    return math.log((int(event_digest, 16) + 0.5) / 2.0**64) / weight


def row_size(row: Row, recent: Sequence[Read]) -> int:
    """Bytes of a row as Redis stores it: its history as text, in which a dismissed article has
    a mark before it."""
    text = "".join("\x1e" + "\x1d" * (r.kind == "dismiss") + r.item for r in recent) + "\x1e"
    return len(msgpack.encode([row.event_id, row.user, row.item, row.kind, row.ts, row.slate,
                               row.propensity, row.key, row.dwell, text]))


def merge_reservoirs(
    parts: Iterable[tuple[Sequence[Row], float]], item_cap: int
) -> list[Row]:
    """Rows above the highest threshold: each row of the stream had the same chance by weight."""
    parts = list(parts)
    floor = max((threshold for _, threshold in parts), default=-math.inf)
    rows = sorted((r for rows, _ in parts for r in rows if r.key > floor), key=lambda r: -r.key)
    taken: dict[str, int] = defaultdict(int)
    kept = []
    for row in rows:
        taken[row.item] += 1
        if taken[row.item] <= item_cap:
            kept.append(row)
    return kept


class Reservoir:
    """A-Res under a byte budget and caps per user and per item.

    `threshold` is the highest key that the budget ever turned away; `user_floor` and
    `item_floor` the same for each cap. A key at or below its floor is refused for good.
    """

    def __init__(self, max_bytes: int, user_cap: int, item_cap: int) -> None:
        self.max_bytes, self.caps = max_bytes, (user_cap, item_cap)
        self.rows: dict[str, tuple[Row, int]] = {}
        self.bytes, self.threshold = 0, -math.inf
        self.floors: tuple[dict[str, float], dict[str, float]] = ({}, {})
        self.members: tuple[dict[str, set[str]], dict[str, set[str]]] = (
            defaultdict(set), defaultdict(set),
        )

    def offer(self, row: Row, size: int) -> None:
        """Keep the row or not; `size` in bytes as stored. `settle` then holds the budget."""
        owners = (row.user, row.item)
        floor = max(self.floors[i].get(owners[i], -math.inf) for i in (0, 1))
        if row.key <= max(self.threshold, floor) or row.event_id in self.rows:
            return
        lowest = [self._lowest_at_cap(i, owners[i]) for i in (0, 1)]
        for i, low in enumerate(lowest):
            if low is not None and row.key < low.key:
                self.floors[i][owners[i]] = row.key
                return
        for i, low in enumerate(lowest):
            if low is not None:
                self.floors[i][owners[i]] = low.key
                self._evict(low)
        self._insert(row, size)

    def settle(self) -> None:
        """Turn away the lowest keys until the byte budget holds: once a batch."""
        while self.bytes > self.max_bytes:
            least = min((r for r, _ in self.rows.values()), key=lambda r: (r.key, r.event_id))
            self.threshold = least.key
            self._evict(least)

    def _lowest_at_cap(self, i: int, owner: str) -> Row | None:
        ids = self.members[i][owner]
        if len(ids) < self.caps[i]:
            return None
        return min((self.rows[e][0] for e in ids), key=lambda r: (r.key, r.event_id))

    def _insert(self, row: Row, size: int) -> None:
        self.rows[row.event_id] = (row, size)
        self.bytes += size
        self.members[0][row.user].add(row.event_id)
        self.members[1][row.item].add(row.event_id)

    def _evict(self, row: Row) -> None:
        found = self.rows.pop(row.event_id, None)
        if found is None:  # the same row can be lowest of both its user and its item
            return
        self.bytes -= found[1]
        self.members[0][row.user].discard(row.event_id)
        self.members[1][row.item].discard(row.event_id)
