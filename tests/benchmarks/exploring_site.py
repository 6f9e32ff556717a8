"""The synthetic site under one way of exploring: visits, lists, clicks; see exploring."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamrec.catalogue import Vectors
from streamrec.config import Settings
from streamrec.demo import clicks
from streamrec.demo.log import at
from streamrec.demo.world import World, WorldConfig
from streamrec.evaluation.learned import How, Learned
from streamrec.evaluation.site import Site
from streamrec.events import Article, Feedback, RankedItem
from streamrec.model.network import Recommender
from streamrec.scoring import Ask, Scorer, Served
from tests.benchmarks.exploring_policies import POLICIES

PLACES = 10
Encode = Callable[[list[str]], Vectors]


@dataclass(frozen=True)
class Sizes:
    """Of one run; six articles of ten are there from the beginning."""

    articles: int = 600
    readers: int = 500
    warm: int = 1500  # visits before anything is compared
    visits: int = 5000

    @property
    def total(self) -> int:
        return self.warm + self.visits

    def world(self, seed: int) -> World:
        return World(WorldConfig(seed=seed, articles=self.articles, readers=self.readers))


class Run:
    """One policy on one site."""

    def __init__(self, name: str, world: World, sizes: Sizes, encode: Encode, dim: int) -> None:
        self._explores, self._policy = name != "none", POLICIES[name]()
        self.world, self.sizes, settings = world, sizes, Settings()
        self.site, net = Site(settings, encode, dim), Recommender.initial(dim, settings.model)
        self.scorer = Scorer(self.site.state, self.site.buffer, Served("0", net), settings.scorer,
                             world.config.seed, clock=self.site.clock)
        self._released, self._events = 0, 0
        self.shown: dict[str, list[int]] = defaultdict(list)  # visits in which an article was
        self.found: dict[str, list[float]] = defaultdict(list)

    def go(self, first: Recommender | None) -> Recommender:
        """All visits; the model that those before what counts end with: `first`, if that is known."""
        for k in range(self.sizes.warm):
            self._visit(k)
        first = first or self._trained()
        self.scorer.swap(Served("1", first))
        self.scorer._slates._explorer.chances = self._chances
        self.found.clear()
        for k in range(self.sizes.warm, self.sizes.total):
            self._visit(k, self._explores)
        return first

    def _chances(self, *of: Any) -> Any:
        started = time.perf_counter()
        found = self._policy.chances(*of)
        self.found["share_ms"].append(1000 * (time.perf_counter() - started))
        return found

    def _trained(self) -> Recommender:
        learned = Learned(How(train="head"), self.site, self.world.config.seed, "")
        learned.learn(self.site.new_rows())
        return learned.live.net

    def _visit(self, k: int, explore: bool = True) -> None:
        progress = k / self.sizes.total
        reader = self.world.next_visitors(progress, 1)[0]
        self._release(progress)
        self.site.catch_up(at(progress))
        self.scorer.follow()
        started = time.perf_counter()
        items = self.scorer.rank([Ask(reader, PLACES, explore=explore)])[0].items
        self.found["ms"].append(1000 * (time.perf_counter() - started))
        self._show(k, reader, items, progress)

    def _show(self, k: int, reader: str, items: list[RankedItem], progress: float) -> None:
        slate = [i.item_id for i in items]
        self.found["clicks"].append(self.world.expected_clicks(reader, slate, progress))
        appeal = float(self.world.relevance(reader, slate[-1:], progress)[0])
        self.found["last"].append(clicks.CLICK_RATE * float(clicks.examination(PLACES)[-1]) * appeal)
        clicked = {c.item_id for c in self.world.click(reader, slate, progress)}
        self._say(reader, "impression", None, slate, progress)
        for i in items:
            self.shown[i.item_id].append(k)
            if i.propensity < 1:
                self._policy.told(self.site.state.articles.index[i.item_id], i.item_id in clicked)
                self.found["propensity"].append(i.propensity)
            if i.item_id in clicked:
                self._say(reader, "click", i.item_id, slate, progress, i.propensity)

    def _say(self, reader: str, kind: Any, item: str | None, slate: list[str], progress: float,
             propensity: float | None = None) -> None:
        self._events += 1
        self.site.publish(Feedback(
            event_id=f"e{self._events}", user_id=reader, event_type=kind, timestamp=at(progress),
            item_id=item, impression=slate, propensity=propensity,
        ))

    def _release(self, progress: float) -> None:
        """What is published by now; the first ones at the same pace, before the first visit."""
        every, started = self.world.articles, self._released
        old, self._released = len(self.world.released(0.0)), len(self.world.released(progress))
        for i, a in enumerate(every[started : self._released], started):
            when = a.released_at or (i - old) / (len(every) - old + 1)
            self.site.publish(Article(item_id=a.item_id, title=a.title, body=a.body, tags=a.tags,
                                      published_at=at(when) - 1.0))
