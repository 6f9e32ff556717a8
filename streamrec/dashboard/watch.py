"""What the pages show, read by threads of their own: a server that is away leaves what was last known, how
old that is and why, and nobody who looks has to wait for it."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from streamrec import logs
from streamrec.metrics import Board

T = TypeVar("T")
log = logs.get(__name__)
STALE_S = 10.0
NOT_YET = "not read yet"
TURN_S = 0.25
FEW = 8  # of a series, looked at for new ones


class Seen(NamedTuple, Generic[T]):
    """What a source last said, when (monotonic s; None: never), and why it says nothing newer."""

    value: T
    at: float | None = None
    trouble: str = ""

    @property
    def age_s(self) -> float | None:
        """Seconds since then."""
        return None if self.at is None else time.monotonic() - self.at

    @property
    def new(self) -> bool:
        """Whether nobody has tried to read it: then nothing is wrong yet."""
        return self.at is None and self.trouble == NOT_YET

    @property
    def stale(self) -> bool:
        """Whether that is too long ago."""
        return self.age_s is None or self.age_s > STALE_S


class Source(Generic[T]):
    """Reads a thing now and then, and at once when what `upon` says is another than when it was read; what it
    last was is `seen`."""

    def __init__(
        self, name: str, read: Callable[[], T], empty: T, every_s: float = 1.0,
        upon: Callable[[], object] = lambda: None,
    ) -> None:
        self.name, self._read, self.every_s, self._upon = name, read, every_s, upon
        self._read_upon = upon()
        self.seen: Seen[T] = Seen(empty, None, NOT_YET)
        self._tried_at = float("-inf")

    def turn(self, now: float) -> None:
        """Read if it is time to."""
        upon = self._upon()
        if now - self._tried_at < self.every_s and upon == self._read_upon:
            return
        self._tried_at = now
        try:
            self.seen, self._read_upon = Seen(self._read(), time.monotonic()), upon
        except Exception as error:  # whatever it was, the others are read
            if not self.seen.trouble:
                log.warning("source_away", source=self.name, why=str(error))
            self.seen = self.seen._replace(trouble=str(error) or type(error).__name__)


class Newest:
    """The newest `most` of a series on the board. Of what was read before only what is new is read again, so
    that it can be asked often."""

    def __init__(self, board: Board, name: str, most: int) -> None:
        self._board, self._name, self._most = board, name, most
        self._kept: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """All so far, oldest first. Raises RetryLater."""
        few = self._board.newest(self._name, FEW)
        if not self._kept or self._kept[-1] not in few:  # much is new, or the series has begun anew
            self._kept = self._board.newest(self._name, self._most)
        elif new := few[few.index(self._kept[-1]) + 1 :]:
            self._kept = [*self._kept, *new][-self._most :]
        return self._kept


class Watch:
    """A thread for each group of sources: those of one server wait for that server alone."""

    def __init__(self, *groups: Sequence[Source[object]], turn_s: float = TURN_S) -> None:
        self._stop, self._turn_s = threading.Event(), turn_s
        self._threads = [threading.Thread(target=self._run, args=(g,), name="watch", daemon=True)
                         for g in groups]

    def start(self) -> None:
        """Begin to watch."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the reading in hand."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5.0)

    def _run(self, sources: Sequence[Source[object]]) -> None:
        while not self._stop.wait(self._turn_s):
            for source in sources:
                source.turn(time.monotonic())
