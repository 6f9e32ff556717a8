"""See streamrec.broker.Subscription."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import kafka
from kafka.structs import OffsetAndMetadata

from streamrec.adapters.kafka.errors import retry_later
from streamrec.broker import Partition, Record

STUCK_S = 1.0
AWAY_S = 3.0  # a connection that is made anew is no outage
CALL_MS = 10_000  # the client's own limit, a minute, would be a minute in which nobody hears of an outage


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
        if self._group is not None and self._consumer._subscription.has_all_fetch_positions():
            self._ask_anew()
        with retry_later():
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

    def _ask_anew(self) -> None:
        """kafka-python 3.0.12 keeps the answer about committed offsets that a short poll gave up on, and
        takes it for that to the same question after the next rebalance, however much was committed meanwhile:
        a group that was new then would read everything again."""
        self._consumer._coordinator._offset_fetch_futures.clear()

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
        self._ask_anew()
        with retry_later():
            found: int | None = self._consumer.committed(
                kafka.TopicPartition(*partition), timeout_ms=CALL_MS
            )
        return found

    def seek(self, partition: Partition, offset: int) -> None:
        """See streamrec.broker.Subscription."""
        tp = kafka.TopicPartition(*partition)
        with retry_later():
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
        with retry_later():
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
        with retry_later():
            self._consumer.close()
