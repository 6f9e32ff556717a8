"""A broker in this process: partitions, groups that rebalance, committed offsets, tombstones."""

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from streamrec.broker import LINGER_S, Headers, Partition, Record, TopicSpec
from streamrec.clock import Clock, SystemClock
from streamrec.errors import Fenced, RetryLater


class MemoryRecord(NamedTuple):
    """See streamrec.broker.Record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass
class _Group:
    members: list["MemorySubscription"] = field(default_factory=list)
    generation: int = 0
    committed: dict[Partition, int] = field(default_factory=dict)


class MemoryBroker:
    """See streamrec.broker.Broker. `clock`: of the records' timestamps."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._logs: dict[str, list[list[MemoryRecord]]] = {}
        self._ids: dict[str, str] = {}
        self._groups: dict[str, _Group] = {}
        self._turn = 0
        self.lock = threading.RLock()

    def publisher(self, linger_s: float = LINGER_S) -> "MemoryPublisher":
        """See Broker."""
        return MemoryPublisher(self)

    def subscribe(
        self, topics: Sequence[str], group: str | None, start: str = "earliest"
    ) -> "MemorySubscription":
        """See Broker."""
        with self.lock:
            members = self._groups.setdefault(group or uuid.uuid4().hex, _Group())
            return MemorySubscription(self, list(topics), members, start)

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        """See Broker."""
        new = [s for s in specs if s.name not in self._logs]
        for spec in new:
            self._logs[spec.name] = [[] for _ in range(spec.partitions)]
            self._ids[spec.name] = uuid.uuid4().hex
        return [s.name for s in new]

    def delete_topic(self, name: str) -> None:
        """As an operator might."""
        del self._logs[name], self._ids[name]

    def topics(self) -> dict[str, int]:
        """See Broker."""
        return {name: len(parts) for name, parts in self._logs.items()}

    def incarnation(self, topic: str) -> str:
        """See Broker."""
        return self._ids[topic]

    def group_lag(self, group: str, topics: Sequence[str]) -> dict[Partition, int]:
        """See Broker."""
        committed = self._groups.get(group, _Group()).committed
        return {
            Partition(t, p): len(log) - committed.get(Partition(t, p), 0)
            for t in topics for p, log in enumerate(self._logs[t])
        }

    def close(self) -> None:
        """See Broker."""

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        """Put a record at the end of its key's partition."""
        with self.lock:
            if topic not in self._logs:
                raise RetryLater(f"no topic {topic}: run `streamrec topics create`")
            logs = self._logs[topic]
            self._turn += 1
            p = self._turn if key is None else int.from_bytes(blake2b(key, digest_size=4).digest())
            log = logs[p % len(logs)]
            now = int(self._clock.now() * 1000)
            log.append(MemoryRecord(topic, p % len(logs), len(log), now, key, value, headers))

    def read(self, partition: Partition, offset: int, limit: int) -> list[MemoryRecord]:
        """Records from `offset` on."""
        return self._logs[partition.topic][partition.partition][offset : offset + limit]

    def end(self, partition: Partition) -> int:
        """Next offset to be written."""
        return len(self._logs[partition.topic][partition.partition])


class MemoryPublisher:
    """See streamrec.broker.Publisher."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """See Publisher."""
        self._broker.append(topic, key, value, headers or [])

    def flush(self, timeout_s: float = 30.0) -> None:
        """See Publisher."""

    def close(self) -> None:
        """See Publisher."""


class MemorySubscription:
    """See streamrec.broker.Subscription."""

    def __init__(
        self, broker: MemoryBroker, topics: list[str], group: _Group, start: str
    ) -> None:
        self._broker, self._topics, self._group, self._start = broker, topics, group, start
        self._positions: dict[Partition, int] = {}
        self._generation, self._paused = -1, False
        group.members.append(self)
        group.generation += 1

    def poll(self, timeout_s: float, max_records: int) -> Mapping[Partition, Sequence[Record]]:
        """See Subscription."""
        end = time.monotonic() + timeout_s
        while True:
            with self._broker.lock:
                self._join()
                found = {} if self._paused else self._take(max_records)
            if found or time.monotonic() >= end:
                return found
            time.sleep(0.002)

    def _join(self) -> None:
        if self._generation == self._group.generation or self not in self._group.members:
            return
        self._generation = self._group.generation
        mine, of = self._group.members.index(self), len(self._group.members)
        every = [Partition(t, p) for t in self._topics for p in range(self._broker.topics()[t])]
        self._positions = {
            tp: self._group.committed.get(tp, self._begin(tp))
            for i, tp in enumerate(every) if i % of == mine
        }

    def _begin(self, tp: Partition) -> int:
        return 0 if self._start == "earliest" else self._broker.end(tp)

    def _take(self, limit: int) -> dict[Partition, list[MemoryRecord]]:
        out = {}
        for tp, position in self._positions.items():
            records = self._broker.read(tp, position, limit)
            if records:
                out[tp] = records
                limit -= len(records)
                self._positions[tp] = records[-1].offset + 1
        return out

    def assignment(self) -> set[Partition]:
        """See Subscription."""
        return set(self._positions)

    def generation(self) -> int:
        """See Subscription."""
        return self._generation

    def committed(self, partition: Partition) -> int | None:
        """See Subscription."""
        return self._group.committed.get(partition)

    def seek(self, partition: Partition, offset: int) -> None:
        """See Subscription."""
        special = {-2: 0, -1: self._broker.end(partition)}
        self._positions[partition] = special.get(offset, offset)

    def pause(self, on: bool) -> None:
        """See Subscription."""
        self._paused = on

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """See Subscription."""
        if self._generation != self._group.generation:
            raise Fenced("the group has rebalanced since")
        self._group.committed.update(offsets)

    def lag(self) -> int:
        """See Subscription."""
        return sum(self._broker.end(tp) - at for tp, at in self._positions.items())

    def away(self) -> bool:
        """See Subscription."""
        return False

    def close(self) -> None:
        """See Subscription."""
        with self._broker.lock:
            if self in self._group.members:
                self._group.members.remove(self)
                self._group.generation += 1
