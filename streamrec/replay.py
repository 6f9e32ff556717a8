"""The replay buffer: its contract, its rows, and every keep-or-evict decision in plain Python.

`PartitionState` is the meaning; `adapters/lua/apply.lua` is the same decision inside Redis, and
a property test holds the two together. Everything is kept per feedback partition, so that one
atomic script touches one hash slot.

Rehearsal is a weighted reservoir, A-Res of Efraimidis & Spirakis (2006): a row's key is
log(u)/w with u a hash of its event id, and the rows with the largest keys stay. A row that
left never comes back (thresholds only rise), so redelivery changes nothing, and partitions
merge: rows above the highest partition threshold are a sample of the whole stream.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

from msgspec import Struct, msgpack

from streamrec.config import Buffer
from streamrec.errors import Fenced

Cursor = dict[int, int]  # partition -> ordinal of the last row taken
SLACK = 16  # a history may hold so many more before it is cut
CO_LAST = 3  # reads before an event that count as co-read with it


class Row(Struct, array_like=True, frozen=True):
    """One training row, ids only: what the reader had read (newest first), the slate shown
    (may be empty), the article chosen, and its A-Res key."""

    event_id: str
    user: str
    item: str
    kind: str
    ts: float
    history: list[str]
    slate: list[str]
    propensity: float
    key: float


class Applied(Struct, array_like=True, frozen=True):
    """One decoded event on its way into the buffer; kind `dead` only counts a dead letter."""

    offset: int
    digest: str
    event_id: str
    user: str
    item: str
    kind: str
    ts: float
    slate: list[str]
    propensity: float
    key: float


class Read(Struct, array_like=True, frozen=True):
    """One entry of a reader's history."""

    item: str
    ts: float
    kind: str


class WindowRow(NamedTuple):
    """A row not yet learned, with its place."""

    partition: int
    ordinal: int
    row: Row


class Claim(NamedTuple):
    """What the buffer knows of a partition: the next offset to apply (None: never seen)."""

    next_offset: int | None
    generation: int


class Counts(Struct):
    """What one or all partitions have counted since they exist."""

    stored: int = 0
    duplicates: int = 0
    dead: int = 0
    impressions: int = 0
    repeats: int = 0
    rows: int = 0
    reservoir_rows: int = 0
    reservoir_bytes: int = 0
    watermark: float = 0.0


class Popularity(Struct, array_like=True, frozen=True):
    """First reads of one article in one partition: values decayed to time `t0`, and a total."""

    t0: float
    values: list[float]
    total: int


class ReplayBuffer(Protocol):
    """What consumers write and the trainer and the scorer read."""

    def claim(self, partition: int, incarnation: str, generation: int) -> Claim:
        """Take a partition for a group generation. Raises Fenced if a later one has it."""

    def apply(
        self, partition: int, claim: Claim, incarnation: str, events: Sequence[Applied],
        next_offset: int, now: float,
    ) -> Counts:
        """Apply one batch atomically, each event once. Raises Fenced, RetryLater."""

    def histories(self, users: Sequence[str]) -> dict[str, list[Read]]:
        """Newest-first reads of each reader, merged over partitions; unknown readers get []."""

    def popularity(self, since: Cursor) -> tuple[Cursor, dict[int, dict[str, Popularity]]]:
        """Counters changed after `since`, by partition and article, and the new cursor."""

    def window(self, since: Cursor, limit: int) -> list[WindowRow]:
        """Untrained rows after `since`, oldest first per partition, at most `limit`."""

    def reservoir(self) -> list[Row]:
        """The rehearsal rows of all partitions, merged into one uniform sample."""

    def counts(self) -> Counts:
        """Totals over partitions; `watermark` is the newest event time."""

    def audit(self, event_ids: Sequence[str]) -> tuple[int, int]:
        """How many of these events are in the buffer, and how many applications were too many:
        looked up one by one. Meaningful when nothing else was ever published."""

    def rows_total(self) -> Cursor:
        """Rows ever made, by partition: minus a cursor, what waits to be learned."""


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
                               row.propensity, row.key, text]))


def bump(pop: Popularity, ts: float, half_lives: Sequence[float]) -> Popularity:
    """Count one read at `ts`; late events are decayed instead of the counter."""
    dt = ts - pop.t0
    if dt >= 0:
        values = [v * 2.0 ** (-dt / h) + 1.0 for v, h in zip(pop.values, half_lives, strict=True)]
        return Popularity(ts, values, pop.total + 1)
    values = [v + 2.0 ** (dt / h) for v, h in zip(pop.values, half_lives, strict=True)]
    return Popularity(pop.t0, values, pop.total + 1)


def merge_histories(parts: Iterable[Sequence[Read]], limit: int) -> list[Read]:
    """One reader's history when the events came through several partitions."""
    full = [p for p in parts if p]
    if len(full) == 1:
        return list(full[0][:limit])
    newest: dict[str, Read] = {}
    for read in sorted((r for p in full for r in p), key=lambda r: r.ts):
        newest[read.item] = read
    return sorted(newest.values(), key=lambda r: -r.ts)[:limit]


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


def oldest_first(rows: list[WindowRow], limit: int) -> list[WindowRow]:
    """About the `limit` oldest rows by time, and all before them in their partition: a cursor
    can only say how far a partition was read."""
    rows = sorted(rows, key=lambda r: r.row.ts)
    last: dict[int, int] = {}
    for r in rows[:limit]:
        last[r.partition] = max(last.get(r.partition, 0), r.ordinal)
    return [r for r in rows if r.ordinal <= last.get(r.partition, 0)]


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


class PartitionState:
    """Everything the buffer keeps of one partition, and the decision for one event."""

    def __init__(self, settings: Buffer) -> None:
        self.s = settings
        self.incarnation, self.generation = "", -1
        self.next_offset: int | None = None
        self.seen: tuple[set[str], set[str]] = (set(), set())  # newer, older: they take turns
        self.seen_since: float | None = None
        self.histories: dict[str, list[Read]] = {}
        self.popularity: dict[str, Popularity] = {}
        self.changed: dict[str, int] = {}
        self.seq = 0
        self.window: dict[int, Row] = {}
        self.reservoir = Reservoir(settings.reservoir_bytes, settings.user_cap, settings.item_cap)
        self.counts = Counts()

    def claim(self, incarnation: str, generation: int) -> Claim:
        """See ReplayBuffer.claim: a recreated topic starts anew, an older generation is fenced."""
        if incarnation != self.incarnation:
            self.incarnation, self.next_offset = incarnation, None
        elif generation < self.generation:
            raise Fenced(f"generation {self.generation} owns this partition, not {generation}")
        self.generation = generation
        return Claim(self.next_offset, generation)

    def apply(
        self, claim: Claim, incarnation: str, events: Sequence[Applied], next_offset: int,
        now: float,
    ) -> Counts:
        """See ReplayBuffer.apply; returns what this batch added."""
        if incarnation != self.incarnation or claim.generation != self.generation:
            raise Fenced(f"generation {self.generation} owns this partition")
        before = self.counts.stored, self.counts.duplicates
        self._forget(now)
        self.seq += 1
        for event in events:
            if event.offset >= (self.next_offset or 0):
                self._one(event)
        self.reservoir.settle()
        self.next_offset = max(next_offset, self.next_offset or 0)
        return Counts(
            stored=self.counts.stored - before[0], duplicates=self.counts.duplicates - before[1]
        )

    def _one(self, e: Applied) -> None:
        if e.kind == "dead":
            self.counts.dead += 1
            return
        if e.digest in self.seen[0] or e.digest in self.seen[1]:
            self.counts.duplicates += 1
            return
        self.seen[0].add(e.digest)
        self.counts.stored += 1
        self.counts.watermark = max(self.counts.watermark, e.ts)
        if e.kind == "impression":
            self.counts.impressions += 1
            return
        history = self.histories.get(e.user, [])
        if e.kind != "dismiss":
            if e.item in {r.item for r in history if r.kind != "dismiss"}:
                self.counts.repeats += 1
            else:
                self._learnable(e, history[: self.s.row_history])
        history = [Read(e.item, e.ts, e.kind), *(r for r in history if r.item != e.item)]
        over = len(history) > self.s.history + SLACK  # cut seldom: a cut copies the history
        self.histories[e.user] = history[: self.s.history] if over else history

    def _learnable(self, e: Applied, recent: list[Read]) -> None:
        read = [r.item for r in recent if r.kind != "dismiss"]
        row = Row(e.event_id, e.user, e.item, e.kind, e.ts, read, e.slate, e.propensity, e.key)
        self.counts.rows += 1
        self.window[self.counts.rows] = row
        self.window.pop(self.counts.rows - self.s.window_rows, None)
        zero = Popularity(e.ts, [0.0] * len(self.s.half_lives_s), 0)
        self.popularity[e.item] = bump(
            self.popularity.get(e.item, zero), e.ts, self.s.half_lives_s
        )
        self.changed[e.item] = self.seq
        self.reservoir.offer(row, row_size(row, recent))

    def _forget(self, now: float) -> None:
        """Half of what may be remembered, or half the age: the older set goes."""
        since = self.seen_since = now if self.seen_since is None else self.seen_since
        if len(self.seen[0]) >= self.s.seen_max / 2 or now - since >= self.s.seen_age_s / 2:
            self.seen, self.seen_since = (set(), self.seen[0]), now
