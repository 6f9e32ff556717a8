"""A scorer over the shipped memory adapters and a real network."""

from typing import Any

import numpy as np

from streamrec.adapters.memory import MemoryBuffer, MemoryCatalogue
from streamrec.catalogue import Entry
from streamrec.clock import ManualClock
from streamrec.config import Buffer, Model
from streamrec.config import Scorer as Settings
from streamrec.model.network import Recommender
from streamrec.replay import Applied, digest
from streamrec.scoring import Ask, Scorer, Served, ServingState

DIM, NOW = 8, 1_750_000_000.0


class Site:
    """A scorer over a buffer and a catalogue."""

    def __init__(self, catalogue: Any = None, explore: float = 0.0, dim: int = DIM, **more: Any) -> None:
        self.buffer, self.catalogue = MemoryBuffer(Buffer()), catalogue or MemoryCatalogue(dim)
        self.claim, self.events = self.buffer.claim(0, "t", 1), 0
        state = ServingState(self.buffer, self.catalogue, Buffer(), dim)
        first = Served("0", Recommender.initial(dim, Model()))
        self.clock, self.settings = ManualClock(NOW), Settings(explore=explore, **more)
        self.scorer = Scorer(state, self.buffer, first, self.settings, 1, self.encode, self.clock)
        self.interests: dict[str, Any] = {}

    def encode(self, text: str, domain: str) -> Any:
        """Vectors of interests that a test has named."""
        return text, unit(self.interests[text])

    def announce(self, n: int, vector: Any = None, first: int = 0) -> None:
        rng = np.random.default_rng(first)
        vectors = rng.normal(size=(n, DIM)) if vector is None else np.tile(vector, (n, 1))
        for i in range(n):
            self.article(f"a{first + i}", vectors[i])

    def article(
        self, item: str, vector: Any, tags: Any = (), lang: str = "", source: str = "", domain: str = "",
        age: float = 100, title: str = "",
    ) -> None:
        entry = Entry(item, title or item, NOW - age, list(tags), lang, "h" + item, source, domain)
        self.catalogue.put([entry], {item: item})
        self.catalogue.fill([(owed, unit(vector)) for owed in self.catalogue.owed(1)])

    def event(self, user: str, item: str, kind: str = "click", at: float = NOW) -> None:
        event_id = f"e{self.events}"
        event = Applied(self.events, digest(event_id), event_id, user, item, kind, at, [], 1.0, -0.5)
        self.events += 1
        self.buffer.apply(0, self.claim, "t", [event], self.events, NOW)

    def answer(self, user: str, n: int = 5, policy: Any = "live", **wish: Any) -> Any:
        self.scorer.follow()
        return self.scorer.rank([Ask(user, n, policy, **wish)])[0]


def unit(vector: Any) -> Any:
    """Of norm 1, as articles have it."""
    return (np.asarray(vector, float) / np.linalg.norm(vector)).astype(np.float16)


def ids(answer: Any) -> list[str]:
    return [i.item_id for i in answer.items]
