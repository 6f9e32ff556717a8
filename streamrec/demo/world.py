"""The demo site: its articles, its readers, and what changes for them while the demo runs.

Time is `progress`, the fraction of the demo that has passed, in [0, 1]. One seed fixes everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.demo import clicks
from streamrec.demo.clicks import Click, Floats, Ints, Memory
from streamrec.demo.words import TOPICS, compose

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class WorldConfig:
    """Size of the site and what happens on it; moments are fractions of the demo."""

    seed: int = 7
    topics: int = 12
    articles: int = 2000
    readers: int = 500
    initial_articles_share: float = 0.6
    new_reader_share: float = 0.1
    shift_share: float = 1 / 3
    rising: int = 0  # topics, the least popular, that shifted readers turn to; 0: each wherever it likes
    slate: int = 10
    shift_at: float = 0.5
    quiet_from: float = 0.35
    quiet_until: float = 0.75
    seasons: int = 1  # how often the quiet topic goes and returns
    section_right: float = 0.7

    def __post_init__(self) -> None:
        # Three interests of a shifted reader, two old ones and the quiet topic are six topics.
        if not 6 <= self.topics <= len(TOPICS):
            raise ValueError(f"topics must be 6 to {len(TOPICS)}, not {self.topics}")


class Phase(NamedTuple):
    """What holds at a moment: interests have shifted; the quiet topic is quiet."""

    shifted: bool
    quiet: bool


class SiteArticle(NamedTuple):
    """An article as the site publishes it; `released_at` is a fraction of the demo."""

    item_id: str
    title: str
    body: str
    tags: list[str]
    released_at: float


class World:
    """The site. Everything about it is fixed by the seed; only readers' memories change."""

    def __init__(self, config: WorldConfig = WorldConfig()) -> None:
        self.config = config
        self.topic_names = TOPICS[: config.topics]
        self._draw_topics(np.random.default_rng([config.seed, 0]))
        self._draw_articles(np.random.default_rng([config.seed, 1]))
        self._draw_readers(np.random.default_rng([config.seed, 2]))
        self._visit_rng = np.random.default_rng([config.seed, 3])
        self._memory = [Memory(np.zeros(config.topics)) for _ in self.readers]

    # What the site shows: articles and who comes.

    def article(self, i: int) -> SiteArticle:
        """The i-th article in order of release."""
        return self.articles[i]

    def released(self, progress: float) -> list[str]:
        """Ids of the articles published by now, oldest first."""
        return self._ids[: int(np.searchsorted(self._released_at, progress, side="right"))]

    def next_visitors(self, progress: float, k: int) -> list[str]:
        """Who opens the site next: `k` arrived readers, with repeats, a few of them very active."""
        here = np.flatnonzero(self._arrives_at <= progress)
        weights = self._activity[here]
        drawn = self._visit_rng.choice(here, k, p=weights / weights.sum())
        return [self.readers[i] for i in drawn]

    def click(self, reader: str, slate: Sequence[str], progress: float) -> list[Click]:
        """Show a slate: 0 to 3 clicks from the top down; the reader remembers it.

        Chance is seeded by reader and visit: how the visits of readers interleave is no matter.
        """
        r = self._reader_index[reader]
        self._memory[r] = memory = self._memory[r].rested(progress)
        rng = np.random.default_rng([self.config.seed, 4, r, memory.visits])
        chances = self.click_probabilities(reader, slate, progress, memory) * clicks.mood(rng)
        hits = np.flatnonzero(rng.random(len(slate)) < chances)[: clicks.MAX_CLICKS]
        relevance = self.relevance(reader, [slate[p] for p in hits], progress)
        made = [
            Click(slate[p], int(p), clicks.dwell(float(rel), rng))
            for p, rel in zip(hits, relevance, strict=True)
        ]
        memory.note(self._main[self._rows(slate)], made)
        return made

    # The truth, which only the evaluation may look at.

    def phase(self, progress: float) -> Phase:
        """What holds at `progress`."""
        config = self.config
        return Phase(
            progress >= config.shift_at,
            config.quiet_from <= progress * config.seasons % 1.0 < config.quiet_until,
        )

    def arrives_at(self, reader: str) -> float:
        """When a reader first comes; 0.0 for most."""
        return float(self._arrives_at[self._reader_index[reader]])

    def interest(self, reader: str, progress: float) -> Floats:
        """Interest [topics] of a reader in each topic, each in [0, 1]; they need not sum to 1."""
        found: Floats = self._interest[self.phase(progress)][self._reader_index[reader]].copy()
        return found

    def shifted(self, reader: str) -> bool:
        """Whether the reader's interests are among those that change half way."""
        return bool(self._shifts[self._reader_index[reader]])

    def fans(self, topic: int, progress: float = 0.0) -> list[str]:
        """Readers whose main interest at `progress` is the topic, arrived or not."""
        mains = self._interest[self.phase(progress)].argmax(axis=1)
        return [self.readers[i] for i in np.flatnonzero(mains == topic)]

    def main_topic(self, item_id: str) -> int:
        """The topic an article is mostly about, whatever its section says."""
        return int(self._main[self._item_index[item_id]])

    def relevance(self, reader: str, item_ids: Sequence[str], progress: float) -> Floats:
        """True appeal [n] in [0, 1] of articles to a reader, position and tiredness aside."""
        rows = self._rows(item_ids)
        interest = self.interest(reader, progress)
        return clicks.appeal(self._mixture[rows], self._broad[rows], self._quality[rows], interest)

    def click_probabilities(
        self, reader: str, slate: Sequence[str], progress: float, memory: Memory | None = None
    ) -> Floats:
        """Chance [n] of a click at each position in an average mood; no memory: a rested reader."""
        seen = memory or Memory(np.zeros(self.config.topics))
        tired = clicks.fatigue(self._main[self._rows(slate)], slate, seen)
        wanted = clicks.CLICK_RATE * self.relevance(reader, slate, progress) * tired
        return clicks.examination(len(slate)) * (clicks.ACCIDENT + wanted)

    def expected_clicks(self, reader: str, slate: Sequence[str], progress: float) -> float:
        """Clicks a slate deserves, without chance and fatigue: compares slates at low variance."""
        seen = clicks.examination(len(slate))
        return float(clicks.CLICK_RATE * seen @ self.relevance(reader, slate, progress))

    # How it all comes about.

    def _rows(self, item_ids: Sequence[str]) -> Ints:
        return np.array([self._item_index[item_id] for item_id in item_ids], dtype=np.int64)

    def _draw_topics(self, rng: np.random.Generator) -> None:
        """Popularity of topics among readers, falling as a power of the rank."""
        rank = rng.permutation(self.config.topics)
        self._popularity: Floats = (1.0 + rank.astype(np.float64)) ** -0.5
        # The second most popular: enough fans to measure, yet the site lives on without it.
        self.quiet_topic = int(np.flatnonzero(rank == 1)[0])
        self.rising_topics = np.argsort(-rank)[: self.config.rising]

    def _draw_articles(self, rng: np.random.Generator) -> None:
        """Release times, latent truth and text of all articles."""
        n = self.config.articles
        initial = round(n * self.config.initial_articles_share)
        later = np.arange(1, n - initial + 1) / (n - initial + 1)
        self._released_at = np.concatenate([np.zeros(initial), later])
        self._mixture: Floats = np.stack([self._draw_mixture(rng, at) for at in self._released_at])
        self._main = self._mixture.argmax(axis=1)
        self._quality = rng.beta(3.0, 4.0, n)
        self._broad = 0.1 * self._quality**2  # what is very good is good for everyone, a bit
        self._ids = [f"article-{i:05d}" for i in range(n)]
        self._item_index = {item_id: i for i, item_id in enumerate(self._ids)}
        self.articles = [self._write(rng, i) for i in range(n)]

    def _draw_mixture(self, rng: np.random.Generator, released_at: float) -> Floats:
        """Topics [topics] of an article, sum 1: one to three of them, the first well ahead."""
        supply: Floats = self._popularity**0.5
        if self.phase(released_at).quiet:
            supply[self.quiet_topic] = 0.0
        k = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
        topics = rng.choice(len(supply), k, replace=False, p=supply / supply.sum())
        mixture = np.zeros(len(supply))
        mixture[topics] = rng.dirichlet([6.0, 2.0, 1.0][:k])
        return mixture

    def _write(self, rng: np.random.Generator, i: int) -> SiteArticle:
        """The article's text: its topics, blurred by words of a topic that it is not about."""
        decoy = int(rng.integers(self.config.topics))
        share = rng.beta(1.2, 3.6)
        weights = (1.0 - share) * self._mixture[i]
        weights[decoy] += share
        title, body = compose(rng, weights)
        right = rng.random() < self.config.section_right
        section = self.topic_names[self._main[i] if right else decoy]
        return SiteArticle(self._ids[i], title, body, [section], float(self._released_at[i]))

    def _draw_readers(self, rng: np.random.Generator) -> None:
        """Arrivals, activity and interests of all readers."""
        n, new = self.config.readers, round(self.config.readers * self.config.new_reader_share)
        self.readers = [f"reader-{i:04d}" for i in range(n)]
        self._reader_index = {reader: i for i, reader in enumerate(self.readers)}
        self._arrives_at = np.concatenate([np.zeros(n - new), np.arange(1, new + 1) / (new + 1)])
        self._activity = 1.0 / (5.0 + rng.permutation(n)) ** 0.8
        before = np.stack([self._draw_interest(rng, self._popularity) for _ in range(n)])
        self._shifts = self._draw_shifts(rng, before)
        after = before.copy()
        for r in np.flatnonzero(self._shifts):
            after[r] = self._draw_interest(rng, self._elsewhere(before[r]))
            if self.config.rising:
                self._turn(after[r], int(rng.choice(self.rising_topics)))
        self._interest = {
            Phase(shifted, quiet): self._hushed(base) if quiet else base
            for shifted, base in ((False, before), (True, after))
            for quiet in (False, True)
        }

    def _draw_interest(self, rng: np.random.Generator, weights: Floats) -> Floats:
        """Interest [topics]: one main topic, a second, a trace of a third, next to none else."""
        chosen = rng.choice(len(weights), 3, replace=False, p=weights / weights.sum())
        interest = rng.uniform(0.0, 0.08, len(weights))
        interest[chosen] = rng.uniform([0.85, 0.5, 0.15], [1.0, 0.7, 0.35])
        return interest

    def _draw_shifts(self, rng: np.random.Generator, before: Floats) -> Bools:
        """Who shifts [readers]: never a fan of the quiet topic, so that its return is felt."""
        steady = np.flatnonzero(before.argmax(axis=1) != self.quiet_topic)
        wanted = min(len(steady), round(self.config.readers * self.config.shift_share))
        return np.isin(np.arange(len(before)), rng.choice(steady, wanted, replace=False))

    def _elsewhere(self, interest: Floats) -> Floats:
        """Weights [topics] of where a shifting reader may go: no old love, not the quiet one."""
        weights: Floats = self._popularity**0.5
        weights[interest.argsort()[-2:]] = 0.0
        weights[self.quiet_topic] = 0.0
        return weights

    def _turn(self, interest: Floats, topic: int) -> None:
        """Let a topic change places with the main one."""
        main = int(interest.argmax())
        interest[[main, topic]] = interest[[topic, main]]

    def _hushed(self, interest: Floats) -> Floats:
        """Interests [readers, topics] while the topic is quiet: fans turn to their second one."""
        hushed = interest.copy()
        fans = interest.argmax(axis=1) == self.quiet_topic
        second = interest.argsort(axis=1)[:, -2]
        hushed[fans, second[fans]] = interest[fans, self.quiet_topic]
        hushed[:, self.quiet_topic] *= 0.03
        return hushed
