"""The synthetic site: publishes articles, asks for slates, shows them, clicks - over real topics.

Readers are split by hash between the live model and two control arms, the frozen first model
and plain popularity, as an A/B test would.
"""

import threading
import time
import uuid
from collections import deque
from zlib import crc32

from streamrec.broker import Broker, Publisher, Subscription
from streamrec.demo.measure import Measured
from streamrec.demo.world import World
from streamrec.errors import InvalidMessage, RetryLater
from streamrec.events import (
    Article,
    DriftReport,
    EventType,
    Feedback,
    ModelPointer,
    Policy,
    Recommendation,
    Request,
    decode,
    encode,
)
from streamrec.wiring import Names

TICK_S = 0.05
ANSWER_LIMIT_S = 10.0
MOST_WAITING = 8  # visitors who wait for a list
OPENING = "open-"  # how ids of requests begin that nobody visits for


def arm(reader: str) -> Policy:
    """60 % of readers see the live model, 20 % each control."""
    bucket = crc32(reader.encode()) % 10
    return "live" if bucket < 6 else "frozen" if bucket < 8 else "popularity"


class Site:
    """One run of the site; `run` blocks for `seconds`."""

    def __init__(
        self, world: World, broker: Broker, names: Names, measured: Measured, visits_per_s: float
    ) -> None:
        self.world, self.names, self.measured = world, names, measured
        self._publisher: Publisher = broker.publisher()
        topics = [names.topic(t) for t in ("recommendations", "models", "drift-reports")]
        self._inbox: Subscription = broker.subscribe(topics, None, "earliest")
        self._rate = visits_per_s
        self._slates: deque[Recommendation] = deque()
        self._fans = set(world.fans(world.quiet_topic))
        self._released = 0
        self._order = sorted(range(len(world.articles)), key=lambda i: world.article(i).released_at)
        self.progress = 0.0
        self.stop, self._opened = threading.Event(), threading.Event()
        self._listener = threading.Thread(target=self._listen, name="site-inbox", daemon=True)

    def open(self, patience_s: float) -> None:
        """Publish the first articles and wait until there is something to recommend.

        Raises RetryLater when no article is recommended within `patience_s`.
        """
        self._listener.start()
        self._release()
        end = time.monotonic() + patience_s
        while time.monotonic() < end and not self.stop.is_set():
            self._send(Request(request_id=f"{OPENING}{uuid.uuid4().hex}", user_id="nobody", n=1))
            if self._opened.wait(0.5):
                return
        if not self.stop.is_set():
            raise RetryLater("no recommendation came: see the processes' logs")

    def run(self, seconds: float) -> None:
        """Visits, slates and clicks for `seconds`."""
        started, owed = time.monotonic(), 0.0
        while not self.stop.is_set() and self.progress < 1.0:
            self.progress = min(1.0, (time.monotonic() - started) / seconds)
            self._release()
            owed += self._rate * TICK_S
            # Who waits for a list sends for no others: a slow machine has fewer visits, not longer queues.
            come = min(int(owed), max(0, MOST_WAITING - len(self.measured.requests)))
            for reader in self.world.next_visitors(self.progress, come):
                self._visit(reader)
            owed -= int(owed)
            while self._slates:
                self._show(self._slates.popleft())
            self.measured.overdue(time.time(), ANSWER_LIMIT_S)
            self.stop.wait(TICK_S)
        self._publisher.flush()

    def drain(self, seconds: float) -> None:
        """Read on until every request is answered and every click is in a list, at most `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (self.measured.requests or self.measured.unlisted()):
            time.sleep(0.1)
        self.measured.overdue(time.time(), ANSWER_LIMIT_S)

    def close(self) -> None:
        """Stop listening."""
        self.stop.set()
        if self._listener.is_alive():
            self._listener.join(5)
        self._inbox.close()
        self._publisher.close()

    def _release(self) -> None:
        while self._released < len(self._order):
            a = self.world.article(self._order[self._released])
            if a.released_at > self.progress:
                return
            message = Article(item_id=a.item_id, title=a.title, body=a.body, tags=a.tags,
                              published_at=time.time())
            self._publisher.send(self.names.topic("articles"), a.item_id.encode(), encode(message))
            self._released += 1
            self.measured.articles += 1

    def _visit(self, reader: str) -> None:
        request = Request(request_id=uuid.uuid4().hex, user_id=reader, policy=arm(reader))
        self.measured.asked(request.request_id, time.time())
        self._send(request)

    def _send(self, request: Request) -> None:
        key = (request.user_id or "").encode()
        self._publisher.send(self.names.topic("requests"), key, encode(request))

    def _show(self, answer: Recommendation) -> None:
        slate, reader = [i.item_id for i in answer.items], answer.user_id
        era = "after_shift" if self.world.phase(self.progress).shifted else "before_shift"
        if era == "after_shift":
            self.measured.shifted(time.time())
        self._publish(answer, "impression", None, None)
        clicks = self.world.click(reader, slate, self.progress)
        for click in clicks:
            self._publish(answer, "click", click.item_id, None)
            self._publish(answer, "read", click.item_id, click.dwell_s)
        deserved = self.world.expected_clicks(reader, slate, self.progress)
        self.measured.shown(answer.policy, era, len(clicks), deserved)
        self._remember_fan(reader, slate, answer.policy)

    def _remember_fan(self, reader: str, slate: list[str], policy: Policy) -> None:
        """True expected clicks of what fans of the quiet topic are shown, before and after."""
        if reader in self._fans and policy == "live":
            world, p = self.world, self.progress
            if p < world.config.quiet_from and self.measured.versions:
                self.measured.fans["before"].append(world.expected_clicks(reader, slate, p))
            elif p >= world.config.quiet_until:
                self.measured.fans["after"].append(world.expected_clicks(reader, slate, p))

    def _publish(
        self, answer: Recommendation, kind: EventType, item: str | None, dwell: float | None
    ) -> None:
        now = time.time()
        shown = [i.item_id for i in answer.items]
        rank = shown.index(item) if item else 0
        event = Feedback(
            event_id=uuid.uuid4().hex, user_id=answer.user_id, item_id=item, event_type=kind,
            timestamp=now, event_value=dwell, recommendation_id=answer.recommendation_id,
            impression=shown, propensity=answer.items[rank].propensity if item else None,
        )
        self.measured.sent(event, now)
        self._publisher.send(self.names.topic("feedback"), event.user_id.encode(), encode(event))

    def _listen(self) -> None:
        while not self.stop.is_set():
            try:
                batches = self._inbox.poll(0.05, 500)
            except RetryLater:
                continue
            for records in batches.values():
                for record in records:
                    self._read(record.topic, record.value)

    def _read(self, topic: str, value: bytes | None) -> None:
        now = time.time()
        try:
            if topic == self.names.topic("models"):
                self.measured.model(decode(ModelPointer, value, now))
            elif topic == self.names.topic("drift-reports"):
                self.measured.report(decode(DriftReport, value, now))
            else:
                answer = decode(Recommendation, value, now)
                ours = self.measured.answer(answer, now)
                if ours and answer.items:
                    self._slates.append(answer)
                elif answer.request_id.startswith(OPENING) and answer.items:
                    self._opened.set()
        except InvalidMessage:
            self.measured.failed += 1  # what streamrec publishes must always decode
