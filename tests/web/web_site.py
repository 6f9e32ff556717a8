"""A whole HTTP side over the shipped memory adapters and a real network."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
from starlette.testclient import TestClient

from consumers.model_fetch import ModelFetch
from consumers.own_texts import OwnTexts
from consumers.serving import Serving
from streamrec.adapters.memory import (
    MemoryBoard,
    MemoryBuffer,
    MemoryCatalogue,
    MemoryFiles,
    MemoryPointers,
    MemoryRules,
)
from streamrec.adapters.memory_broker import MemoryBroker, MemoryPublisher
from streamrec.broker import Partition, TopicSpec
from streamrec.catalogue import Entry
from streamrec.clock import SystemClock
from streamrec.config import Buffer, Encoder, Model, Scorer
from streamrec.errors import RetryLater
from streamrec.model.network import Recommender
from streamrec.registry import Registry
from streamrec.replay import Applied, digest
from streamrec.scoring import Scorer as Ranker
from streamrec.scoring import Served, ServingState
from streamrec.web.app import Behind, build
from streamrec.web.desk import Desk
from streamrec.web.outbox import Outbox
from streamrec.web.reach import Reach

DIM = 8
INTERESTS = np.eye(DIM)[3]  # of whatever is said
TOPICS = ("feedback", "articles", "recommendations")


class Publisher(MemoryPublisher):
    """Kafka, which can be away."""

    away = False

    def flush(self, timeout_s: float = 30.0) -> None:
        self.asked()
        super().flush(timeout_s)

    def asked(self) -> None:
        """As of any question."""
        if self.away:
            raise RetryLater("Kafka is away: nothing was acknowledged")


class Buffered(MemoryBuffer):
    """Redis, which can be away or slow."""

    away, slow_s = False, 0.0

    def histories(self, users: Any) -> Any:
        time.sleep(self.slow_s)
        if self.away:
            raise RetryLater("Redis is away")
        return super().histories(users)


class WebSite:
    """As wiring.run_web builds it."""

    def __init__(self, keys: tuple[str, ...] = (), local: bool = False) -> None:
        self.clock, self.broker = SystemClock(), MemoryBroker()
        self.broker.create_topics([TopicSpec(f"w.{t}.v1", 1, 1, {}) for t in TOPICS])
        self.publisher = Publisher(self.broker)
        self.keys, self.local, self.taken = keys, local, 0
        self.rebuild(DIM, lambda text, domain: (text, INTERESTS))
        for i in range(9):
            self.article(f"a{i}", np.eye(9, DIM)[i] + 0.1)

    def rebuild(self, dim: int, encode: Any) -> None:
        """An empty site over vectors of `dim`; `encode`: of interests."""
        self.buffer, self.catalogue = Buffered(Buffer()), MemoryCatalogue(dim)
        self.claim, self.events, self.rules = self.buffer.claim(0, "t", 1), 0, MemoryRules()
        self.serving = self.another(dim, encode)
        self.desk = Desk(self.serving, self.broker.publisher(), "w.recommendations.v1", self.clock)
        self.outbox = Outbox(self.publisher)
        self.reach = Reach(self.publisher.asked, self.clock, every_s=0.01)
        self.app = build(Behind(self.desk, self.outbox, self.reach, self.clock, "w", self.keys, self.local))

    def another(self, dim: int, encode: Any) -> Serving:
        """What a process that answers holds of the site."""
        state = ServingState(self.buffer, self.catalogue, Buffer(), dim)
        prior, settings = Served("0", Recommender.initial(dim, Model())), Scorer(explore=0.0, sync_s=0.01)
        ranker = Ranker(state, self.buffer, prior, settings, 1, encode, self.clock)
        registry = Registry(MemoryFiles(), MemoryPointers(self.clock))
        fetch = ModelFetch(registry, state.articles, "e", OwnTexts(self.catalogue, state.articles, Encoder()))
        return Serving(ranker, fetch, self.rules, MemoryBoard(), self.clock, settings)

    def article(self, item: str, vector: Any) -> None:
        entry = Entry(item, f"Title {item}", self.clock.now() - 99, ["x"], "en", item)
        self.catalogue.put([entry], {item: item})
        self.catalogue.fill([(o, np.asarray(vector, np.float16)) for o in self.catalogue.owed(9)])

    def read(self, user: str, item: str) -> None:
        event_id, now = f"e{self.events}", self.clock.now()
        event = Applied(self.events, digest(event_id), event_id, user, item, "click", now, [], 1.0, -0.5)
        self.events += 1
        self.buffer.apply(0, self.claim, "t", [event], self.events, now)

    def sent(self, topic: str) -> list[Any]:
        return self.broker.read(Partition(f"w.{topic}.v1", 0), 0, 9999)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """The site, running."""
        for thread in (self.desk, self.outbox, self.reach):
            thread.start()
        try:
            with TestClient(self.app) as client:
                yield client
        finally:
            for thread in (self.desk, self.outbox, self.reach):
                thread.stop()
