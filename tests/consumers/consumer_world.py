"""A whole streamrec in memory, for the consumers."""

from dataclasses import dataclass, field
from typing import Any

from consumers.collector import Collector
from consumers.dead_letters import DeadLetters
from consumers.loop import Loop, Policy
from streamrec.adapters.memory import MemoryBoard, MemoryBuffer
from streamrec.adapters.memory_broker import MemoryBroker, MemoryRecord
from streamrec.broker import TopicSpec
from streamrec.clock import ManualClock
from streamrec.config import Buffer
from streamrec.events import Feedback, Request, decode, encode
from streamrec.traces import NO_TRACES

FEEDBACK, REQUESTS, ARTICLES = "s.feedback.v1", "s.requests.v1", "s.articles.v1"
RULES, ANSWERS = "s.rules.v1", "s.recommendations.v1"


@dataclass
class World:
    """Broker, buffer, board and clock outlive the processes made here."""

    buffer: MemoryBuffer = field(default_factory=lambda: MemoryBuffer(Buffer()))
    board: MemoryBoard = field(default_factory=MemoryBoard)
    clock: ManualClock = field(default_factory=ManualClock)
    broker: MemoryBroker = field(init=False)
    sent: int = 0

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(self.clock)
        self.make_topics()

    def make_topics(self) -> None:
        names = [FEEDBACK, REQUESTS, ARTICLES, RULES, ANSWERS]
        self.broker.create_topics(
            [TopicSpec(n, 2, 1, {}) for n in names] + [TopicSpec(f"{n}.dlq", 1, 1, {}) for n in names]
        )

    def click(self, user: str, item: str, **more: Any) -> None:
        self.sent += 1
        event = Feedback(
            event_id=more.pop("event_id", f"e{self.sent}"), user_id=user, event_type="click",
            timestamp=self.clock.now() + self.sent, item_id=item, **more,
        )
        self.send(FEEDBACK, user.encode(), encode(event))

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Any = None) -> None:
        self.broker.publisher().send(topic, key, value, headers)

    def loop(self, subscription: Any, handler: Any, publisher: Any = None) -> Loop:
        return Loop(subscription, publisher or self.broker.publisher(), handler, self.clock,
                    Policy(poll_s=0.0))

    def dead_letters(self) -> DeadLetters:
        return DeadLetters(self.broker.publisher(), "group", self.board)

    def collector(self, buffer: Any = None, tracer: Any = NO_TRACES, weights: Any = None) -> Loop:
        """As wiring.run_collect builds it."""
        subscription = self.broker.subscribe([FEEDBACK], "collect")
        handler = Collector(
            buffer or self.buffer, self.broker.publisher(), self.dead_letters(), self.clock,
            REQUESTS, self.broker.incarnation, subscription.generation, weights, tracer,
        )
        return self.loop(subscription, handler)

    def turns(self, loop: Loop, n: int = 3, seconds: float = 1.0) -> None:
        for _ in range(n):
            self.clock.sleep(seconds)
            loop.turn()

    def crash(self, loop: Loop) -> None:
        """The process dies without a word; the group notices."""
        loop.subscription.close()

    def records(self, topic: str) -> list[MemoryRecord]:
        return [r for log in self.broker._logs[topic] for r in log]

    def asked(self) -> list[str]:
        """Readers whose lists were asked to be made again."""
        found = [decode(Request, r.value, self.clock.now()) for r in self.records(REQUESTS)]
        assert all(r.trigger == "feedback" for r in found)
        return [u for r in found for u in r.user_ids]
