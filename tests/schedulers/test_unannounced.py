"""Rows about articles that nobody has announced yet: the catalogue may be far behind the clicks, and the
stream's time far ahead of ours, when a log of years is replayed in minutes."""

import numpy as np
import pytest
from structlog.testing import CapturingLogger

from schedulers import learner
from schedulers.learner import IncrementRunner
from streamrec.adapters.memory import MemoryBoard, MemoryBuffer, MemoryCatalogue, MemoryFiles, MemoryPointers
from streamrec.catalogue import Entry
from streamrec.clock import ManualClock
from streamrec.config import Settings
from streamrec.errors import RetryLater
from streamrec.metrics import BOARD_LOST
from streamrec.registry import Registry
from streamrec.replay import Applied, a_res_key, digest

DIM, ARTICLES, MONTH = 8, 40, 30 * 86_400.0


class Shop:
    """A trainer over the memory adapters, and clicks a month apart from each other."""

    def __init__(self, **settings: float) -> None:
        trainer = Settings().trainer.model_copy(update={"device": "cpu", "tracking": "none", **settings})
        self.settings, self.clock = Settings(trainer=trainer), ManualClock(1.7e9)
        self.buffer, self.catalogue = MemoryBuffer(self.settings.buffer), MemoryCatalogue(DIM)
        self.registry, self.board = Registry(MemoryFiles(), MemoryPointers(self.clock)), MemoryBoard()
        self.token = self.registry.pointers.acquire("test", 1e9)
        self.claim, self.n = self.buffer.claim(0, "x", 1), 0
        self.runner = IncrementRunner(self.buffer, self.catalogue, self.registry, self.board, self.clock,
                                      self.settings, DIM, "test")

    def announce(self, numbers: range) -> None:
        entries = [Entry(f"a{i}", f"number {i}", 1.0, [], "en", f"hash {i}") for i in numbers]
        self.catalogue.put(entries, {e.item_id: e.title for e in entries})
        vectors = np.random.default_rng(0).normal(size=(ARTICLES, DIM)).astype(np.float16)
        self.catalogue.fill([(o, vectors[int(o.item_id[1:])]) for o in self.catalogue.owed(ARTICLES)])

    def clicks(self, n: int) -> None:
        events = []
        for i in range(self.n, self.n + n):
            event = (f"e{i}", f"u{i // 8}", f"a{i % ARTICLES}", "click", 1.2e9 + i * MONTH / 10, [], 1.0)
            events.append(Applied(i, digest(event[0]), *event, a_res_key(digest(event[0]))))
        self.n += n
        self.buffer.apply(0, self.claim, "x", events, self.n, 1.7e9)

    def train(self) -> dict:
        return self.runner.run(self.token, "test")


def test_rows_that_wait_are_learned_once_their_articles_come_however_old_the_stream_says_they_are() -> None:
    shop = Shop()
    shop.announce(range(30))
    shop.clicks(400)
    first = shop.train()
    assert first["rows_parked"] > 50 and first["rows_dropped"] == 0
    shop.announce(range(30, ARTICLES))
    shop.clicks(200)
    second = shop.train()
    assert second["rows_late"] == first["rows_parked"] and second["rows_parked"] == 0
    assert shop.board.total(BOARD_LOST) == 0


def test_it_waits_while_more_rows_are_about_unknown_articles_than_there_is_room_for() -> None:
    shop = Shop(parked_rows=20)
    shop.announce(range(30))
    shop.clicks(400)
    with pytest.raises(RetryLater, match=r"\d+ of \d+ rows are about articles not announced yet"):
        shop.train()
    shop.announce(range(30, ARTICLES))
    assert shop.train()["rows_parked"] == 0 and shop.board.total(BOARD_LOST) == 0


def test_what_is_dropped_after_all_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = CapturingLogger()
    monkeypatch.setattr(learner, "log", told)
    shop = Shop(parked_rows=20, patience_s=60.0)
    shop.announce(range(30))
    shop.clicks(400)
    with pytest.raises(RetryLater):
        shop.train()
    shop.clock.sleep(61.0)
    found = shop.train()
    assert found["rows_parked"] == 20 and found["rows_dropped"] > 0
    assert shop.board.total(BOARD_LOST) == found["rows_dropped"]
    assert [(c.method_name, *c.args) for c in told.calls] == [("warning", "rows_lost")]
    assert "STREAMREC_TRAINER__PARKED_ROWS" in told.calls[0].kwargs["why"]
