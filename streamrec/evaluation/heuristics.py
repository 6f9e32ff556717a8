"""The arms that need no training: what a site has before it has a model, each as strong as it gets.

They keep their own counts, so that a half-life is a setting of the arm and not of the buffer.
Each breaks its ties, and serves readers it knows nothing of, by what is popular now.
"""

import re
from array import array
from collections.abc import Sequence
from itertools import islice
from math import log
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from streamrec.catalogue import Entry, LiveArticles
from streamrec.evaluation.arm import Cost, Floats, Moment, Rows
from streamrec.events import Article, Feedback, epoch
from streamrec.replay import Row

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
UNREAD = 2.0**-20  # reads that being published counts for: next to nothing, so the newest come first
FADE = 0.7  # weight of a read against the one after it, where reads are weighted
LAST = 5  # reads that say what a reader wants: more is worse, on news and on manual pages


def read_of(event: Feedback) -> str | None:
    """The article that an event says was read: a dismissal or an impression is no read."""
    return None if event.event_type in ("impression", "dismiss") else event.item_id


def last_reads(moment: Moment) -> list[int]:
    """Rows of what the reader read, newest first."""
    index = moment.state.articles.index
    return [index[r.item] for r in moment.history if r.kind != "dismiss" and r.item in index]


class Numbers:
    """Numbers of article ids in order of arrival, and where each stands in the state."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.of: dict[str, int] = {}
        self._rows: Ints = np.zeros(0, np.int64)

    def add(self, item_id: str) -> int:
        """The number of an article, a new one if it was never seen."""
        n = self.of.setdefault(item_id, len(self.ids))
        if n == len(self.ids):
            self.ids.append(item_id)
        return n

    def spread(self, values: Doubles, articles: LiveArticles, fill: float) -> Doubles:
        """Values [n] by number as values [N] by row of the state; `fill` where there is none."""
        new = len(self.ids) - len(self._rows)
        self._rows = np.append(self._rows, np.full(new, -1, np.int64)) if new else self._rows
        for n in np.flatnonzero(self._rows < 0):
            self._rows[n] = articles.index.get(self.ids[n], -1)
        out = np.full(len(articles) + 1, fill)  # the spare slot takes those that have no row yet
        out[self._rows] = values[: len(self._rows)]
        return out[:-1]


class Heuristic:
    """An arm that is told of everything and fits nothing."""

    def announce(self, article: Article) -> None:
        """See Arm."""

    def observe(self, event: Feedback) -> None:
        """See Arm."""

    def learn(self, rows: Sequence[Row]) -> Cost:
        """See Arm: nothing to fit."""
        return Cost()

    def among(self, moment: Moment, rows: Rows, scored: Floats) -> Floats:
        """See Arm."""
        return scored[rows]


class Random(Heuristic):
    """Any order: what the catalogue's size alone gives."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def scores(self, moment: Moment) -> Floats:
        """See Arm. Of a moment always the same, whatever else was asked."""
        rng = np.random.default_rng([self._seed, crc32(f"{moment.user}/{moment.t}".encode())])
        return rng.random(len(moment.state.articles), dtype=np.float32)


class Newest(Heuristic):
    """Newest first: minus the age in seconds."""

    def scores(self, moment: Moment) -> Floats:
        """See Arm. Relative to now: a float32 of epoch seconds only resolves two minutes."""
        found: Floats = (moment.state.articles.published - moment.t).astype(np.float32)
        return found


class Popular(Heuristic):
    """Reads that fade by half every `half_life_s`; inf: reads ever.

    Kept as log2 of sum(2^(ts / half-life)), forward decay (Cormode et al. 2009) in logarithms:
    one number an article, which no order of arrival changes and no half-life over- or underflows.
    Only a reader's first read of an article counts: on real logs better than all reads, at every
    half-life. `birth`: being published counts as so many reads at that time; from 1 on it is what
    news sites call "hot", and much stronger where articles are read in their first hours.
    """

    def __init__(self, half_life_s: float, birth: float = UNREAD) -> None:
        self._half_life, self._birth = half_life_s, np.log2(birth)
        self._numbers, self._seen = Numbers(), set[tuple[str, str]]()
        self._log: Doubles = np.full(1024, -np.inf)

    def observe(self, event: Feedback) -> None:
        """See Arm."""
        item = read_of(event)
        if item is None or (event.user_id, item) in self._seen:
            return
        self._seen.add((event.user_id, item))
        n = self._numbers.add(item)
        if n >= len(self._log):
            self._log = np.append(self._log, np.full(len(self._log), -np.inf))
        self._log[n] = np.logaddexp2(self._log[n], epoch(event.timestamp) / self._half_life)

    def log_reads(self, moment: Moment) -> Doubles:
        """log2 of the decayed reads [N] at the moment."""
        articles = moment.state.articles
        read = self._numbers.spread(self._log, articles, -np.inf)
        born = articles.published / self._half_life + self._birth
        faded: Doubles = np.logaddexp2(read, born) - moment.t / self._half_life
        return faded

    def scores(self, moment: Moment) -> Floats:
        """See Arm."""
        return self.log_reads(moment).astype(np.float32)

    def tie_break(self, moment: Moment) -> Doubles:
        """The same order [N], squeezed into (-1e-4, 1e-4)."""
        x = self.log_reads(moment)
        squeezed: Doubles = 1e-4 * x / (1.0 + np.abs(x))
        return squeezed


def fallback() -> Popular:
    """What other arms break their ties by, and serve readers they know nothing of: hot, as that is
    the best order without a reader on news, and as good as any elsewhere."""
    return Popular(3 * 3600.0, birth=3.0)


class Content(Heuristic):
    """Cosine of an article's base vector to the vectors of the reader's last reads that have one:
    to the newest, their mean, their mean faded by rank, or the nearest of them."""

    def __init__(self, kind: Literal["last", "mean", "faded", "max"], last: int = LAST) -> None:
        self._kind, self._last = kind, 1 if kind == "last" else last
        self._popular, self._base, self._at = fallback(), np.zeros((0, 0), np.float32), -1

    def observe(self, event: Feedback) -> None:
        """See Arm."""
        self._popular.observe(event)

    def scores(self, moment: Moment) -> Floats:
        """See Arm. A reader without reads that have a text gets what is popular."""
        base = self._vectors(moment.state.articles)
        reads = base[last_reads(moment)]
        reads = reads[reads.any(axis=1)][: self._last]
        if not len(reads):
            return self._popular.scores(moment)
        near = (base @ reads.T).max(axis=1) if self._kind == "max" else base @ self._mean(reads)
        return np.asarray(near + self._popular.tie_break(moment), np.float32)

    def _mean(self, reads: Floats) -> Floats:
        summed = (FADE if self._kind == "faded" else 1.0) ** np.arange(len(reads)) @ reads
        return np.asarray(summed / max(float(np.linalg.norm(summed)), 1e-12), np.float32)

    def _vectors(self, articles: LiveArticles) -> Floats:
        """Unit base vectors [N, d], kept as float32: numpy has no fast product of float16."""
        if len(self._base) < len(articles):
            more = np.zeros((len(articles) + 1024 - len(self._base), articles.dim), np.float32)
            self._base = np.vstack([self._base.reshape(-1, articles.dim), more])
        if self._at != articles.cursor:
            for i in articles.changed_since(self._at):
                vector = articles.vectors[i].astype(np.float32)
                self._base[i] = vector / max(float(np.linalg.norm(vector)), 1e-12)
            self._at = articles.cursor
        return self._base[: len(articles)]


class Lexical(Heuristic):
    """Words of title and tags that two articles share, each worth IDF^2 (Sparck Jones 1972), over
    the root of both numbers of words: with the newest read, the last reads faded by rank, or the
    best of them. Inverted lists, so an article costs its words and a score the lists of a few."""

    def __init__(self, kind: Literal["last", "faded", "max"], last: int = LAST) -> None:
        self._kind, self._last = kind, 1 if kind == "last" else last
        self._popular, self._at = fallback(), -1
        self._words: dict[str, int] = {}
        self._having: list[array[int]] = []  # word -> rows
        self._bags: list[list[int]] = []  # row -> words
        self._sizes: Ints = np.zeros(0, np.int64)

    def observe(self, event: Feedback) -> None:
        """See Arm."""
        self._popular.observe(event)

    def scores(self, moment: Moment) -> Floats:
        """See Arm. A reader without reads that have words gets what is popular."""
        self._follow(moment.state.articles)
        reads = list(islice((r for r in last_reads(moment) if self._bags[r]), self._last))
        if not reads:
            return self._popular.scores(moment)
        shared = np.array([self._shared(r) for r in reads])
        near = shared.max(axis=0) if self._kind == "max" else FADE ** np.arange(len(reads)) @ shared
        near = near / np.sqrt(np.maximum(self._sizes, 1))
        return np.asarray(near + self._popular.tie_break(moment), np.float32)

    def _shared(self, row: int) -> Doubles:
        """[N], over the root of the number of words of `row` only."""
        n = len(self._bags)
        found = np.zeros(n)
        for w in self._bags[row]:
            rows = np.frombuffer(self._having[w], np.int64)
            found[rows] += log(n / len(rows)) ** 2 / len(self._bags[row]) ** 0.5
        return found

    def _follow(self, articles: LiveArticles) -> None:
        if self._at == articles.cursor and len(self._bags) == len(articles):
            return
        self._bags += [[] for _ in range(len(articles) - len(self._bags))]
        for i in articles.changed_since(self._at):
            self._set(i, articles.entries[i])
        self._at = articles.cursor
        self._sizes = np.array([len(bag) for bag in self._bags])

    def _set(self, row: int, entry: Entry) -> None:
        for w in self._bags[row]:  # of an older text
            self._having[w].remove(row)
        words = {*re.findall(r"\w+", entry.title.lower()), *(f"#{t.lower()}" for t in entry.tags)}
        self._bags[row] = [self._words.setdefault(w, len(self._words)) for w in sorted(words)]
        self._having += [array("q") for _ in range(len(self._words) - len(self._having))]
        for w in self._bags[row]:
            self._having[w].append(row)
