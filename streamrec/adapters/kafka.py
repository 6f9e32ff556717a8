"""Apache Kafka through kafka-python: the only module that imports it (with `embedded/kafka.py`,
which asks a broker it has started whether it is ready).

Every error of the client becomes RetryLater, Fenced or SetupError (ServerUnreachable where nothing answers);
the client's own messages do not name a cause, so a failed connection is probed.
"""

import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import kafka
from kafka.admin import NewTopic
from kafka.errors import (
    BrokerResponseError,
    CommitFailedError,
    KafkaError,
    RebalanceInProgressError,
    TopicAlreadyExistsError,
)
from kafka.structs import OffsetAndMetadata

from streamrec.broker import LINGER_S, Headers, Partition, Record, TopicSpec
from streamrec.config import Kafka
from streamrec.errors import Fenced, RetryLater, ServerUnreachable, SetupError

OLDEST = (2, 8)  # topics have ids
NEVER_MS = 2**31 - 1
STUCK_S, WAIT_S = 1.0, 0.2
AWAY_S = 3.0  # a connection that is made anew is no outage
CALL_MS = 10_000  # the client's own limit, a minute, would be a minute in which nobody hears of an outage
MAX_BYTES = 8_000_000  # a message too large for us still has to reach the dead-letter topic


def _client_config(s: Kafka) -> dict[str, Any]:
    config: dict[str, Any] = {
        "bootstrap_servers": s.bootstrap_servers.split(","),
        "security_protocol": s.security_protocol,
        "bootstrap_timeout_ms": int(s.bootstrap_timeout_s * 1000),
        "reconnect_backoff_max_ms": 2000,
    }
    if s.sasl_mechanism:
        config |= {
            "sasl_mechanism": s.sasl_mechanism,
            "sasl_plain_username": s.sasl_username,
            "sasl_plain_password": s.sasl_password.get_secret_value(),
        }
    if s.ssl_cafile:
        _check_cafile(s.ssl_cafile)
        config["ssl_cafile"] = s.ssl_cafile
    return config


def _check_cafile(path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise SetupError(f"STREAMREC_KAFKA__SSL_CAFILE={path} is no CA file that can be read ({why}): name "
                         "the PEM file of the brokers' CA") from None


def _dial(server: str) -> None:
    """Raises ValueError if it is no host:port, OSError if nothing answers there."""
    host, _, port = server.strip().rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), 2).close()


def _listens(s: Kafka) -> bool:
    """Whether a port of it takes connections, or will within the time that a client has to start."""
    until = time.monotonic() + s.bootstrap_timeout_s
    while True:
        for server in s.bootstrap_servers.split(","):
            try:
                _dial(server)
                return True
            except ValueError:
                return False
            except OSError:
                continue
        if time.monotonic() > until:
            return False
        time.sleep(WAIT_S)


def _why_unreachable(s: Kafka) -> SetupError:
    """Nothing answers, or it answers and does not take us as we are set up."""
    where = f"Kafka at {s.bootstrap_servers}"
    try:
        _dial(s.bootstrap_servers.split(",")[0])
    except ValueError:
        return SetupError(f"{s.bootstrap_servers!r} is not host:port; set STREAMREC_KAFKA__BOOTSTRAP_SERVERS")
    except OSError as error:
        return ServerUnreachable(f"{where} does not answer ({error.strerror or error}); start it, or set "
                                 "STREAMREC_KAFKA__BOOTSTRAP_SERVERS to one that runs")
    return SetupError(
        f"{where} takes connections but does not speak Kafka to us; check its version (>= {OLDEST[0]}."
        f"{OLDEST[1]}), STREAMREC_KAFKA__SECURITY_PROTOCOL ({s.security_protocol}) and the credentials"
    )


def _why_no_topics(error: KafkaError, specs: Sequence[TopicSpec]) -> SetupError:
    """The broker's refusal, without the request that it repeats; or there was none."""
    name = type(error).__name__
    if not isinstance(error, BrokerResponseError):
        return ServerUnreachable(f"Kafka did not answer whether it made the topics ({name}); try again")
    copies = max(s.replication for s in specs)
    return SetupError(
        f"Kafka refused to create topics ({name}: {error.description}); check "
        f"STREAMREC_KAFKA__REPLICATION_FACTOR ({copies}: at most one copy a broker), "
        "STREAMREC_KAFKA__PARTITIONS and what our user may do there"
    )


_Message = tuple[str, bytes | None, bytes | None, Headers]


class KafkaBroker:
    """See streamrec.broker.Broker."""

    def __init__(self, settings: Kafka) -> None:
        if not settings.bootstrap_servers:
            raise ServerUnreachable(
                "no Kafka is known: run `streamrec up` in this home, or set "
                "STREAMREC_KAFKA__BOOTSTRAP_SERVERS"
            )
        self._s, self._config = settings, _client_config(settings)
        self._admin_client: Any = None

    def _connect(self, kind: Any, **more: Any) -> Any:
        if not _listens(self._s):  # a client that fails to start would leave its thread behind
            raise _why_unreachable(self._s)
        client_log = logging.getLogger("kafka")
        level = client_log.level
        client_log.setLevel(logging.CRITICAL)  # the one sentence below says it better
        try:
            return kind(**self._config, **more)
        except (KafkaError, OSError, ValueError) as error:
            raise _why_unreachable(self._s) from error
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
                raise _why_no_topics(error, new) from error
        return [s.name for s in new]

    def topics(self) -> dict[str, int]:
        """See streamrec.broker.Broker."""
        with _retry_later():
            found = self._admin.describe_topics()
        return {t["name"]: len(t["partitions"]) for t in found}

    def incarnation(self, topic: str) -> str:
        """Kafka's topic id."""
        with _retry_later():
            found = self._admin.describe_topics([topic])
        return str(found[0]["topic_id"])

    def group_lag(self, group: str, topics: Sequence[str]) -> dict[Partition, int]:
        """See streamrec.broker.Broker."""
        tps = self._all_partitions(topics)
        with _retry_later():
            ends = self._admin.list_partition_offsets({tp: kafka.admin.OffsetSpec.LATEST for tp in tps})
            done = self._admin.list_group_offsets({group: None})[group]
        return {
            Partition(*tp): ends[tp].offset - (done[tp].offset if tp in done else 0) for tp in tps
        }

    def close(self) -> None:
        """See streamrec.broker.Broker."""
        if self._admin_client is not None:
            self._admin_client.close()


class _retry_later:
    """Client errors become RetryLater."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, CommitFailedError | RebalanceInProgressError):
            raise Fenced(str(error)) from error
        if isinstance(error, KafkaError):
            raise RetryLater(f"Kafka: {error}") from error


class KafkaPublisher:
    """See streamrec.broker.Publisher."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._producer = make, make()
        self._owed: list[tuple[Any, _Message]] = []

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """See streamrec.broker.Publisher. What Kafka allows and its client refuses to send, null as key and
        value or in a header, goes as empty: it may be a dead letter."""
        if key is None and value is None:
            key = b""
        message = (topic, value, key, [(name, v or b"") for name, v in headers or []])
        with _retry_later():
            self._owed.append((self._producer.send(*message), message))
        if len(self._owed) > 20_000:  # kafka-python 3 bounds nothing: we do
            self.flush()

    def flush(self, timeout_s: float = 30.0) -> None:
        """See streamrec.broker.Publisher. What is not acknowledged stays owed; after a failure
        that the client does not mend by itself it is sent again by a new producer."""
        with _retry_later():
            self._producer.flush(timeout_s)
        self._owed = [(f, m) for f, m in self._owed if not f.is_done or f.failed()]
        failed = next((f for f, _ in self._owed if f.is_done), None)
        if failed is not None:
            self._again()
            raise RetryLater(f"Kafka did not take a message: {failed.exception}; it is sent again")
        if self._owed:
            raise RetryLater(f"Kafka has not acknowledged {len(self._owed)} messages")

    def _again(self) -> None:
        old, owed = self._producer, [m for _, m in self._owed]
        try:
            self._producer = self._make()
        except SetupError as error:  # it worked before: a broker that starts may take us for strangers
            raise RetryLater(str(error)) from error
        with _retry_later():
            self._owed = [(self._producer.send(*m), m) for m in owed]
        with contextlib.suppress(KafkaError):
            old.close(0)

    def close(self) -> None:
        """See streamrec.broker.Publisher."""
        with _retry_later():
            self._producer.close(5)


class KafkaSubscription:
    """See streamrec.broker.Subscription."""

    def __init__(self, consumer: Any, group: str | None) -> None:
        self._consumer, self._group, self._paused = consumer, group, False
        self._stuck_since: float | None = None
        self._alone_since: float | None = None
        self._away = False

    def poll(self, timeout_s: float, max_records: int) -> Mapping[Partition, Sequence[Record]]:
        """See streamrec.broker.Subscription."""
        if self._paused:
            self._consumer.pause(*self._consumer.assignment())
        with _retry_later():
            batches: Mapping[Partition, Sequence[Record]] = self._consumer.poll(
                int(timeout_s * 1000), max_records
            )
        now = time.monotonic()
        self._look(now)
        if not batches and self._group is not None:
            self._rejoin_if_stuck(now)
        return batches

    def _look(self, now: float) -> None:
        """The client tells of lost connections to its log only. Looked at by polls alone: between two of them
        may lie any work of ours."""
        if any(c.connected for c in list(self._consumer._manager._conns.values())):
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
        self._away = self._alone_since is not None and now - self._alone_since > AWAY_S

    def _rejoin_if_stuck(self, now: float) -> None:
        """kafka-python 3.0.12 can forget a join that a short poll gave up on: it then is in no
        group, wants no rejoin, and polls nothing for ever (seen 1 time in 8 under load)."""
        coordinator = self._consumer._coordinator
        if coordinator.stable() or coordinator.need_rejoin():
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > STUCK_S:
            self._stuck_since = None
            coordinator.request_rejoin()

    def assignment(self) -> set[Partition]:
        """See streamrec.broker.Subscription."""
        return {Partition(*tp) for tp in self._consumer.assignment()}

    def generation(self) -> int:
        """See streamrec.broker.Subscription."""
        if self._group is None:
            return 0
        return int(self._consumer.group_metadata().generation_id)

    def committed(self, partition: Partition) -> int | None:
        """See streamrec.broker.Subscription."""
        with _retry_later():
            found: int | None = self._consumer.committed(
                kafka.TopicPartition(*partition), timeout_ms=CALL_MS
            )
        return found

    def seek(self, partition: Partition, offset: int) -> None:
        """See streamrec.broker.Subscription."""
        tp = kafka.TopicPartition(*partition)
        with _retry_later():
            if offset == -2:
                offset = self._consumer.beginning_offsets([tp], timeout_ms=CALL_MS)[tp]
            elif offset == -1:
                offset = self._consumer.end_offsets([tp], timeout_ms=CALL_MS)[tp]
            self._consumer.seek(tp, offset)

    def pause(self, on: bool) -> None:
        """See streamrec.broker.Subscription."""
        self._paused = on
        (self._consumer.pause if on else self._consumer.resume)(*self._consumer.assignment())

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """See streamrec.broker.Subscription."""
        with _retry_later():
            self._consumer.commit({
                kafka.TopicPartition(*p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()
            }, timeout_ms=CALL_MS)

    def lag(self) -> int:
        """See streamrec.broker.Subscription; from the last fetch, without asking the broker."""
        total = 0
        for tp in self._consumer.assignment():
            end = self._consumer.highwater(tp)
            total += max(0, end - self._consumer.position(tp)) if end is not None else 0
        return total

    def away(self) -> bool:
        """See streamrec.broker.Subscription."""
        return self._away

    def close(self) -> None:
        """See streamrec.broker.Subscription."""
        with _retry_later():
            self._consumer.close()
