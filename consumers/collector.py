"""Collector: feedback into the replay buffer, each event once; then asks for fresh lists.

One atomic call per partition batch applies events and moves this partition's offset, fenced by
the topic's incarnation and the group's generation. The calls go on while the next poll is read
and decoded; `settle` waits for them, and the loop settles before it commits. Kafka's committed
offset only marks which readers' refresh requests went out: after a crash those are sent again,
and nothing is applied twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from consumers.dead_letters import DeadLetters
from consumers.pipeline import Pipeline
from streamrec.broker import Partition, Publisher, Record
from streamrec.clock import Clock
from streamrec.errors import InvalidMessage
from streamrec.events import Feedback, Request, decode, encode, epoch
from streamrec.metrics import DUPLICATES, EVENTS
from streamrec.replay import Applied, Claim, ReplayBuffer, a_res_key, digest
from streamrec.traces import NO_TRACES, Tracer, headers

CHUNK = 500  # events of one call: a longer one would block the buffer's other clients for long
IDLE = ("impression", "dead")  # kinds that change no reader's state
AHEAD = 4  # chunks decoded and not yet applied: a poll's worth
LONGEST_S = 86_400.0  # of a read that a training row keeps
SLATE_KEPT = 50  # places of a slate that a training row keeps: what lies lower was hardly seen


class _Chunk(NamedTuple):
    """Decoded records of one partition on their way into the buffer."""

    partition: Partition
    claim: Claim  # of when it was polled: what is claimed later never vouches for it
    incarnation: str
    start: int
    end: int
    events: Sequence[Applied]
    asks: bytes | None  # for all readers whose state changed
    refused: list[tuple[Record, InvalidMessage]]
    now: float


class Collector:
    """See consumers.loop.Handler."""

    def __init__(
        self, buffer: ReplayBuffer, publisher: Publisher, dead_letters: DeadLetters, clock: Clock,
        requests_topic: str, incarnation: Callable[[str], str], generation: Callable[[], int],
        weights: Mapping[str, float] | None = None, tracer: Tracer = NO_TRACES,
    ) -> None:
        self._buffer, self._publisher, self._dead = buffer, publisher, dead_letters
        self._clock, self._requests = clock, requests_topic
        self._incarnation, self._generation = incarnation, generation
        self._weights, self._tracer = dict(weights or {}), tracer
        self._claims: dict[Partition, tuple[Claim, str]] = {}
        self._taken: dict[Partition, int] = {}  # next offset, since the partition is ours
        self._applying = Pipeline(self._apply, AHEAD)

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """Claim the partition; read from what was applied, or earlier if requests are owed."""
        incarnation = self._incarnation(partition.topic)
        claim = self._buffer.claim(
            partition.partition, incarnation, self._generation(), self._clock.now()
        )
        self._claims[partition] = (claim, incarnation)
        self._taken.pop(partition, None)
        applied = claim.next_offset
        if committed is None or applied is None:  # nothing is known to have been asked for
            return -2
        return min(committed, applied)

    def handle(self, batches: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        """See consumers.loop.Handler. Returns when all is decoded; the last chunks may still be
        on their way. When one fails the poll comes again, and goes on behind what was taken."""
        for partition, records in self._chunks(batches):
            chunk = self._decoded(partition, records)
            self._applying.put(chunk)
            self._taken[partition] = chunk.end

    def settle(self) -> None:
        """See consumers.loop.Settles."""
        self._applying.settle()

    def _chunks(
        self, batches: Sequence[tuple[Partition, Sequence[Record]]]
    ) -> Iterator[tuple[Partition, Sequence[Record]]]:
        for partition, records in batches:
            if records[0].offset < self._taken.get(partition, 0):
                self._reclaim(partition)
            for start in range(0, len(records), CHUNK):
                chunk = records[start : start + CHUNK]
                if chunk[-1].offset >= self._taken.get(partition, 0):
                    yield partition, chunk

    def _reclaim(self, partition: Partition) -> None:
        """Offsets went back: a poll tried again, or the topic was made anew while we read it."""
        self.settle()  # under the old claim
        if self._incarnation(partition.topic) != self._claims[partition][1]:
            self.assigned(partition, None)

    def _decoded(self, partition: Partition, records: Sequence[Record]) -> _Chunk:
        now = self._clock.now()
        refused: list[tuple[Record, InvalidMessage]] = []
        events = [self._decode(record, now, refused) for record in records]
        start, end = records[0].offset, records[-1].offset + 1
        return _Chunk(partition, *self._claims[partition], start, end, self._buffer.prepared(events),
                      _asks(partition, start, events), refused, now)

    def _apply(self, c: _Chunk) -> None:
        counts = self._buffer.apply(
            c.partition.partition, c.claim, c.incarnation, c.events, c.end, c.now
        )
        EVENTS.inc(counts.stored)
        DUPLICATES.inc(counts.duplicates)
        for record, error in c.refused:  # now, so that waiting for Redis does not send them again
            self._dead.send(record, error)
        if c.asks:
            self._publisher.send(self._requests, None, c.asks,
                                 headers(self._traced(c) if self._tracer.on else {}))

    def _traced(self, c: _Chunk) -> dict[str, str]:
        """Readers whose events are followed, and the first trace of each: of a click and the read that comes
        with it the click's, which makes the training row."""
        found: dict[str, str] = {}
        for e in c.events:
            if e.kind not in IDLE and (trace := self._tracer.follows(e.event_id)):
                self._tracer.span(trace, "collect", c.now, self._clock.now(), event_id=e.event_id,
                                  user=e.user, partition=c.partition.partition, offset=e.offset)
                found.setdefault(e.user, trace)
        return found

    def _decode(
        self, record: Record, now: float, refused: list[tuple[Record, InvalidMessage]]
    ) -> Applied:
        try:
            e = decode(Feedback, record.value, now)
        except InvalidMessage as error:
            refused.append((record, error))
            return Applied(record.offset, "", "", "", "", "dead", 0.0, [], 1.0, 0.0)
        d, kind = digest(e.event_id), e.event_type
        # A clock that runs ahead must not make honest reads look old: no event is newer than now.
        return Applied(
            record.offset, d, e.event_id, e.user_id, e.item_id or "", kind,
            min(epoch(e.timestamp), now), e.impression[:SLATE_KEPT], e.propensity or 1.0,
            a_res_key(d, self._weights.get(kind, 1.0)),
            -1.0 if e.event_value is None else min(e.event_value, LONGEST_S),
        )

    def idle(self) -> None:
        """See consumers.loop.Handler."""


def _asks(partition: Partition, offset: int, events: Sequence[Applied]) -> bytes | None:
    """One message for all readers whose state changes: an impression changes none."""
    touched = {e.user for e in events if e.kind not in IDLE}
    if not touched:
        return None
    return encode(Request(request_id=f"{partition.partition}-{offset}", user_ids=sorted(touched),
                          trigger="feedback"))
