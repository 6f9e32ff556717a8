"""Trainer: decides when, holds the lease, and lets a child process do the fitting.

Of several trainers the one that holds the lease works; its fencing token goes with every move
of the pointer, so one that lost the lease without noticing cannot publish. Checks that come
late are counted and made up for, and two never run at once. The holder also keeps the models
topic saying what the pointer says.
"""

import os
import threading
from typing import Protocol

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from schedulers.announcer import Announcer
from schedulers.child import NotYet
from schedulers.trigger import drift_asks, of_a_day, waiting, why_train
from streamrec import logs
from streamrec.clock import Clock
from streamrec.config import Trainer as Settings
from streamrec.errors import RetryLater, StreamrecError
from streamrec.metrics import (
    BOARD_ALARM,
    BOARD_DRIFT_TAKEN,
    BOARD_MISFIRES,
    BUFFER_BYTES,
    BUFFER_ROWS,
    MISFIRES,
    ROWS_WAITING,
    TRAININGS_FAILED,
    Board,
    Waits,
)
from streamrec.registry import Pointer, PointerStore
from streamrec.replay import ReplayBuffer

log = logs.get(__name__)
CHECK_S = 1.0


class Learner(Protocol):
    """Runs one increment to its end."""

    def train(self, token: int, why: str) -> None:
        """Fit, decide, commit under the token. Raises StreamrecError when it could not."""

    def close(self) -> None:
        """End the child process."""


class Trainer:
    """One trainer; `check` is one look at whether to train."""

    def __init__(
        self, buffer: ReplayBuffer, pointers: PointerStore, learner: Learner, announcer: Announcer,
        board: Board, clock: Clock, settings: Settings,
    ) -> None:
        self._buffer, self._pointers = buffer, pointers
        self._learner, self._announcer = learner, announcer
        self._board, self._clock, self._s = board, clock, settings
        self._token: int | None = None
        self._started_at = self._checked_at = clock.now()
        self._back_off_until = 0.0
        self._stopping, self._waits = False, Waits()

    def hold(self) -> bool:
        """Take or keep the lease; True while it is ours."""
        if self._token is not None and self._pointers.renew(self._token, self._s.lease_s):
            return True
        self._token = self._pointers.acquire(f"pid {os.getpid()}", self._s.lease_s)
        if self._token is not None:
            log.info("lease_taken", token=self._token)
            self._announcer.forget()  # whoever had it may have been killed before it could tell
        return self._token is not None

    def check(self) -> str | None:
        """Train if a trigger has fired and the lease is ours; the trigger, or None."""
        now = self._clock.now()
        if now < self._back_off_until:
            return None
        held = self.hold()
        self._waits.note("server", False)  # it has answered
        if not held:
            return None
        pointer = self._pointers.read()
        self._announcer.tell(pointer, now)
        rows = waiting(self._buffer.rows_total(), pointer.cursor)
        counts = self._buffer.counts()
        ROWS_WAITING.set(rows)
        BUFFER_ROWS.set(counts.reservoir_rows)
        BUFFER_BYTES.set(counts.reservoir_bytes)
        why = why_train(now, rows, pointer, self._started_at, self._s, self._drift_asks(now, pointer))
        if why and self._token is not None:
            log.info("training", why=why, rows=rows)
            self._learner.train(self._token, why)
            if why == "drift":  # noted for whoever holds the lease next, too
                taken = of_a_day(self._board.get(BOARD_DRIFT_TAKEN) or [], now)
                self._board.put(BOARD_DRIFT_TAKEN, [*taken, now])
            self._announcer.tell(self._pointers.read(), self._clock.now())
        return why

    def _drift_asks(self, now: float, pointer: Pointer) -> bool:
        alarm_at = (self._board.get(BOARD_ALARM) or {}).get("at", 0.0)
        if alarm_at <= pointer.last_attempt_at:
            return False
        return drift_asks(now, alarm_at, pointer, self._board.get(BOARD_DRIFT_TAKEN) or [], self._s)

    def safely(self) -> None:
        """`check`, for the scheduler: a failure is logged and tried again after a while."""
        self._count_late(self._clock.now())
        try:
            self.check()
        except (StreamrecError, OSError) as error:
            if self._stopping:  # it failed because we ended it
                return
            self._tell(error)
            self._back_off_until = self._clock.now() + min(5.0, self._s.trigger_s)
        self._checked_at = self._clock.now()

    def _tell(self, error: Exception) -> None:
        """Waiting is no failure: it ends without anybody's doing, or another alarm tells of it."""
        if isinstance(error, RetryLater):
            self._waits.note("server", True)
        if isinstance(error, RetryLater | NotYet):
            log.warning("waiting", why=str(error))
            return
        TRAININGS_FAILED.inc()
        log.error("training_failed", why=str(error))

    def _count_late(self, now: float) -> None:
        """Checks that a stalled machine missed. This one makes up for them: what they would have
        seen is still in the buffer."""
        missed = int((now - self._checked_at) / CHECK_S) - 1
        if missed > 0:
            MISFIRES.inc(missed)
            try:
                self._board.count(BOARD_MISFIRES, missed)
            except RetryLater:
                log.warning("misfires_not_noted", missed=missed)

    def renew(self) -> None:
        """Keep the lease while a long increment runs."""
        try:
            if self._token is not None:
                self._pointers.renew(self._token, self._s.lease_s)
        except RetryLater as error:
            log.warning("lease_not_renewed", why=str(error))

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set, checking every second; not while an increment runs."""
        scheduler = BackgroundScheduler(jobstores={"default": MemoryJobStore()}, timezone="UTC")
        # No grace time would turn a stall of a second into a run that never happens.
        options = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        scheduler.add_job(self.safely, "interval", seconds=CHECK_S, id="check", **options)
        scheduler.add_job(self.renew, "interval", seconds=self._s.lease_s / 3, id="renew", **options)
        scheduler.start()
        stop.wait()
        self._stopping = True
        scheduler.pause()
        self._learner.close()
        scheduler.shutdown()  # waits for the check in hand, whose fit has just ended
        self._give_back()

    def _give_back(self) -> None:
        try:
            if self._token is not None:
                self._pointers.release(self._token)
        except RetryLater as error:
            log.warning("lease_not_given_back", why=str(error), expires_within_s=self._s.lease_s)
