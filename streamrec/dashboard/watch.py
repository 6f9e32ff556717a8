"""What the pages show, read by threads of their own: a server that is away leaves what was last known, how
old that is and why, and nobody who looks has to wait for it."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from streamrec import logs

T = TypeVar("T")
log = logs.get(__name__)
STALE_S = 10.0
NOT_YET = "not read yet"


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
    """Reads a thing now and then; what it last was is `seen`."""

    def __init__(self, name: str, read: Callable[[], T], empty: T, every_s: float = 1.0) -> None:
        self.name, self._read, self.every_s = name, read, every_s
        self.seen: Seen[T] = Seen(empty, None, NOT_YET)
        self._tried_at = float("-inf")

    def turn(self, now: float) -> None:
        """Read if it is time to."""
        if now - self._tried_at < self.every_s:
            return
        self._tried_at = now
        try:
            self.seen = Seen(self._read(), time.monotonic())
        except Exception as error:  # whatever it was, the others are read
            if not self.seen.trouble:
                log.warning("source_away", source=self.name, why=str(error))
            self.seen = self.seen._replace(trouble=str(error) or type(error).__name__)


class Watch:
    """A thread for each group of sources: those of one server wait for that server alone."""

    def __init__(self, *groups: Sequence[Source[object]], turn_s: float = 0.25) -> None:
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
