"""Scorer: requests in batches, answers on the recommendations topic, models swapped under way.

A background thread fetches, verifies, builds and warms a new version; the worker's own step
assigns it. Of several refreshes for one reader in a batch one is answered; refreshes that waited
too long are dropped and counted, requests never are.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from consumers.dead_letters import DeadLetters
from consumers.model_fetch import ModelFetch
from streamrec import logs
from streamrec.broker import Partition, Publisher, Record
from streamrec.clock import Clock
from streamrec.config import Scorer as Settings
from streamrec.errors import InvalidMessage
from streamrec.events import Recommendation, Request, Trigger, decode, encode
from streamrec.metrics import (
    ANSWER_SECONDS,
    ANSWERS,
    BOARD_SCORER,
    BOARD_SHED,
    MODEL_VERSION,
    SHED,
    SWAPS,
    Board,
)
from streamrec.scoring import Ask, Ranked, Scorer, Served

log = logs.get(__name__)
BATCH = 64


class _Wish(NamedTuple):
    ask: Ask
    request_id: str
    trigger: Trigger


class ScoringWorker:
    """See consumers.loop.Handler."""

    def __init__(
        self, scorer: Scorer, fetch: ModelFetch, publisher: Publisher, dead_letters: DeadLetters,
        board: Board, clock: Clock, settings: Settings, topic: str,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._scorer, self._fetch, self._publisher = scorer, fetch, publisher
        self._dead, self._board, self._clock = dead_letters, board, clock
        self._s, self._topic, self._new_id = settings, topic, new_id
        self._synced_at = 0.0

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """See consumers.loop.Handler."""
        return None

    def handle(self, batches: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        """See consumers.loop.Handler."""
        self.idle()
        wishes: list[_Wish] = []
        refreshes: dict[str, _Wish] = {}
        refused: list[tuple[Record, InvalidMessage]] = []
        for _, records in batches:
            for record in records:
                self._sort(record, wishes, refreshes, refused)
        every = [*wishes, *refreshes.values()]
        for start in range(0, len(every), BATCH):
            self._answer(every[start : start + BATCH])
        for record, error in refused:  # last, so that waiting for Redis does not send them again
            self._dead.send(record, error)

    def _sort(
        self, record: Record, wishes: list[_Wish], refreshes: dict[str, _Wish],
        refused: list[tuple[Record, InvalidMessage]],
    ) -> None:
        now = self._clock.now()
        try:
            request = decode(Request, record.value, now)
        except InvalidMessage as error:
            refused.append((record, error))
            return
        users = [request.user_id] if request.user_id is not None else request.user_ids
        found = [_Wish(Ask(u, request.n, request.policy), request.request_id, request.trigger) for u in users]
        if request.trigger == "request":
            wishes += found
        elif now - record.timestamp / 1000 > self._s.refresh_max_age_s:
            self._shed(len(found))
        else:
            self._shed(len(refreshes.keys() & set(users)))
            refreshes.update({w.ask.user: w for w in found})

    def _shed(self, n: int) -> None:
        if n:
            SHED.inc(n)
            self._board.count(BOARD_SHED, n)

    def _answer(self, wishes: list[_Wish]) -> None:
        started = time.perf_counter()
        for wish, ranked in zip(wishes, self._scorer.rank([w.ask for w in wishes]), strict=True):
            self._publisher.send(self._topic, wish.ask.user.encode(), encode(self._message(wish, ranked)))
            ANSWERS.labels(wish.trigger).inc()
        ANSWER_SECONDS.observe(time.perf_counter() - started)

    def _message(self, wish: _Wish, ranked: Ranked) -> Recommendation:
        return Recommendation(
            recommendation_id=self._new_id(), request_id=wish.request_id, user_id=wish.ask.user,
            trigger=wish.trigger, policy=wish.ask.policy, model_version=ranked.version,
            generated_at=self._clock.now(), items=ranked.items, state_at=ranked.state_at,
            error=ranked.error,
        )

    def idle(self) -> None:
        """Follow catalogue and counters, and take a new model if one is ready."""
        now = self._clock.now()
        if now - self._synced_at < self._s.sync_s:
            return
        self._scorer.follow()
        self._synced_at = now
        live, frozen = self._fetch.take()
        if frozen is not None:
            self._scorer.catch_up(frozen)
            self._scorer.frozen = frozen
        if live is not None:
            self._swap(live)

    def _swap(self, served: Served) -> None:
        self._scorer.swap(served)
        SWAPS.inc()
        MODEL_VERSION.set(int(served.version))
        self._board.put(BOARD_SCORER, {"version": served.version, "swapped_at": self._clock.now()})
        log.info("swapped", version=served.version)
