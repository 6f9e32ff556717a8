"""Which partitions of a compacted topic this Redis holds, and as whom they were read.

Kafka's committed offset alone says neither: Redis may have been lost since, or another encoder have read
the texts. What Redis does not say was read, by who reads now, is read from the start.
"""

from collections.abc import Callable, Sequence

from streamrec import logs
from streamrec.broker import Partition, Record
from streamrec.clock import Clock, due
from streamrec.errors import Fenced
from streamrec.metrics import Board

log = logs.get(__name__)
CHECK_S = 5.0


class Reread:
    """`reader`: what a message becomes depends on it; another one reads everything again. `begin` is called
    before a partition is read from the start."""

    def __init__(
        self, board: Board, reader: str, clock: Clock, begin: Callable[[], None] = lambda: None
    ) -> None:
        self._board, self._reader, self._clock, self._begin = board, reader, clock, begin
        self._until: dict[Partition, int] = {}  # being read again: the offset that it had been read to
        self._read: set[Partition] = set()
        self._checked_at = clock.now()

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """See consumers.loop.Handler."""
        self._until.pop(partition, None)
        reader = self._board.get(read_key(partition))
        if committed is not None and reader == self._reader:
            self._read.add(partition)
            return None
        self._begin()
        if committed or reader:
            log.info("reading_again", topic=partition.topic, partition=partition.partition,
                     why=self._why(reader))
        self._until[partition] = committed or 0
        return -2

    def _why(self, reader: str | None) -> str:
        if reader is None:
            return "Redis does not hold it"
        return "none of it is committed" if reader == self._reader else f"it was read by {reader}"

    def again(self, record: Record) -> bool:
        """Whether it is read once more: if it cannot be used, its dead letter is there already."""
        return record.offset < self._until.get(Partition(record.topic, record.partition), 0)

    def handled(self, batches: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        """These are in Redis now. What was read after the old offset is read again only from the start, so a
        partition is done once it has come to it."""
        for partition, records in batches:
            if partition in self._until and records[-1].offset + 1 >= self._until[partition]:
                self._board.put(read_key(partition), self._reader)
                self._read.add(partition)
                del self._until[partition]

    def check(self) -> None:
        """Now and then, whether Redis still holds what was read. Raises Fenced, which has all partitions
        assigned anew."""
        if not due(self._clock.now(), self._checked_at, CHECK_S):
            return
        self._checked_at = self._clock.now()
        if any(self._board.get(read_key(partition)) is None for partition in self._read):
            self._read.clear()
            raise Fenced("Redis no longer holds what was read into it: reading it again")


def read_key(partition: Partition) -> str:
    """Where the board has who read a partition to where it had been read."""
    return f"read:{partition.topic}/{partition.partition}"
