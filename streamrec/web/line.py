"""Who waits for an answer, and who is next: light wishes first, and heavy ones a few at a time, so that long
lists with reasons hold up the others little."""

import asyncio
import time
from queue import SimpleQueue
from typing import NamedTuple

from consumers.serving import BATCH, Wish
from streamrec.events import Recommendation
from streamrec.web.handover import take

MOST = 1000.0  # cost of a batch: a fifth of a second of one core
EXPLAINED = 80.0  # what reasons cost, and as much again as the places themselves
PER_COST_S = 0.001  # a wish lets pass whoever comes so much later for each place it costs more
ALL = 10_000


class Waiting(NamedTuple):
    """A wish, who waits for its answer, and since when (monotonic, s)."""

    wish: Wish
    future: "asyncio.Future[Recommendation]"
    since: float

    @property
    def turn(self) -> float:
        """Who has the least is next; everybody's time comes."""
        return self.since + PER_COST_S * cost(self.wish)


class Line:
    """Anybody joins it; one thread takes from it."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Waiting] = SimpleQueue()
        self._waiting: list[Waiting] = []  # of that thread

    def join(self, wish: Wish, future: "asyncio.Future[Recommendation]") -> None:
        """Wait from now on."""
        self._queue.put(Waiting(wish, future, time.monotonic()))

    def batch(self, timeout_s: float) -> list[Waiting]:
        """Who is to be answered together now; nobody after a while without any."""
        waiting = sorted(self.everybody(0.0 if self._waiting else timeout_s), key=lambda w: w.turn)
        left, n = MOST, 0
        while n < min(len(waiting), BATCH) and (left >= cost(waiting[n].wish) or not n):
            left, n = left - cost(waiting[n].wish), n + 1
        self._waiting = waiting[n:]
        return waiting[:n]

    def everybody(self, timeout_s: float = 0.0) -> list[Waiting]:
        """All that wait, none of whom waits here any more; without those that have given up."""
        found = [*self._waiting, *take(self._queue, timeout_s, ALL)]
        self._waiting = []
        return [w for w in found if not w.future.done()]


def cost(wish: Wish) -> float:
    """Of an answer, in places of a list; a place is a sixth of a millisecond (make bench)."""
    n = float(wish.ask.n)
    return 2 * n + EXPLAINED if wish.ask.explain else n
