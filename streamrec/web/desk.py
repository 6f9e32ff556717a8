"""One thread that answers: whatever has come while it was busy is one batch, so load makes batches and
not queues. Each web process holds a scorer of its own; see ARCHITECTURE for why."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from consumers.serving import Serving, Wish
from streamrec import logs
from streamrec.broker import Publisher
from streamrec.clock import Clock, due
from streamrec.errors import RetryLater
from streamrec.events import Recommendation, encode
from streamrec.metrics import UNPUBLISHED
from streamrec.web.handover import hand_over, take
from streamrec.web.line import Line, Waiting

log = logs.get(__name__)
TURN_S, TELL_S = 0.02, 0.2
GATHER_S = 0.01  # a thread that wakes for each answer takes a tenth of the time to answer
FRESH_S = 10.0  # what has followed the servers within this is ready
UNTOLD = 10_000  # answers that may wait for Kafka; more are dropped, and counted
T = TypeVar("T")
Job = tuple[Callable[[Serving], Any], "Future[Any]"]


class Desk:
    """Answers wishes of the HTTP side, and tells the recommendations topic what it answered."""

    def __init__(self, serving: Serving, publisher: Publisher, topic: str, clock: Clock) -> None:
        self.serving, self._publisher, self._topic, self._clock = serving, publisher, topic, clock
        self._line = Line()
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._stop, self._trouble = threading.Event(), "still starting"
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._untold: SimpleQueue[Recommendation] = SimpleQueue()
        self._teller = threading.Thread(target=self._tell, name="teller", daemon=True)

    def start(self) -> None:
        """Begin to follow and to answer."""
        self._thread.start()
        self._teller.start()

    def stop(self) -> None:
        """End after the batch in hand."""
        self._stop.set()
        self._thread.join()
        self._teller.join()
        while not self._jobs.empty():
            self._jobs.get()[1].cancel()
        self.serving.close()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def trouble(self) -> str | None:
        """Why it is not ready, or None."""
        if not self.alive:
            return "the answering thread has ended"
        stale = due(self._clock.now(), self.serving.synced_at, FRESH_S)
        return self._trouble if stale else None

    async def ask(self, wish: Wish) -> Recommendation:
        """The answer; after the deadline the last list, if there is one. Who cancels it gives it up, and is
        not answered. Raises RetryLater, TimeoutError."""
        future: asyncio.Future[Recommendation] = asyncio.get_running_loop().create_future()
        self._line.join(wish, future)
        patience = None if wish.due is None else max(wish.due - self._clock.now(), 0.0)
        try:
            return await asyncio.wait_for(future, patience)
        except TimeoutError:
            if last := self.serving.last(wish):
                self._note(last)
                return last
            raise

    def run(self, job: Callable[[Serving], T]) -> "Future[T]":
        """Have a job done by the answering thread, between two batches: what it reads stands still
        meanwhile. No topic hears of it."""
        found: Future[T] = Future()
        self._jobs.put((job, found))
        return found

    def _run(self) -> None:
        while not self._stop.is_set():
            batch = self._line.batch(TURN_S)
            away = self._follow()
            if away is not None:  # to try and answer would be to wait as long again for the same server
                self._refuse([*batch, *self._line.everybody()], away)
            elif batch:
                self._answer(batch)
            self._one_job(away)

    def _follow(self) -> RetryLater | None:
        """Follow the servers; why that is to be tried again, if one is away."""
        try:
            self.serving.follow()
        except RetryLater as error:
            self._trouble = str(error)
            return error
        except Exception as error:  # whatever it was, who asks next must be told
            self._trouble = f"{type(error).__name__}: {error}"
            log.error("not_following", why=self._trouble)
        return None

    def _one_job(self, away: RetryLater | None) -> None:
        try:
            job, found = self._jobs.get_nowait()
        except Empty:
            return
        if not found.set_running_or_notify_cancel():  # whoever asked has given up; from here on nobody can
            return
        try:
            if away is not None:
                raise away
            found.set_result(job(self.serving))
        except Exception as error:  # told to who asked for it
            found.set_exception(error)

    def _answer(self, batch: list[Waiting]) -> None:
        try:
            answers = self.serving.answer([w.wish for w in batch])
        except Exception as error:
            if not isinstance(error, RetryLater):
                log.error("not_answered", why=f"{type(error).__name__}: {error}")
            self._refuse(batch, error)
            return
        self._give(batch, answers)

    def _refuse(self, some: list[Waiting], error: Exception) -> None:
        """No answer can be made: while a server is away the last list for who set a deadline, and an error
        for all others."""
        left, away = [w for w in some if not w.future.done()], isinstance(error, RetryLater)
        lasts = [self.serving.last(w.wish) if w.wish.due and away else None for w in left]
        self._give(left, [last or error for last in lasts])

    def _give(self, some: list[Waiting], answers: Sequence[Recommendation | Exception]) -> None:
        for waiting, answer in zip(some, answers, strict=True):
            if isinstance(answer, Recommendation) and not waiting.future.done():
                self._note(answer)
        hand_over([(waiting.future, answer) for waiting, answer in zip(some, answers, strict=True)])

    def _note(self, answer: Recommendation) -> None:
        if self._untold.qsize() < UNTOLD:
            self._untold.put(answer)
        else:
            UNPUBLISHED.inc()

    def _tell(self) -> None:
        """The topic hears of what was answered: the monitor joins lists and clicks. A thread of its own,
        as a publisher may block while Kafka is away."""
        while not self._stop.is_set():
            for answer in take(self._untold, TELL_S, UNTOLD):
                if not self._stop.is_set():  # while Kafka is away each may take its time
                    self._tell_one(answer)
            self._stop.wait(GATHER_S)

    def _tell_one(self, answer: Recommendation) -> None:
        try:
            self._publisher.send(self._topic, answer.user_id.encode(), encode(answer))
        except Exception as error:  # whatever it was, the next one is told
            UNPUBLISHED.inc()
            log.warning("answer_not_published", why=f"{type(error).__name__}: {error}")
