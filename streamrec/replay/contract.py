"""What the buffer holds and what is asked of it; consumers write, trainer and scorer read."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

Cursor = dict[int, int]  # partition -> ordinal of the last row taken
SLACK = 16  # a history may hold so many more before it is cut
HOLDER_SILENT_S = 60.0  # a claim of a lower generation is then taken


class Row(Struct, array_like=True, frozen=True):
    """One training row, ids only: what the reader had read (newest first), the slate shown
    (may be empty), the article chosen, its A-Res key, and the seconds it was read (-1: not known, as
    of a click)."""

    event_id: str
    user: str
    item: str
    kind: str
    ts: float
    history: list[str]
    slate: list[str]
    propensity: float
    key: float
    dwell: float = -1.0


class Applied(Struct, array_like=True, frozen=True):
    """One decoded event on its way into the buffer; kind `dead` only counts a dead letter."""

    offset: int
    digest: str
    event_id: str
    user: str
    item: str
    kind: str
    ts: float
    slate: list[str]
    propensity: float
    key: float
    dwell: float = -1.0


class Read(Struct, array_like=True, frozen=True):
    """One entry of a reader's history."""

    item: str
    ts: float
    kind: str


class WindowRow(NamedTuple):
    """A row not yet learned, with its place."""

    partition: int
    ordinal: int
    row: Row


class Claim(NamedTuple):
    """What the buffer knows of a partition: the next offset to apply (None: never seen)."""

    next_offset: int | None
    generation: int


class Counts(Struct):
    """What one or all partitions have counted since they exist."""

    stored: int = 0
    duplicates: int = 0
    dead: int = 0
    impressions: int = 0
    repeats: int = 0
    rows: int = 0
    reservoir_rows: int = 0
    reservoir_bytes: int = 0
    watermark: float = 0.0


class Popularity(Struct, array_like=True, frozen=True):
    """First reads of one article in one partition: values decayed to time `t0`, and a total."""

    t0: float
    values: list[float]
    total: int


class ReplayBuffer(Protocol):
    """What consumers write and the trainer and the scorer read."""

    def claim(
        self, partition: int, incarnation: str, generation: int, now: float = 0.0
    ) -> Claim:
        """Take a partition for a group generation. Raises Fenced if a later one has it, unless
        that one was silent for HOLDER_SILENT_S: a group deleted in Kafka counts from the start."""

    def prepared(self, events: Sequence[Applied]) -> Sequence[Applied]:
        """The same events, packed for `apply` as far as that needs no server: what a caller may do while
        another thread of it waits in `apply`."""

    def apply(
        self, partition: int, claim: Claim, incarnation: str, events: Sequence[Applied],
        next_offset: int, now: float,
    ) -> Counts:
        """Apply one batch atomically, each event once. Raises Fenced, RetryLater."""

    def histories(self, users: Sequence[str]) -> dict[str, list[Read]]:
        """Newest-first reads of each reader, merged over partitions; unknown readers get []."""

    def popularity(self, since: Cursor) -> tuple[Cursor, dict[int, dict[str, Popularity]]]:
        """Counters changed after `since`, by partition and article, and the new cursor."""

    def window(self, since: Cursor, limit: int) -> list[WindowRow]:
        """Untrained rows after `since`, oldest first per partition, at most `limit`."""

    def reservoir(self) -> list[Row]:
        """The rehearsal rows of all partitions, merged into one uniform sample."""

    def counts(self) -> Counts:
        """Totals over partitions; `watermark` is the newest event time."""

    def audit(self, event_ids: Sequence[str]) -> tuple[int, int]:
        """How many of these events are in the buffer, and how many applications were too many:
        looked up one by one. Meaningful when nothing else was ever published."""

    def rows_total(self) -> Cursor:
        """Rows ever made, by partition: minus a cursor, what waits to be learned."""
