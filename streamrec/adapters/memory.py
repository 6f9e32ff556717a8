"""Everything that streamrec keeps elsewhere, kept in this process: shipped, and tested by the
same contract suites as the real adapters. For tests, evaluation and trying things out."""

import threading
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.catalogue import Changes, Entry, Owed
from streamrec.clock import Clock, SystemClock
from streamrec.config import Buffer
from streamrec.errors import Conflict, Fenced, NotFound
from streamrec.events import Rule
from streamrec.registry import RECORDS, Content, Files, Pointer, VersionRecord
from streamrec.replay import (
    Applied,
    Claim,
    Counts,
    Cursor,
    PartitionState,
    Popularity,
    Read,
    Row,
    WindowRow,
    digest,
    merge_histories,
    merge_reservoirs,
    oldest_first,
)


class MemoryBuffer:
    """See streamrec.replay.ReplayBuffer."""

    def __init__(self, settings: Buffer) -> None:
        self._s = settings
        self._parts: dict[int, PartitionState] = {}

    def claim(
        self, partition: int, incarnation: str, generation: int, now: float = 0.0
    ) -> Claim:
        """See ReplayBuffer."""
        state = self._parts.setdefault(partition, PartitionState(self._s))
        return state.claim(incarnation, generation, now)

    def prepared(self, events: Sequence[Applied]) -> Sequence[Applied]:
        """See ReplayBuffer."""
        return events

    def apply(
        self, partition: int, claim: Claim, incarnation: str, events: Sequence[Applied],
        next_offset: int, now: float,
    ) -> Counts:
        """See ReplayBuffer."""
        return self._parts[partition].apply(claim, incarnation, events, next_offset, now)

    def histories(self, users: Sequence[str]) -> dict[str, list[Read]]:
        """See ReplayBuffer."""
        return {
            u: merge_histories((p.histories.get(u, []) for p in self._parts.values()), self._s.history)
            for u in users
        }

    def popularity(self, since: Cursor) -> tuple[Cursor, dict[int, dict[str, Popularity]]]:
        """See ReplayBuffer."""
        new, out = dict(since), {}
        for p, state in self._parts.items():
            items = []
            for item, seq in reversed(state.changed.items()):  # newest change first
                if seq <= since.get(p, 0):
                    break
                items.append(item)
            if items:
                new[p] = state.seq
                out[p] = {i: state.popularity[i] for i in items}
        return new, out

    def window(self, since: Cursor, limit: int) -> list[WindowRow]:
        """See ReplayBuffer."""
        rows = [
            WindowRow(p, n, state.window[n]) for p, state in self._parts.items()
            for n in islice(range(_first(state, since.get(p, 0)), state.counts.rows + 1), limit)
        ]
        return oldest_first(rows, limit)

    def reservoir(self) -> list[Row]:
        """See ReplayBuffer."""
        parts = [
            ([row for row, _ in s.reservoir.rows.values()], s.reservoir.threshold)
            for s in self._parts.values()
        ]
        return merge_reservoirs(parts, self._s.item_cap)

    def counts(self) -> Counts:
        """See ReplayBuffer."""
        total = Counts()
        for state in self._parts.values():
            for name in ("stored", "duplicates", "dead", "impressions", "repeats", "rows"):
                setattr(total, name, getattr(total, name) + getattr(state.counts, name))
            total.reservoir_rows += len(state.reservoir.rows)
            total.reservoir_bytes += state.reservoir.bytes
            total.watermark = max(total.watermark, state.counts.watermark)
        return total

    def audit(self, event_ids: Sequence[str]) -> tuple[int, int]:
        """See ReplayBuffer."""
        seen = set[str]().union(*(s for state in self._parts.values() for s in state.seen))
        found = seen & {digest(e) for e in event_ids}
        return len(found), self.counts().stored - len(found)

    def rows_total(self) -> Cursor:
        """See ReplayBuffer."""
        return {p: s.counts.rows for p, s in self._parts.items()}


def _first(state: PartitionState, since: int) -> int:
    """Ordinal of the oldest row after `since` that the window still has."""
    return max(since, state.counts.rows - len(state.window)) + 1


class MemoryCatalogue:
    """See streamrec.catalogue.Catalogue."""

    def __init__(self, dim: int) -> None:
        self._dim, self._seq, self._identity = dim, 0, uuid.uuid4().hex
        self._live: dict[str, tuple[int, Entry, NDArray[np.float16]]] = {}
        self._owed: dict[str, Owed] = {}
        self._texts: dict[str, str] = {}
        self._removed: dict[str, int] = {}
        self._explored: Counter[str] = Counter()

    def put(self, entries: Sequence[Entry], texts: Mapping[str, str]) -> None:
        """See Catalogue."""
        self._seq += 1
        zero = np.zeros(self._dim, np.float16)
        for entry in entries:
            owed, old = texts.get(entry.item_id), self._live.get(entry.item_id)
            same = old is not None and old[1].text_hash == entry.text_hash
            vector = old[2] if old and same and not owed else zero
            self._live.pop(entry.item_id, None)  # the newest change stands last
            self._live[entry.item_id] = (self._seq, entry, vector)
            self._removed.pop(entry.item_id, None)
            if owed or not same:
                self._owed.pop(entry.item_id, None)
                self._texts.pop(entry.item_id, None)
            if owed:
                self._texts[entry.item_id] = owed
                self._owed[entry.item_id] = Owed(entry.item_id, entry.text_hash, owed)

    def newest(self) -> int:
        """See Catalogue."""
        return self._seq

    def identity(self) -> str:
        """See Catalogue."""
        return self._identity

    def owed(self, limit: int) -> list[Owed]:
        """See Catalogue."""
        return list(self._owed.values())[::-1][:limit]

    def fill(self, encoded: Sequence[tuple[Owed, NDArray[np.float16]]]) -> None:
        """See Catalogue."""
        self._seq += 1
        for owed, vector in encoded:
            _, entry, _ = self._live.get(owed.item_id, (0, None, None))
            if entry is not None and entry.text_hash == owed.text_hash:
                self._live.pop(owed.item_id)
                self._live[owed.item_id] = (self._seq, entry, vector.astype(np.float16))
                self._owed.pop(owed.item_id, None)

    def remove(self, item_ids: Sequence[str]) -> None:
        """See Catalogue."""
        self._seq += 1
        for item in item_ids:
            self._owed.pop(item, None)
            self._texts.pop(item, None)
            self._explored.pop(item, None)
            if self._live.pop(item, None):
                self._removed[item] = self._seq

    def entries(self, item_ids: Sequence[str]) -> dict[str, Entry]:
        """See Catalogue."""
        return {i: self._live[i][1] for i in item_ids if i in self._live}

    def texts(self, item_ids: Sequence[str]) -> dict[str, str]:
        """See Catalogue."""
        return {i: self._texts[i] for i in item_ids if i in self._texts}

    def changes(self, since: int, limit: int = 2000) -> Changes:
        """See Catalogue."""
        newest_first = takewhile(lambda entry: entry[0] > since, reversed(self._live.values()))
        new = [(e, v) for _, e, v in newest_first][::-1]
        removed = [i for i, seq in self._removed.items() if seq > since]
        stacked = np.array([v for _, v in new], np.float16).reshape(-1, self._dim)
        return Changes(max(since, self._seq), [e for e, _ in new], stacked, removed)

    def explored(self, given: Mapping[str, int]) -> dict[str, int]:
        """See Catalogue."""
        self._explored.update({i: n for i, n in given.items() if i in self._live})
        return {i: self._explored[i] for i in given}

    def size(self) -> int:
        """See Catalogue."""
        return len(self._live)


class MemoryRules:
    """See streamrec.rules.RuleStore."""

    def __init__(self) -> None:
        self._rules: dict[str, Rule] = {}
        self._version = 0

    def change(self, put: Sequence[Rule], remove: Sequence[str]) -> None:
        """See RuleStore."""
        self._version += 1
        self._rules |= {rule.rule_id: rule for rule in put}
        for rule_id in remove:
            self._rules.pop(rule_id, None)

    def all(self) -> list[Rule]:
        """See RuleStore."""
        return [self._rules[i] for i in sorted(self._rules)]

    def version(self) -> int:
        """See RuleStore."""
        return self._version


class MemoryFiles:
    """See streamrec.registry.FileStore."""

    def __init__(self) -> None:
        self._folders: dict[str, Files] = {}
        self._disk = TemporaryDirectory()

    def write(self, folder: str, files: Mapping[str, Content]) -> None:
        """See FileStore."""
        self._folders[folder] = {name: bytes(content) for name, content in files.items()}

    def local(self, folder: str) -> Path:
        """See FileStore."""
        path = Path(self._disk.name) / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, content in self.read(folder).items():
            (path / name).write_bytes(content)
        return path

    def read(self, folder: str) -> Files:
        """See FileStore."""
        if folder not in self._folders:
            raise NotFound(f"{folder} is not in memory")
        return dict(self._folders[folder])

    def folders(self, under: str) -> list[str]:
        """See FileStore."""
        return [f.removeprefix(under + "/") for f in self._folders if f.startswith(under + "/")]

    def delete(self, folder: str) -> None:
        """See FileStore."""
        self._folders.pop(folder, None)


class MemoryPointers:
    """See streamrec.registry.PointerStore."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._pointer, self._records, self._number = Pointer(), list[VersionRecord](), 0
        self._token, self._held = 0, (0, 0.0)
        self._lock = threading.Lock()

    def read(self) -> Pointer:
        """See PointerStore."""
        return self._pointer

    def move(
        self, new: Pointer, expected_attempt: int, token: int | None, record: VersionRecord | None
    ) -> None:
        """See PointerStore."""
        with self._lock:
            if token is not None and not self._ours(token):
                raise Fenced("the lease was lost to another trainer")
            if self._pointer.attempt != expected_attempt:
                raise Conflict("the pointer moved meanwhile")
            self._pointer = new
            if record:
                self._records.append(record)
                del self._records[:-RECORDS]

    def _ours(self, token: int) -> bool:
        return self._held[0] == token and self._clock.now() < self._held[1]

    def records(self) -> list[VersionRecord]:
        """See PointerStore."""
        return list(self._records)

    def next_number(self, above: int = 0) -> int:
        """See PointerStore."""
        self._number = max(self._number, above) + 1
        return self._number

    def acquire(self, owner: str, ttl_s: float) -> int | None:
        """See PointerStore."""
        with self._lock:
            if self._clock.now() < self._held[1]:
                return None
            self._token += 1
            self._held = (self._token, self._clock.now() + ttl_s)
            return self._token

    def renew(self, token: int, ttl_s: float) -> bool:
        """See PointerStore."""
        if not self._ours(token):
            return False
        self._held = (token, self._clock.now() + ttl_s)
        return True

    def release(self, token: int) -> None:
        """See PointerStore."""
        if self._ours(token):
            self._held = (0, 0.0)


class MemoryBoard:
    """See streamrec.metrics.Board."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._totals: dict[str, int] = {}
        self._series: dict[str, list[bytes]] = {}

    def put(self, name: str, value: Any) -> None:
        """See Board."""
        self._values[name] = msgspec.json.encode(value)

    def get(self, name: str) -> Any:
        """See Board."""
        return msgspec.json.decode(self._values[name]) if name in self._values else None

    def count(self, name: str, n: int = 1) -> None:
        """See Board."""
        self._totals[name] = self._totals.get(name, 0) + n

    def total(self, name: str) -> int:
        """See Board."""
        return self._totals.get(name, 0)

    def append(self, name: str, value: Any, most: int) -> None:
        """See Board."""
        series = [*self._series.get(name, ()), msgspec.json.encode(value)]
        self._series[name] = series[-most:]

    def newest(self, name: str, n: int) -> list[Any]:
        """See Board."""
        return [msgspec.json.decode(v) for v in self._series.get(name, [])[-n:]]
