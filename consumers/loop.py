"""The loop of every Kafka-driven process: poll, handle, settle, flush, commit - and wait, losing
nothing, while a server is away or full.

Commit comes last and is throttled: whoever handles a batch must bear to see it again.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

from streamrec import logs
from streamrec.broker import Partition, Publisher, Record, Subscription, look
from streamrec.clock import Clock, due
from streamrec.errors import Fenced, RetryLater
from streamrec.metrics import Waits

log = logs.get(__name__)
T = TypeVar("T")
FLUSH_S = 10.0  # then it is told that Kafka does not take what is owed; nothing is polled meanwhile


@dataclass(frozen=True)
class Policy:
    """How a loop paces itself: seconds, and records per poll."""

    poll_s: float = 0.05
    max_records: int = 500
    commit_every_s: float = 0.2
    backoff_s: float = 0.1
    backoff_max_s: float = 5.0


class Handler(Protocol):
    """What a process does with what it polled."""

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """A partition is newly ours: where to read from (None: from the committed offset).
        Called again in each group generation."""

    def handle(self, batches: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        """Work through what one poll brought. May see records twice. Raises RetryLater."""

    def idle(self) -> None:
        """Called once a turn, with or without records."""


@runtime_checkable
class Settles(Protocol):
    """A handler whose work goes on after `handle` has returned."""

    def settle(self) -> None:
        """Wait until all of it is done. Raises RetryLater: then it is still owed, and the next
        call goes on with it; or Fenced: then it was dropped."""


@runtime_checkable
class Ends(Protocol):
    """A handler that holds back some of what it was given."""

    def end(self) -> None:
        """The process is about to end: let go of it. Raises RetryLater if that cannot be."""


@dataclass
class Loop:
    """One process's loop; `stop` ends it after the turn in hand."""

    subscription: Subscription
    publisher: Publisher
    handler: Handler
    clock: Clock
    policy: Policy = Policy()
    stop: threading.Event = field(default_factory=threading.Event)
    _generation: int = -2
    _ready: set[Partition] = field(default_factory=set)
    _done: dict[Partition, int] = field(default_factory=dict)
    _committed_at: float = 0.0
    _waits: Waits = field(default_factory=Waits)

    def run(self) -> None:
        """Until `stop` is set."""
        while not self.stop.is_set():
            self.turn()
        if isinstance(self.handler, Ends):
            with contextlib.suppress(RetryLater):
                self.handler.end()
        self._commit()
        self.subscription.close()

    def turn(self) -> None:
        """Poll once and work through what came."""
        batches = self._patiently(lambda: self.subscription.poll(self.policy.poll_s, self.policy.max_records))
        if self._rebalanced():
            self._patiently(self._settle)  # what was claimed before ends before it is claimed anew
            self._generation, self._ready, self._done = self.subscription.generation(), set(), {}
        starts: dict[Partition, int] = {}
        for partition in self.subscription.assignment() - self._ready:
            self._patiently(partial(self._take, partition, starts))
        found = (batches or {}).items()
        work = [(p, records) for p, records in found if self._continues(p, records, starts)]
        if bool(work) and self._patiently(partial(self._handled, work)):
            self._done.update({p: records[-1].offset + 1 for p, records in work})
        self._patiently(self.handler.idle)
        look(self.subscription, self._waits)
        if due(self.clock.now(), self._committed_at, self.policy.commit_every_s):
            self._patiently(self._settle)
            self._commit()

    def _handled(self, work: Sequence[tuple[Partition, Sequence[Record]]]) -> bool:
        """True: what was fenced, or never handled because we were stopped, is not committed. Nor is what
        waited for a server while the group shared its partitions out anew: it comes again, to its owner."""
        if self._rebalanced():
            return False
        self.handler.handle(work)
        return True

    def _rebalanced(self) -> bool:
        return self.subscription.generation() != self._generation

    def _settle(self) -> None:
        if isinstance(self.handler, Settles):
            self.handler.settle()

    def _take(self, partition: Partition, starts: dict[Partition, int]) -> None:
        start = self.handler.assigned(partition, self.subscription.committed(partition))
        if start is not None:
            self.subscription.seek(partition, start)
            starts[partition] = start
        self._ready.add(partition)

    def _continues(
        self, partition: Partition, records: Sequence[Record], starts: dict[Partition, int]
    ) -> bool:
        """What this turn polled before it knew where to start is dropped: it comes again."""
        return partition in self._ready and partition not in starts

    def _patiently(self, action: Callable[[], T]) -> T | None:
        """Run `action` until no server is away. Meanwhile poll paused: heartbeats go on."""
        delay, waiting = self.policy.backoff_s, False
        while not self.stop.is_set():
            try:
                result: T | None = action()
                break
            except Fenced as error:  # a later owner has this work: drop it, rejoin
                log.warning("fenced", why=str(error))
                self._generation, self._done, result = -2, {}, None  # what is done was perhaps not settled
                self.clock.sleep(self.policy.backoff_s)
                break
            except RetryLater as error:
                if not waiting:
                    log.warning("waiting", why=str(error))
                    self._waits.note("server", True)
                waiting = True
                self._wait(delay)
                delay = min(delay * 2, self.policy.backoff_max_s)
        else:
            result = None
        if waiting:
            self._resume()
        return result

    def _wait(self, delay: float) -> None:
        try:
            self.subscription.pause(True)
            for partition, records in self.subscription.poll(delay, 1).items():
                self.subscription.seek(partition, records[0].offset)  # came in before the pause
        except RetryLater:
            pass
        self.clock.sleep(delay)

    def _resume(self) -> None:
        log.info("resuming")
        self._waits.note("server", False)
        self.subscription.pause(False)

    def _commit(self) -> None:
        self._committed_at = self.clock.now()
        if not self._done or self._rebalanced():  # a later owner may have committed more
            self._waits.note("commit", False)  # nothing is owed any more
            return
        done, self._done = self._done, {}
        try:
            self._settle()
            self.publisher.flush(FLUSH_S)
            self.subscription.commit(done)
            self._waits.note("commit", False)
        except Fenced:
            self._generation = -2
            log.info("rebalanced_before_commit")
        except RetryLater as error:
            log.warning("commit_failed", why=str(error))
            self._waits.note("commit", True)
            self._done = {**done, **self._done}

