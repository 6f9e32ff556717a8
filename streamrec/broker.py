"""What streamrec asks of a broker: publish, subscribe in a group, commit, and know the topic.

`adapters/kafka/` is the real one, `adapters/memory.py` a shipped fake; one contract suite
runs against both. Positions are ours to decide: nothing is committed that we did not commit.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from streamrec import logs
from streamrec.metrics import LAG, Waits

log = logs.get(__name__)

LINGER_S = 0.005  # late enough to batch, soon enough to serve
Headers = list[tuple[str, bytes]]


class Partition(NamedTuple):
    """One partition of one topic. Structurally what Kafka clients call TopicPartition."""

    topic: str
    partition: int


class Record(Protocol):
    """One message as read. `timestamp` in milliseconds."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class TopicSpec(NamedTuple):
    """A topic to create. `configs` are the broker's names, e.g. cleanup.policy."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]


class Publisher(Protocol):
    """Sends in the background; `flush` is the moment of truth."""

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """Queue one message. Raises RetryLater when the broker is away and the queue is full."""

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until everything queued is acknowledged. Raises RetryLater if some is not."""

    def close(self) -> None:
        """Flush and let go."""


class Subscription(Protocol):
    """One member of a consumer group."""

    def poll(
        self, timeout_s: float, max_records: int
    ) -> Mapping[Partition, Sequence[Record]]:
        """What has come, by partition; also keeps the membership alive."""

    def assignment(self) -> set[Partition]:
        """Partitions that are this member's now."""

    def generation(self) -> int:
        """Grows with each rebalance of the group; -1 before the first."""

    def committed(self, partition: Partition) -> int | None:
        """Next offset to read as the broker remembers it."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Read from here next. Offset -2 is the beginning, -1 the end."""

    def pause(self, on: bool) -> None:
        """While on, polls bring nothing but keep the membership."""

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Remember the next offset of each partition. Raises Fenced after a rebalance."""

    def lag(self) -> int:
        """Messages of the assignment not yet polled."""

    def away(self) -> bool:
        """No broker has been there for some seconds of polling: polls bring nothing, and raise nothing."""

    def close(self) -> None:
        """Leave the group."""


def look(subscription: Subscription, waits: Waits) -> None:
    """Tell who watches this process of its lag, and of a Kafka that is away: no poll says anything of one."""
    LAG.set(subscription.lag())
    away = subscription.away()
    if waits.note("kafka", away):
        (log.warning if away else log.info)("kafka_away" if away else "kafka_back")


class Broker(Protocol):
    """A connection to a broker."""

    def publisher(self, linger_s: float = LINGER_S) -> Publisher:
        """A new publisher, which waits `linger_s` for more to send along."""

    def subscribe(self, topics: Sequence[str], group: str | None, start: str) -> Subscription:
        """Join `group` (None: read all partitions alone, committing nothing). `start` is
        earliest or latest, for partitions that have no committed offset."""

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Create those missing; returns the names created."""

    def topics(self) -> dict[str, int]:
        """Existing topics and their partition counts."""

    def incarnation(self, topic: str) -> str:
        """Changes when a topic is deleted and made again."""

    def group_lag(self, group: str, topics: Sequence[str]) -> dict[Partition, int]:
        """End offset minus committed offset for each partition of `topics`."""

    def close(self) -> None:
        """Let go of the connection."""
