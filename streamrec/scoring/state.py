"""What a scoring process knows: articles and counters, followed from catalogue and buffer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.catalogue import ONLY_NAMED, Catalogue, Entry, LiveArticles, Vectors
from streamrec.config import Buffer
from streamrec.model.co_reads import CoRead, tables
from streamrec.model.counters import NEAR_REACH, Counters
from streamrec.model.features import Features, item_features
from streamrec.model.words import Words
from streamrec.replay import Cursor, Read, ReplayBuffer
from streamrec.scoring.attributes import Attributes

ROWS_PER_SYNC = 2000
NEWEST, MOST_RISEN = 1000, 1000
Vector = NDArray[np.float16]


class Popular(NamedTuple):
    """Rows read up to the moment `at`, by decayed reads at each half-life, most first; and those with a new
    read since."""

    at: float
    orders: list[NDArray[np.int64]]
    risen: NDArray[np.int64]

    def among(self, mask: NDArray[np.bool_], most: int) -> list[NDArray[np.int64]]:
        """The first `most` of each order that a mask [N] lets through, and all that have risen."""
        return [*(first(rows, mask, most) for rows in self.orders), first(self.risen, mask, MOST_RISEN + 1)]


def first(rows: NDArray[np.int64], mask: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """The first `most` of some rows that a mask [N] lets through."""
    for some in (rows[: 4 * most], rows):  # mostly the first few hundred are enough
        some = some[some < len(mask)]
        found = some[mask[some]]
        if len(found) >= most or len(rows) <= 4 * most:
            break
    return found[:most]


class ServingState:
    """Articles and counters as this process knows them; `sync` follows catalogue and buffer.

    An article has the same row in both. Time is stream time, the newest event or publication,
    so that a replayed log from years ago is scored as of its own day.
    """

    def __init__(
        self, buffer: ReplayBuffer, catalogue: Catalogue, settings: Buffer, dim: int
    ) -> None:
        self._buffer, self._catalogue, self.row_history = buffer, catalogue, settings.row_history
        self._popularity, self._rows, self._articles_at = Cursor(), Cursor(), 0
        self.articles, self.counters = LiveArticles(dim), Counters(settings)
        self.words, self.attributes = Words(), Attributes(self.articles)
        self._by_age: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))
        self.at: float | None = None  # set: the time of every answer; None: stream time
        self._features: tuple[float, Features] | None = None  # of a moment, until something changes
        self._newest: float | None = None  # stream time, until something changes
        self._popular: Popular | None = None
        self._risen: list[int] = []  # rows with a new read since

    def sync(self) -> None:
        """Take over what changed. Raises RetryLater, having taken over what it got so far."""
        self._features = self._newest = None
        try:
            self.articles.sync(self._catalogue)
        finally:
            self._follow_articles()
        self._popularity, parts = self._buffer.popularity(self._popularity)
        for p, items in parts.items():
            for item, pop in items.items():
                row = self._number(item)
                if len(self._risen) <= MOST_RISEN:  # so many mean that all are ordered anew
                    self._risen.append(row)
                self.counters.update(p, item, pop.t0, pop.values, pop.total)
        self._follow_rows()

    def explored(self, given: Mapping[str, int]) -> dict[str, int]:
        """See Catalogue."""
        return self._catalogue.explored(given)

    def restore(
        self, entries: list[Entry], vectors: Vectors, states: NDArray[np.uint8],
        tokens: tuple[NDArray[np.int32], NDArray[np.int32]], cursor: int,
    ) -> None:
        """Begin with articles as another process held them, see snapshot; a state that knows none yet."""
        self.articles.restore(entries, vectors, states, cursor)
        times = np.where(states == ONLY_NAMED, np.nan, self.articles.published)
        self.counters.restore([e.item_id for e in entries], times)
        self.words.restore(*tokens)
        self.attributes.follow(self.articles.changed_since(0))
        self._articles_at = cursor

    def _follow_articles(self) -> None:
        for entry in self.articles.entries[len(self.counters) :]:
            self.counters.add(entry.item_id)
        changed = self.articles.changed_since(self._articles_at)
        self.attributes.follow(changed)
        for i in changed:
            entry = self.articles.entries[i]
            self.counters.publish(entry.item_id, entry.published_at)
            self.words.put(i, entry.title, entry.tags)
        self._articles_at = self.articles.cursor

    def _number(self, item: str) -> int:
        """The same row in both, for an article that nobody has announced yet too."""
        self.articles.place(item)
        return self.counters.add(item)

    def _follow_rows(self) -> None:
        """Co-reads are counted from the training rows, as the trainer counts them."""
        for p, ordinal, row in self._buffer.window(self._rows, ROWS_PER_SYNC):
            for item in (*row.history[:NEAR_REACH], row.item):
                self._number(item)
            self.counters.co_add(p, row.history, row.item, row.ts)
            self._rows[p] = max(ordinal, self._rows.get(p, 0))

    def adopt(self, co_reads: Iterable[CoRead], cursor: Cursor) -> None:
        """Start from the co-reads that came with a model, counted up to `cursor`; ignored when
        this process has already counted further itself."""
        if any(n > cursor.get(p, 0) for p, n in self._rows.items()):
            return
        known = tables(self.counters)
        for pairs in known.values():  # what was counted on the way here is among what is adopted
            pairs.tables.clear()
        for table, p, item, partner, weight in co_reads:
            known[table].set(p, self._number(item), self._number(partner), weight)
        self._features = self._newest = None
        self._rows = dict(cursor)

    @property
    def counted(self) -> Cursor:
        """Up to which training rows the co-reads are counted."""
        return dict(self._rows)

    def eligible(self, history: Sequence[Read]) -> NDArray[np.bool_]:
        """[N]: live, and not among what this reader has read or dismissed."""
        mask = self.articles.live.copy()
        seen = [self.articles.index.get(r.item, -1) for r in history]
        mask[[i for i in seen if i >= 0]] = False
        return mask

    def newest(self, mask: NDArray[np.bool_], most: int = NEWEST) -> NDArray[np.int64]:
        """The newest rows that a mask [N] lets through, newest first: `most` of them at most."""
        articles = self.articles
        if self._by_age[0] != articles.cursor:
            live = np.flatnonzero(articles.live)
            order = np.argsort(-articles.published[live], kind="stable")
            self._by_age = articles.cursor, live[order]
        return first(self._by_age[1], mask, most)

    def item_features(self, now: float) -> Features:
        """See model.features; made once for all arms that ask at the same moment."""
        if self._features is None or self._features[0] != now:
            self._features = now, item_features(self.counters, now)
        return self._features[1]

    def item_features_of(self, rows: NDArray[np.int64], now: float) -> Features:
        """The same of some rows."""
        if self._features is not None and self._features[0] == now:
            return self._features[1][rows]
        return item_features(self.counters, now, rows)

    def popular(self, now: float) -> "Popular":
        """What is read now. Ordered anew when a sixtieth of the shortest half-life has passed."""
        old, counters = self._popular, self.counters
        patience = counters.half_lives[0] / 60
        if old is None or not 0 <= now - old.at <= patience or len(self._risen) > MOST_RISEN:
            read = np.flatnonzero(counters.totals() > 0)
            counts = counters.decayed(now, read)
            orders = [read[np.argsort(-of, kind="stable")] for of in counts.T]
            self._popular, self._risen = Popular(now, orders, np.zeros(0, np.int64)), []
            return self._popular
        return old._replace(risen=np.unique(np.array(self._risen, np.int64)))

    def now(self) -> float:
        """Stream time, epoch seconds: as last set by `at`; else of the newest read; before any,
        of the newest article."""
        if self.at is not None:
            return self.at
        if self._newest is None:
            reads = float(self.counters.t0.max(initial=0.0))
            self._newest = reads or float(self.articles.published.max(initial=0.0))
        return self._newest
