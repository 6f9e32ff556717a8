"""The replay buffer in Redis. Every key of a partition carries one hash tag, `{feedback-3}`, so
that the script that writes it runs on one slot of a Redis Cluster."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from streamrec.adapters.redis import Connection
from streamrec.config import Buffer
from streamrec.replay import (
    CO_LAST,
    LANDMARK,
    Applied,
    Claim,
    Counts,
    Cursor,
    Popularity,
    Read,
    Row,
    WindowRow,
    merge_histories,
    merge_reservoirs,
)

T = TypeVar("T")
BATCH = 500  # Lua blocks every other client: p99 11 ms at 500 events, 44 ms at 2,000
_pack = msgspec.msgpack.Encoder().encode
_rows = msgspec.msgpack.Decoder(Row)
_reads = msgspec.msgpack.Decoder(list[Read])
_popularity = msgspec.msgpack.Decoder(Popularity)
_COUNTS = ("stored", "duplicates", "dead", "impressions", "repeats", "rows", "bytes", "watermark")


class RedisBuffer:
    """See streamrec.replay.ReplayBuffer."""

    def __init__(self, connection: Connection, prefix: str, settings: Buffer) -> None:
        self._redis, self._prefix, self._s = connection, prefix, settings
        self._known = f"{prefix}:{{buffer}}:partitions"
        s = settings
        self._settings = _pack([
            s.history, s.row_history, s.seen_max, s.seen_age_s, s.window_rows, s.reservoir_bytes,
            s.user_cap, s.item_cap, s.half_lives_s, s.co_half_life_s, s.co_keep, CO_LAST, LANDMARK,
        ])

    def _key(self, partition: int, *more: str) -> str:
        return ":".join((f"{self._prefix}:{{feedback-{partition}}}", *more))

    def _partitions(self) -> list[int]:
        return sorted(int(p) for p in self._redis.call(lambda c: c.smembers(self._known)))

    def claim(self, partition: int, incarnation: str, generation: int) -> Claim:
        """See ReplayBuffer."""
        found = self._redis.script("claim", self._key(partition), incarnation, generation)
        self._redis.call(lambda c: c.sadd(self._known, partition))
        return Claim(None if found is None else int(found), generation)

    def apply(
        self, partition: int, claim: Claim, incarnation: str, events: Sequence[Applied],
        next_offset: int, now: float,
    ) -> Counts:
        """See ReplayBuffer. More than BATCH events go in several calls, each whole in itself."""
        total = Counts()
        for chunk in _chunks(events, BATCH) or [[]]:
            end = chunk[-1].offset + 1 if chunk and chunk[-1] is not events[-1] else next_offset
            head = _pack([incarnation, claim.generation, end, now])
            stored, duplicates = self._redis.script(
                "apply", self._key(partition), head, _pack(chunk), self._settings
            )
            total.stored += stored
            total.duplicates += duplicates
        return total

    def histories(self, users: Sequence[str]) -> dict[str, list[Read]]:
        """See ReplayBuffer; one HMGET per partition, whatever partitioner the producers use."""
        if not users:
            return {}
        found = self._redis.pipeline(
            ("hmget", self._key(p, "history"), users) for p in self._partitions()
        )
        parts = [[_reads.decode(h) if h else [] for h in column] for column in found]
        return {
            user: merge_histories((column[i] for column in parts), self._s.history)
            for i, user in enumerate(users)
        }

    def popularity(self, since: Cursor) -> tuple[Cursor, dict[int, dict[str, Popularity]]]:
        """See ReplayBuffer."""
        partitions = self._partitions()
        new = dict(since)
        out: dict[int, dict[str, Popularity]] = {}
        changed = self._redis.pipeline(
            ("zrangebyscore", self._key(p, "changed"), f"({since.get(p, 0)}", "+inf", None, None, True)
            for p in partitions
        )
        for p, pairs in zip(partitions, changed, strict=True):
            if pairs:
                new[p] = int(max(score for _, score in pairs))
                out[p] = self._popularity_of(p, [item for item, _ in pairs])
        return new, out

    def _popularity_of(self, p: int, items: list[bytes]) -> dict[str, Popularity]:
        found = self._redis.pipeline(
            ("hmget", self._key(p, "popularity"), chunk) for chunk in _chunks(items, 5000)
        )
        packed = [value for chunk in found for value in chunk]
        return {
            i.decode(): _popularity.decode(v) for i, v in zip(items, packed, strict=True) if v
        }

    def co_reads(self, items: Sequence[str], now: float) -> dict[str, dict[str, float]]:
        """See ReplayBuffer."""
        wanted = [(p, item) for p in self._partitions() for item in items]
        found = self._redis.pipeline(
            ("zrange", self._key(p, "co", item), 0, -1, False, True) for p, item in wanted
        )
        fade = 2.0 ** (-(now - LANDMARK) / self._s.co_half_life_s)
        out: dict[str, dict[str, float]] = {item: {} for item in items}
        for (_, item), pairs in zip(wanted, found, strict=True):
            for other, weight in pairs:
                name = other.decode()
                out[item][name] = out[item].get(name, 0.0) + weight * fade
        return out

    def window(self, since: Cursor, limit: int) -> list[WindowRow]:
        """See ReplayBuffer."""
        partitions = self._partitions()
        found = self._redis.pipeline(
            ("xrange", self._key(p, "window"), f"({since.get(p, 0)}-0", "+", limit)
            for p in partitions
        )
        rows = [
            WindowRow(p, int(name.partition(b"-")[0]), _rows.decode(fields[b"r"]))
            for p, entries in zip(partitions, found, strict=True) for name, fields in entries
        ]
        return _oldest_first(rows, limit)

    def reservoir(self) -> list[Row]:
        """See ReplayBuffer."""
        partitions = self._partitions()
        found = self._redis.pipeline(
            command for p in partitions
            for command in (("hvals", self._key(p, "row")), ("hget", self._key(p, "fence"), "threshold"))
        )
        parts = [
            ([_rows.decode(r) for r in found[2 * i]], float(found[2 * i + 1] or "-inf"))
            for i in range(len(partitions))
        ]
        return merge_reservoirs(parts, self._s.item_cap)

    def counts(self) -> Counts:
        """See ReplayBuffer."""
        partitions = self._partitions()
        found = self._redis.pipeline(
            command for p in partitions for command in (
                ("hmget", self._key(p, "fence"), _COUNTS), ("hlen", self._key(p, "row"))
            )
        )
        total = Counts()
        for i in range(len(partitions)):
            _add(total, [float(v or 0) for v in found[2 * i]], found[2 * i + 1])
        return total

    def rows_total(self) -> Cursor:
        """See ReplayBuffer."""
        partitions = self._partitions()
        found = self._redis.pipeline(("hget", self._key(p, "fence"), "rows") for p in partitions)
        return {p: int(n or 0) for p, n in zip(partitions, found, strict=True)}


def _oldest_first(rows: list[WindowRow], limit: int) -> list[WindowRow]:
    """At most `limit` rows by time, without skipping any within a partition."""
    rows.sort(key=lambda r: r.row.ts)
    last: dict[int, int] = {}
    for r in rows[:limit]:
        last[r.partition] = max(last.get(r.partition, 0), r.ordinal)
    return [r for r in rows if r.ordinal <= last.get(r.partition, 0)]


def _add(total: Counts, values: list[float], rows: Any) -> None:
    stored, duplicates, dead, impressions, repeats, made, size, watermark = values
    total.stored += int(stored)
    total.duplicates += int(duplicates)
    total.dead += int(dead)
    total.impressions += int(impressions)
    total.repeats += int(repeats)
    total.rows += int(made)
    total.reservoir_rows += int(rows)
    total.reservoir_bytes += int(size)
    total.watermark = max(total.watermark, watermark)


def _chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[i : i + size] for i in range(0, len(items), size)]

