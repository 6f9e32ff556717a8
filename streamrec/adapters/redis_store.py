"""The catalogue, the rules, the model pointer with its lease, and the board, in Redis."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.adapters.redis import Connection
from streamrec.catalogue import Changes, Entry, Owed
from streamrec.events import Rule
from streamrec.registry import RECORDS, Pointer, VersionRecord

_json = msgspec.json.Encoder().encode
_entry = msgspec.json.Decoder(Entry)
_pointer = msgspec.json.Decoder(Pointer)
_record = msgspec.json.Decoder(VersionRecord)
_rule = msgspec.json.Decoder(Rule)


class RedisCatalogue:
    """See streamrec.catalogue.Catalogue."""

    def __init__(self, connection: Connection, prefix: str, dim: int) -> None:
        self._redis, self._dim = connection, dim
        self._p = f"{prefix}:{{catalogue}}"

    def put(self, entries: Sequence[Entry], texts: Mapping[str, str]) -> None:
        """See Catalogue."""
        if not entries:
            return
        args: list[Any] = [bytes(2 * self._dim)]
        for entry in entries:
            args += [entry.item_id, _json(entry), entry.text_hash, texts.get(entry.item_id, "")]
        self._redis.script("put", self._p, *args)

    def owed(self, limit: int) -> list[Owed]:
        """See Catalogue."""
        found = [f.decode() for f in self._redis.script("owed", self._p, limit)]
        return [Owed(*found[i : i + 3]) for i in range(0, len(found), 3)]

    def fill(self, encoded: Sequence[tuple[Owed, NDArray[np.float16]]]) -> None:
        """See Catalogue."""
        args: list[Any] = []
        for owed, vector in encoded:
            args += [owed.item_id, owed.text_hash, vector.astype(np.float16).tobytes()]
        if args:
            self._redis.script("fill", self._p, *args)

    def remove(self, item_ids: Sequence[str]) -> None:
        """See Catalogue."""
        if item_ids:
            self._redis.script("remove", self._p, *item_ids)

    def entries(self, item_ids: Sequence[str]) -> dict[str, Entry]:
        """See Catalogue."""
        if not item_ids:
            return {}
        found = self._redis.call(lambda c: c.hmget(f"{self._p}:entry", list(item_ids)))
        return {i: _entry.decode(e) for i, e in zip(item_ids, found, strict=True) if e}

    def texts(self, item_ids: Sequence[str]) -> dict[str, str]:
        """See Catalogue."""
        if not item_ids:
            return {}
        found = self._redis.call(lambda c: c.hmget(f"{self._p}:text", list(item_ids)))
        return {i: t.decode() for i, t in zip(item_ids, found, strict=True) if t}

    def changes(self, since: int, limit: int = 2000) -> Changes:
        """See Catalogue. `limit` counts sequence numbers' members; one number is never split."""
        newest = self.newest()  # both lists have it
        changed, removed = self._redis.pipeline([
            ("zrangebyscore", f"{self._p}:{name}", f"({since}", newest, 0, limit, True)
            for name in ("changed", "removed")
        ])
        end = min((c[-1][1] for c in (changed, removed) if len(c) == limit), default=None)
        if end is not None:  # cut off: take whole numbers below the last one seen, or all of one
            changed, removed = self._whole(since, end)
        cursor = int(max([since, *(s for _, s in changed), *(s for _, s in removed)]))
        return self._read(cursor, [m for m, _ in changed], [m.decode() for m, _ in removed])

    def _whole(self, since: int, end: float) -> list[Any]:
        return self._redis.pipeline([
            ("zrangebyscore", f"{self._p}:{name}", f"({since}", end, None, None, True)
            for name in ("changed", "removed")
        ])

    def _read(self, cursor: int, ids: list[bytes], removed: list[str]) -> Changes:
        if not ids:
            return Changes(cursor, [], np.zeros((0, self._dim), np.float16), removed)
        entries, vectors = self._redis.pipeline(
            [("hmget", f"{self._p}:entry", ids), ("hmget", f"{self._p}:vector", ids)]
        )
        zero = bytes(2 * self._dim)  # also for a vector that another encoder has left there
        found = [
            (_entry.decode(e), v if len(v) == len(zero) else zero)
            for e, v in zip(entries, vectors, strict=True) if e and v
        ]
        stacked = np.frombuffer(b"".join(v for _, v in found), np.float16)
        return Changes(cursor, [e for e, _ in found], stacked.reshape(-1, self._dim), removed)

    def explored(self, given: Mapping[str, int]) -> dict[str, int]:
        """See Catalogue."""
        if not given:
            return {}
        totals = self._redis.script("explored", self._p, *(part for pair in given.items() for part in pair))
        return {item: int(n) for item, n in zip(given, totals, strict=True)}

    def size(self) -> int:
        """See Catalogue."""
        return int(self._redis.call(lambda c: c.hlen(f"{self._p}:entry")))

    def newest(self) -> int:
        """See Catalogue."""
        return int(self._redis.call(lambda c: c.get(f"{self._p}:seq")) or 0)

    def identity(self) -> str:
        """See Catalogue."""
        self._redis.call(lambda c: c.set(f"{self._p}:identity", uuid.uuid4().hex, nx=True))
        return str(self._redis.call(lambda c: c.get(f"{self._p}:identity")).decode())


class RedisRules:
    """See streamrec.rules.RuleStore."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._redis, self._p = connection, f"{prefix}:{{rules}}"

    def change(self, put: Sequence[Rule], remove: Sequence[str]) -> None:
        """See RuleStore; all at once."""
        texts = [part for rule in put for part in (rule.rule_id, _json(rule))]
        self._redis.script("rules", self._p, len(put), *texts, *remove)

    def all(self) -> list[Rule]:
        """See RuleStore."""
        found = self._redis.call(lambda c: c.hvals(f"{self._p}:all"))
        return sorted((_rule.decode(r) for r in found), key=lambda r: r.rule_id)

    def version(self) -> int:
        """See RuleStore."""
        return int(self._redis.call(lambda c: c.get(f"{self._p}:version")) or 0)


class RedisPointers:
    """See streamrec.registry.PointerStore: pointer, versions and lease share one slot, so that
    one script can check the token and move the pointer."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._redis, self._p = connection, f"{prefix}:{{registry}}"

    def read(self) -> Pointer:
        """See PointerStore."""
        found = self._redis.call(lambda c: c.get(f"{self._p}:pointer"))
        return _pointer.decode(found) if found else Pointer()

    def move(
        self, new: Pointer, expected_attempt: int, token: int | None, record: VersionRecord | None
    ) -> None:
        """See PointerStore."""
        self._redis.script(
            "move", self._p, _json(new), expected_attempt, "" if token is None else token,
            record.version if record else "", _json(record) if record else "",
            RECORDS,
        )

    def records(self) -> list[VersionRecord]:
        """See PointerStore."""
        found = self._redis.call(lambda c: c.lrange(f"{self._p}:versions", 0, -1))
        return [_record.decode(r) for r in found]

    def next_number(self, above: int = 0) -> int:
        """See PointerStore."""
        number = int(self._redis.call(lambda c: c.incr(f"{self._p}:number")))
        if number <= above:  # counted on, not set: another's number stays another
            number = int(self._redis.call(lambda c: c.incrby(f"{self._p}:number", above + 1 - number)))
        return number

    def acquire(self, owner: str, ttl_s: float) -> int | None:
        """See PointerStore."""
        token = self._redis.script("acquire", self._p, int(ttl_s * 1000))
        if token is not None:
            self._redis.call(lambda c: c.set(f"{self._p}:owner", owner))
        return token if token is None else int(token)

    def renew(self, token: int, ttl_s: float) -> bool:
        """See PointerStore."""
        return bool(self._redis.script("renew", self._p, token, int(ttl_s * 1000)))

    def release(self, token: int) -> None:
        """See PointerStore."""
        self._redis.script("renew", self._p, token, 0)


class RedisBoard:
    """See streamrec.metrics.Board."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._redis, self._p = connection, f"{prefix}:{{board}}"

    def put(self, name: str, value: Any) -> None:
        """See Board."""
        self._redis.call(lambda c: c.set(f"{self._p}:{name}", _json(value)))

    def get(self, name: str) -> Any:
        """See Board."""
        found = self._redis.call(lambda c: c.get(f"{self._p}:{name}"))
        return None if found is None else msgspec.json.decode(found)

    def count(self, name: str, n: int = 1) -> None:
        """See Board."""
        self._redis.call(lambda c: c.incrby(f"{self._p}:{name}:n", n))

    def total(self, name: str) -> int:
        """See Board."""
        return int(self._redis.call(lambda c: c.get(f"{self._p}:{name}:n")) or 0)

    def append(self, name: str, value: Any, most: int) -> None:
        """See Board."""
        key, text = f"{self._p}:{name}:series", _json(value)
        if self._redis.call(lambda c: c.rpush(key, text)) > most:
            self._redis.call(lambda c: c.ltrim(key, -most, -1))

    def newest(self, name: str, n: int) -> list[Any]:
        """See Board."""
        found = self._redis.call(lambda c: c.lrange(f"{self._p}:{name}:series", -n, -1))
        return [msgspec.json.decode(value) for value in found]
