"""Scorer: requests in batches, answers on the recommendations topic, models swapped under way.

Of several refreshes for one reader within `refresh_every_s` the first is answered at once and the last
at the end; refreshes that waited too long are dropped and counted, requests never are.
"""

from collections import Counter
from collections.abc import Sequence

from consumers.dead_letters import DeadLetters
from consumers.serving import BATCH, Serving, Wish
from streamrec import logs
from streamrec.broker import Headers, Partition, Publisher, Record
from streamrec.clock import Clock, due
from streamrec.config import Scorer as Settings
from streamrec.errors import InvalidMessage, RetryLater
from streamrec.events import Recommendation, Request, decode, encode, who_asks
from streamrec.metrics import BOARD_SHED, SHED, Board
from streamrec.traces import parent, traced

log = logs.get(__name__)
FORGET_S = 60.0  # how long it is remembered when a reader was last refreshed


class ScoringWorker:
    """See consumers.loop.Handler."""

    def __init__(
        self, serving: Serving, publisher: Publisher, dead_letters: DeadLetters, board: Board,
        clock: Clock, settings: Settings, topic: str,
    ) -> None:
        self._serving, self._publisher, self._dead = serving, publisher, dead_letters
        self._board, self._clock, self._s, self._topic = board, clock, settings, topic
        self._refreshed: dict[str, float] = {}  # reader -> when last, in order
        self._waiting: dict[str, Wish] = {}  # refreshes that wait for their time
        for why in ("late", "merged"):  # a first step from nothing is no increase to Prometheus
            SHED.labels(why)

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """See consumers.loop.Handler."""
        return None

    def handle(self, batches: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        """See consumers.loop.Handler. Refreshes are answered when idle: whatever fails then repeats no answer
        to a request."""
        self._serving.follow()
        wishes: list[Wish] = []
        refreshes: dict[str, Wish] = {}
        refused: list[tuple[Record, InvalidMessage]] = []
        shed: Counter[str] = Counter()
        for _, records in batches:
            for record in records:
                self._sort(record, wishes, refreshes, refused, shed)
        self._answer(wishes)
        shed["merged"] += sum(self._waiting.get(user, wish) != wish for user, wish in refreshes.items())
        self._waiting |= refreshes
        self._tell(shed)
        for record, error in refused:  # last, so that waiting for Redis does not send them again
            self._refuse(record, error)

    def _sort(
        self, record: Record, wishes: list[Wish], refreshes: dict[str, Wish],
        refused: list[tuple[Record, InvalidMessage]], shed: Counter[str],
    ) -> None:
        now, asked_at = self._clock.now(), record.timestamp / 1000
        try:
            request = decode(Request, record.value, now)
        except InvalidMessage as error:
            refused.append((record, error))
            return
        users = [request.user_id] if request.user_id is not None else request.user_ids
        found = [Wish.of(u, request, asked_at) for u in users]
        if request.trigger == "request":
            wishes += found
        elif now - asked_at > self._s.refresh_max_age_s:
            shed["late"] += len(found)
        else:
            shed["merged"] += len(refreshes.keys() & set(users))
            traces = traced(record.headers) if self._serving.tracer.on else {}
            refreshes.update({
                w.ask.user: w._replace(trace=traces.get(w.ask.user, ""), asked_at=asked_at) for w in found
            })

    def _refresh(self, every: bool = False) -> None:
        """Answer those of the waiting refreshes whose time has come, or every one; one leaves when it is
        answered."""
        now, again = self._clock.now(), self._s.refresh_every_s
        ripe = [w for u, w in self._waiting.items()
                if every or due(now, self._refreshed.get(u, 0.0), again)]
        for start in range(0, len(ripe), BATCH):
            some = ripe[start : start + BATCH]
            self._answer(some)
            for wish in some:
                del self._waiting[wish.ask.user]
                self._refreshed.pop(wish.ask.user, None)
                self._refreshed[wish.ask.user] = now
        while self._refreshed and due(now, next(iter(self._refreshed.values())), max(FORGET_S, again)):
            del self._refreshed[next(iter(self._refreshed))]

    def _tell(self, shed: Counter[str]) -> None:
        for why, n in shed.items():
            SHED.labels(why).inc(n)
        try:
            self._board.count(BOARD_SHED, shed.total())
        except RetryLater as error:  # the answers have gone out: to fail now would send them again
            log.warning("shed_not_counted", why=str(error))

    def _answer(self, wishes: Sequence[Wish]) -> None:
        for start in range(0, len(wishes), BATCH):
            some = wishes[start : start + BATCH]
            for wish, answer in zip(some, self._serving.answer(some), strict=True):
                self._publisher.send(self._topic, answer.user_id.encode(), encode(answer),
                                     self._traced(wish, answer) if wish.trace else None)

    def _traced(self, wish: Wish, answer: Recommendation) -> Headers:
        self._serving.tracer.span(
            wish.trace, "answer", wish.asked_at, self._clock.now(), version=answer.model_version,
            recommendation_id=answer.recommendation_id, user=answer.user_id,
        )
        return parent(wish.trace)

    def _refuse(self, record: Record, error: InvalidMessage) -> None:
        """A dead letter; and an answer, if it can be seen who asked."""
        self._dead.send(record, error)
        if asker := who_asks(record.value):
            answer = self._serving.refusal(asker.request_id, asker.user_id, str(error))
            self._publisher.send(self._topic, answer.user_id.encode(), encode(answer))

    def idle(self) -> None:
        """Follow what there is to follow, and answer refreshes that have waited."""
        self._serving.follow()
        self._refresh()

    def end(self) -> None:
        """See consumers.loop.Ends: what waits for its time is answered, for Kafka will not bring it again."""
        self._refresh(every=True)
