"""A site whose truth is known, told to a drift monitor event by event: what it publishes, shows and hears.

Readers like one of twelve topics; the model knows what each liked at first, and never learns. A shift has
a kind, and comes at once or over some thousand events: `strength`, 0 to 1, says how far it has come.
"""

import random
from typing import Any

import numpy as np

from streamrec.config import Monitor
from streamrec.drift.contributors import Published
from streamrec.drift.monitor import DriftMonitor
from streamrec.events import Feedback, RankedItem, Recommendation

TOPICS, READERS, SLATE, DIM = 12, 500, 8, 32
PER_ARTICLE, PER_INCREMENT, HELD_OUT = 5, 2000, 100  # events to a new article, and to a trainer's figures
SHIFTS: dict[str, tuple[str, ...]] = {  # kind of shift -> detectors that ought to see it
    "a third of the readers turns to one topic": (
        "topic-mix", "readers-turn", "reader-change", "click-rate", "click-trend", "against-controls"),
    "of what they are shown, all like one topic, and what the model puts first half as much": (
        "topic-given-shown", "online-rank", "surprise", "calibration"),
    "all click half as often": ("click-rate", "click-trend"),
    "articles are read half as long, dismissed three times as often": ("dwell", "dismissals"),
    "a third of what is published is of a new kind": ("content", "new-words"),
    "a tenth of the articles gets half of the places": ("exposure",),
    "a tenth of the events twice and an hour late, a third of the articles empty and in Chinese": (
        "duplicates", "clock-skew", "missing-text", "missing-fields", "missing-dwell", "language-mix",
        "vector-norm"),
}
INTEREST, TASTE, CLICKS, READING, CONTENT, LOOP, DATA = SHIFTS


class DriftingSite:
    """Events of one seed."""

    def __init__(self, seed: int, shift: str = "") -> None:
        self.monitor = DriftMonitor(Monitor(period_s=1e9))
        self.rng, self.shift, self.strength = random.Random(seed), shift, 0.0
        self.known = [self.rng.randrange(TOPICS) for _ in range(READERS)]
        self.events = self.visits = self.articles = 0
        self._directions = np.random.default_rng(0).standard_normal((TOPICS + 1, DIM)).astype(np.float32)
        for _ in range(600):
            self.publish()
        self.monitor.model("1")

    def on(self, shift: str, share: float = 1.0) -> bool:
        """Whether a thing of this share is shifted now."""
        return self.shift == shift and self.rng.random() < self.strength * share

    def publish(self) -> None:
        rng, n = self.rng, self.articles
        self.articles += 1
        topic, strange = n % TOPICS, self.on(CONTENT, 1 / 3)
        bare = self.on(DATA, 1 / 3)
        words = " ".join(f"{'x' if strange else 't'}{topic}w{int(rng.paretovariate(0.8)) % 3000}"
                         for _ in range(7))
        noise = np.array([rng.gauss(0, 1) for _ in range(DIM)], np.float32)
        vector = 0.7 * self._directions[TOPICS if strange else topic] + noise
        found = Published(f"topic-{topic}", "" if bare else words,
                          "zh" if bare else rng.choices(["en", "de"], [9, 1])[0], not bare)
        length = np.linalg.norm(vector) * (2.0 if self.on(DATA, 1 / 3) else 1.0)
        self.monitor.article(f"a{n}", found, None if bare else vector / length)

    def visit(self) -> None:
        """One slate, and what its reader does with it."""
        rng, user = self.rng, self.rng.randrange(READERS)
        self.visits += 1
        liked = 0 if user < READERS // 3 and self.on(INTEREST) else self.known[user]
        items = [self._item(self.known[user] if k < 3 else rng.randrange(TOPICS)) for k in range(SLATE)]
        self.monitor.recommendation(_answer(f"r{self.visits}", f"u{user}", items))
        self.hear("impression", user, None, items)
        scale = 0.5 if self.on(CLICKS) else 1.0
        for item in items:
            if rng.random() < self._appeal(int(item[1:]) % TOPICS, liked) * scale:
                self.react(user, item)
        while rng.random() < 0.5:  # what readers find by themselves, of a kind in one visit
            self.react(user, self._item(liked if rng.random() < 0.8 else rng.randrange(TOPICS)), False)

    def _appeal(self, topic: int, liked: int) -> float:
        if self.on(TASTE):
            return 0.25 if topic == 0 else 0.1 if topic == liked else 0.02
        return 0.2 if topic == liked else 0.02

    def react(self, user: int, item: str, found_in_list: bool = True) -> None:
        seconds = self.rng.expovariate(1 / 60) * (0.5 if self.on(READING) else 1.0)
        self.hear("click", user, item, found_in_list=found_in_list)
        dwell = None if self.on(DATA, 0.1) else seconds
        self.hear("read", user, item, found_in_list=found_in_list, dwell=dwell)
        if self.rng.random() < (0.15 if self.on(READING) else 0.05):
            self.hear("dismiss", user, item, found_in_list=found_in_list)

    def _item(self, topic: int) -> str:
        """One of the newest 600 articles; some are always shown more often."""
        narrow = self.on(LOOP, 0.5)
        nth = int(50 * (0.1 * self.rng.random() if narrow else self.rng.random() ** 1.5))
        newest = (self.articles - 1) // TOPICS
        return f"a{max(newest - 1 - nth, 0) * TOPICS + topic}"

    def hear(
        self, kind: Any, user: int, item: str | None, slate: list[str] | None = None,
        dwell: float | None = None, found_in_list: bool = True,
    ) -> None:
        self.events += 1
        late = 3600.0 if self.on(DATA, 0.1) else 0.0
        event = Feedback(
            event_id=f"e{self.events}", user_id=f"u{user}", event_type=kind, item_id=item, event_value=dwell,
            timestamp=1e9 + self.events / 10 - late, impression=slate or [],
            recommendation_id=f"r{self.visits}" if found_in_list else None,
        )
        self.monitor.feedback(event)
        if self.on(DATA, 0.1):
            self.monitor.feedback(event)
        if self.events % PER_ARTICLE == 0:
            self.publish()
        if self.events % PER_INCREMENT == 0:
            self._increment()

    def _increment(self) -> None:
        """What a trainer would tell: the model is better than its controls until readers turn away."""
        worse = self.strength if self.shift == INTEREST else 0.0
        gaps = [self.rng.gauss(0.05 - 0.2 * worse, 0.3) for _ in range(HELD_OUT)]
        self.monitor.quality({"at": 1e9 + self.events / 10, "gaps": gaps})

    def until(self, events: int) -> dict[str, list[int]]:
        """Alarms by detector, each with the number of events since the call."""
        start, alarms = self.events, dict[str, list[int]]()
        while self.events - start < events:
            self.visit()
            if report := self.monitor.due(0.0):
                for f in report.findings:
                    if f.alarm:
                        alarms.setdefault(f.detector, []).append(self.events - start)
        return alarms


def _answer(rec: str, user: str, items: list[str]) -> Recommendation:
    ranked = [RankedItem(item_id=item, rank=i + 1, score=1.5 if i < 3 else 0.0, propensity=1.0, reason="")
              for i, item in enumerate(items)]
    return Recommendation(
        recommendation_id=rec, request_id=rec, user_id=user, trigger="request", policy="live",
        model_version="1", generated_at=1e9, items=ranked,
    )
