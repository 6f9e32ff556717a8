"""Everything the buffer keeps of one partition, and every decision about it, in plain Python.

`adapters/lua/apply.lua` is the same decision inside Redis, and a property test holds the two
together. Everything is kept per feedback partition, so that one atomic script touches one slot.
"""

from collections.abc import Iterable, Sequence

from streamrec.config import Buffer
from streamrec.errors import Fenced
from streamrec.replay.contract import (
    HOLDER_SILENT_S,
    SLACK,
    Applied,
    Claim,
    Counts,
    Popularity,
    Read,
    Row,
    WindowRow,
)
from streamrec.replay.reservoir import Reservoir, row_size


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


def oldest_first(rows: list[WindowRow], limit: int) -> list[WindowRow]:
    """About the `limit` oldest rows by time, and all before them in their partition: a cursor
    can only say how far a partition was read."""
    rows = sorted(rows, key=lambda r: r.row.ts)
    last: dict[int, int] = {}
    for r in rows[:limit]:
        last[r.partition] = max(last.get(r.partition, 0), r.ordinal)
    return [r for r in rows if r.ordinal <= last.get(r.partition, 0)]


class PartitionState:
    """Everything the buffer keeps of one partition, and the decision for one event."""

    def __init__(self, settings: Buffer) -> None:
        self.s = settings
        self.incarnation, self.generation, self.alive_at = "", -1, 0.0
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

    def claim(self, incarnation: str, generation: int, now: float = 0.0) -> Claim:
        """See ReplayBuffer.claim: a recreated topic starts anew, an older generation is fenced."""
        if incarnation != self.incarnation:
            self.incarnation, self.next_offset = incarnation, None
        elif generation < self.generation and now - self.alive_at <= HOLDER_SILENT_S:
            raise Fenced(f"generation {self.generation} owns this partition, not {generation}")
        self.generation, self.alive_at = generation, max(now, self.alive_at)
        return Claim(self.next_offset, generation)

    def apply(
        self, claim: Claim, incarnation: str, events: Sequence[Applied], next_offset: int,
        now: float,
    ) -> Counts:
        """See ReplayBuffer.apply; returns what this batch added."""
        if incarnation != self.incarnation or claim.generation != self.generation:
            raise Fenced(f"generation {self.generation} owns this partition")
        before = self.counts.stored, self.counts.duplicates
        self.alive_at = max(now, self.alive_at)
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
        row = Row(e.event_id, e.user, e.item, e.kind, e.ts, read, e.slate, e.propensity, e.key, e.dwell)
        self.counts.rows += 1
        self.window[self.counts.rows] = row
        self.window.pop(self.counts.rows - self.s.window_rows, None)
        zero = Popularity(e.ts, [0.0] * len(self.s.half_lives_s), 0)
        self.popularity[e.item] = bump(
            self.popularity.get(e.item, zero), e.ts, self.s.half_lives_s
        )
        self.changed.pop(e.item, None)  # the newest change stands last
        self.changed[e.item] = self.seq
        self.reservoir.offer(row, row_size(row, recent))

    def _forget(self, now: float) -> None:
        """Half of what may be remembered, or half the age: the older set goes."""
        since = self.seen_since = now if self.seen_since is None else self.seen_since
        if len(self.seen[0]) >= self.s.seen_max / 2 or now - since >= self.s.seen_age_s / 2:
            self.seen, self.seen_since = (set(), self.seen[0]), now
