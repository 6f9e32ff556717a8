"""What this process has itself just been told, and the buffer or the catalogue may not know yet: lists leave
it out at once."""

import threading
from collections import deque
from collections.abc import Iterable

from streamrec.clock import Clock

KEPT_S = 30.0  # by then it has come round through Kafka; if not, lag is what is wrong
MOST = 100_000  # newest that are kept: an import over HTTP tells of more than anybody asks about
ANYBODY = ""  # no reader's id: of what has been deleted


class Lately:
    """For any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._until: dict[tuple[str, str], float] = {}  # reader, article
        self._of: dict[str, set[str]] = {}
        self._order: deque[tuple[float, str, str]] = deque()

    def read(self, events: Iterable[tuple[str, str]]) -> None:
        """Readers, and what each has read or dismissed."""
        now = self._clock.now()
        until = now + KEPT_S
        with self._lock:
            self._forget(now)
            for user, item in events:
                if self._until.get((user, item)) == until:  # told twice at once
                    continue
                self._until[user, item] = until
                self._of.setdefault(user, set()).add(item)
                self._order.append((until, user, item))
                if len(self._order) > MOST:
                    self._oldest()

    def deleted(self, item: str) -> None:
        """An article is in no list any more."""
        self.read([(ANYBODY, item)])

    def announced(self, item: str) -> None:
        """It may be in lists again."""
        with self._lock:
            self._drop(ANYBODY, item)

    def of(self, user: str) -> frozenset[str]:
        """What may not be in this reader's list."""
        with self._lock:
            self._forget(self._clock.now())
            return frozenset(self._of.get(user, set()) | self._of.get(ANYBODY, set()))

    def gone(self) -> frozenset[str]:
        """What has been deleted."""
        return self.of(ANYBODY)

    def _forget(self, now: float) -> None:
        while self._order and self._order[0][0] <= now:
            self._oldest()

    def _oldest(self) -> None:
        """Forget it."""
        until, user, item = self._order.popleft()
        if self._until.get((user, item)) == until:  # else it was told again
            self._drop(user, item)

    def _drop(self, user: str, item: str) -> None:
        if self._until.pop((user, item), None) is not None:
            self._of[user].discard(item)
            if not self._of[user]:
                del self._of[user]
