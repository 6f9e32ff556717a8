"""See streamrec.broker.Broker."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import kafka
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from streamrec.adapters.kafka.connecting import client_config, listens, why_no_topics, why_unreachable
from streamrec.adapters.kafka.errors import coordinated, retry_later
from streamrec.adapters.kafka.publisher import KafkaPublisher
from streamrec.adapters.kafka.subscription import KafkaSubscription
from streamrec.broker import LINGER_S, Partition, TopicSpec
from streamrec.config import Kafka
from streamrec.errors import ServerUnreachable, SetupError

NEVER_MS = 2**31 - 1
MAX_BYTES = 8_000_000  # a message too large for us still has to reach the dead-letter topic


class KafkaBroker:
    """See streamrec.broker.Broker."""

    def __init__(self, settings: Kafka) -> None:
        if not settings.bootstrap_servers:
            raise ServerUnreachable(
                "no Kafka is known: run `streamrec up` in this home, or set "
                "STREAMREC_KAFKA__BOOTSTRAP_SERVERS"
            )
        self._s, self._config = settings, client_config(settings)
        self._admin_client: Any = None

    def _connect(self, kind: Any, **more: Any) -> Any:
        if not listens(self._s):  # a client that fails to start would leave its thread behind
            raise why_unreachable(self._s)
        client_log = logging.getLogger("kafka")
        level = client_log.level
        client_log.setLevel(logging.CRITICAL)  # the one sentence below says it better
        try:
            return kind(**self._config, **more)
        except (KafkaError, OSError, ValueError) as error:
            raise why_unreachable(self._s) from error
        finally:
            client_log.setLevel(level)

    @property
    def _admin(self) -> Any:
        if self._admin_client is None:
            self._admin_client = self._connect(kafka.KafkaAdminClient, request_timeout_ms=10_000)
        return self._admin_client

    def publisher(self, linger_s: float = LINGER_S) -> "KafkaPublisher":
        """See streamrec.broker.Broker. Idempotent, acks=all, lz4."""
        return KafkaPublisher(partial(
            self._connect, kafka.KafkaProducer, linger_ms=round(1000 * linger_s), batch_size=262_144,
            compression_type="lz4", max_request_size=2 * MAX_BYTES, max_block_ms=5000,
            allow_auto_create_topics=False,
            delivery_timeout_ms=NEVER_MS,  # an outage of any length: late, not lost
        ))

    def subscribe(
        self, topics: Sequence[str], group: str | None, start: str = "earliest"
    ) -> "KafkaSubscription":
        """See streamrec.broker.Broker."""
        partitions = self._all_partitions(topics)  # first: a client that is not closed keeps its thread
        consumer = self._connect(
            kafka.KafkaConsumer, group_id=group, auto_offset_reset=start, enable_auto_commit=False,
            allow_auto_create_topics=False, max_partition_fetch_bytes=MAX_BYTES,
            session_timeout_ms=int(self._s.session_timeout_s * 1000),
            heartbeat_interval_ms=int(self._s.session_timeout_s * 300),
            fetch_max_wait_ms=100, metadata_max_age_ms=30_000,
        )
        if group is None:
            consumer.assign(partitions)
        else:
            for topic in topics:  # a member that joins before it knows the topic joins twice
                consumer.partitions_for_topic(topic)
            consumer.subscribe(list(topics))
        return KafkaSubscription(consumer, group)

    def _all_partitions(self, topics: Sequence[str]) -> list[Any]:
        have = self.topics()
        missing = [t for t in topics if t not in have]
        if missing:
            raise SetupError(f"no topic {missing[0]}: run `streamrec topics create`, or set "
                             "STREAMREC_KAFKA__TOPIC_PREFIX to that of topics that are there")
        return [kafka.TopicPartition(t, p) for t in topics for p in range(have[t])]

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        """See streamrec.broker.Broker."""
        have = self.topics()
        new = [s for s in specs if s.name not in have]
        if new:
            try:
                self._admin.create_topics(
                    [NewTopic(s.name, s.partitions, s.replication, topic_configs=dict(s.configs))
                     for s in new]
                )
            except TopicAlreadyExistsError:
                return self.create_topics(specs)  # another process was faster
            except KafkaError as error:
                raise why_no_topics(error, new) from error
        return [s.name for s in new]

    def topics(self) -> dict[str, int]:
        """See streamrec.broker.Broker."""
        with retry_later():
            found = self._admin.describe_topics()
        return {t["name"]: len(t["partitions"]) for t in found}

    def incarnation(self, topic: str) -> str:
        """Kafka's topic id."""
        with retry_later():
            found = self._admin.describe_topics([topic])
        return str(found[0]["topic_id"])

    def group_lag(self, group: str, topics: Sequence[str]) -> dict[Partition, int]:
        """See streamrec.broker.Broker."""
        tps = self._all_partitions(topics)
        with retry_later():
            ends = self._admin.list_partition_offsets({tp: kafka.admin.OffsetSpec.LATEST for tp in tps})
        done = coordinated(lambda: self._admin.list_group_offsets({group: None}))[group]
        return {
            Partition(*tp): ends[tp].offset - (done[tp].offset if tp in done else 0) for tp in tps
        }

    def close(self) -> None:
        """See streamrec.broker.Broker."""
        if self._admin_client is not None:
            self._admin_client.close()
