"""Scoring: what a process knows of articles and counts, one model as a whole, and the ranking.

`rank` reads one `Served` object; a swap is the assignment of that one reference, so no answer
can mix two versions. Nothing here knows how a model is trained.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrec.catalogue import Catalogue, LiveArticles, Vectors
from streamrec.config import Buffer
from streamrec.events import Policy, RankedItem
from streamrec.model.co_reads import CoRead
from streamrec.model.counters import Counters
from streamrec.model.features import FEATURES, co_feature, item_features, join
from streamrec.model.network import Recommender
from streamrec.replay import CO_LAST, Cursor, Read, ReplayBuffer

Floats = NDArray[np.float32]
ROWS_PER_SYNC = 4000
EXPLORE_POOL = 100  # newest eligible articles that an exploring place draws from
CO_READ = FEATURES.index("co_read")
REASONS = {
    "content": "close to what you read", "popularity": "popular now", "freshness": "new",
    "co_read": "read together with what you read",
}


class ServingState:
    """Articles and counters as this process knows them; `sync` follows catalogue and buffer.

    An article has the same row in both. Time is stream time, the newest event or publication,
    so that a replayed log from years ago is scored as of its own day.
    """

    def __init__(
        self, buffer: ReplayBuffer, catalogue: Catalogue, settings: Buffer, dim: int
    ) -> None:
        self._buffer, self._catalogue = buffer, catalogue
        self._popularity, self._rows = Cursor(), Cursor()
        self.articles, self.counters = LiveArticles(dim), Counters(settings)

    def sync(self) -> list[int]:
        """Take over what changed; returns rows whose article changed. Raises RetryLater."""
        changed = self.articles.sync(self._catalogue)
        for i in changed:
            entry = self.articles.entries[i]
            self.counters.publish(entry.item_id, entry.published_at)
        self._popularity, parts = self._buffer.popularity(self._popularity)
        for p, items in parts.items():
            for item, pop in items.items():
                self.articles.place(item)
                self.counters.update(p, item, pop.t0, pop.values, pop.total)
        self._follow_rows()
        return changed

    def _follow_rows(self) -> None:
        """Co-reads are counted from the training rows, as the trainer counts them."""
        for p, ordinal, row in self._buffer.window(self._rows, ROWS_PER_SYNC):
            before = row.history[:CO_LAST]
            for item in (*before, row.item):
                self.counters.add(item)
                self.articles.place(item)
            self.counters.co_add(p, before, row.item, row.ts)
            self._rows[p] = max(ordinal, self._rows.get(p, 0))

    def adopt(self, co_reads: Sequence[CoRead], cursor: Cursor) -> None:
        """Start from the co-reads that came with a model, counted up to `cursor`; ignored when
        this process has already counted further itself."""
        if any(n > cursor.get(p, 0) for p, n in self._rows.items()):
            return
        for p, before, item, weight in co_reads:
            for name in (before, item):
                self.counters.add(name)
                self.articles.place(name)
            self.counters.co_set(p, before, item, weight)
        self._rows = dict(cursor)

    def now(self) -> float:
        """Stream time, epoch seconds: of the newest read; before any, of the newest article."""
        reads = float(self.counters.t0.max(initial=0.0))
        return reads or float(self.articles.published.max(initial=0.0))


class Served:
    """One model version as a whole: network, and the vectors [N, d] it gives each article."""

    def __init__(
        self, version: str, net: Recommender, co_reads: Sequence[CoRead] = (),
        cursor: Cursor | None = None,
    ) -> None:
        self.version, self.net = version, net
        self.co_reads, self.cursor = co_reads, cursor or {}
        self._matrix, self.rows = torch.zeros(0, net.dim), 0
        self.covered_at = 0  # where the catalogue's cursor stood when the vectors were computed

    @property
    def matrix(self) -> Tensor:
        """[N, d], a view."""
        return self._matrix[: self.rows]

    @torch.no_grad()
    def cover(self, vectors: Vectors, rows: Sequence[int] | None = None) -> None:
        """Compute the vectors of `rows` and of all rows beyond those known; None: of all.
        One matrix product: the base vectors are cached, nothing is encoded."""
        n = len(vectors)
        if n > len(self._matrix):
            grown = torch.zeros(max(1024, 2 * n), self.net.dim)
            grown[: self.rows] = self.matrix
            self._matrix = grown
        todo = range(n) if rows is None else sorted({*rows, *range(self.rows, n)})
        for start in range(0, len(todo), 8192):
            at = list(todo[start : start + 8192])
            self._matrix[at] = self.net.articles(torch.from_numpy(vectors[at].astype(np.float32)))
        self.rows = n


class Ask(NamedTuple):
    """One reader's wish."""

    user: str
    n: int
    policy: Policy = "live"


class Ranked(NamedTuple):
    """One answer: which version made it, from which state of the reader."""

    version: str
    items: list[RankedItem]
    state_at: float | None
    error: str | None


class Scorer:
    """Ranks the live catalogue for batches of readers."""

    def __init__(
        self, state: ServingState, buffer: ReplayBuffer, live: Served, explore: float, seed: int
    ) -> None:
        self.state, self._buffer, self.live, self.frozen = state, buffer, live, live
        self._explore, self._rng = explore, np.random.default_rng(seed)

    def swap(self, served: Served) -> None:
        """Serve this version from the next batch on."""
        self.state.adopt(served.co_reads, served.cursor)
        served.co_reads = ()
        self.catch_up(served)
        self.live = served

    def catch_up(self, served: Served) -> None:
        """Give articles that changed since `served` was built their vectors."""
        articles = self.state.articles
        served.cover(articles.vectors, articles.changed_since(served.covered_at))

    def follow(self) -> None:
        """Sync the state, and give changed articles their vectors in every served model."""
        changed = self.state.sync()
        for served in {id(s): s for s in (self.live, self.frozen)}.values():
            served.cover(self.state.articles.vectors, changed)

    @torch.no_grad()
    def rank(self, asks: Sequence[Ask]) -> list[Ranked]:
        """Answers in the order of `asks`. Raises RetryLater when the buffer is away."""
        histories = self._buffer.histories([a.user for a in asks])
        live, frozen = self.live, self.frozen
        out: list[Ranked | None] = [None] * len(asks)
        for served, policies in ((live, ("live",)), (frozen, ("frozen",)), (live, ("popularity",))):
            at = [i for i, a in enumerate(asks) if a.policy in policies]
            if at:
                batch = _Batch(self, served, [asks[i] for i in at], histories)
                for i, ranked in zip(at, batch.ranked(), strict=True):
                    out[i] = ranked
        return [r for r in out if r is not None]

    def eligible(self, history: Sequence[Read]) -> NDArray[np.bool_]:
        """[N] live, and not in the reader's history."""
        mask = self.state.articles.live.copy()
        seen = [self.state.articles.index.get(r.item, -1) for r in history]
        mask[[i for i in seen if i >= 0]] = False
        return mask

    def explored(self, mask: NDArray[np.bool_], taken: Sequence[int], k: int) -> tuple[list[int], float]:
        """k rows drawn evenly from the newest eligible ones not `taken`, and the probability of
        each to stand at its rank."""
        mask = mask.copy()
        mask[list(taken)] = False
        pool = np.flatnonzero(mask)
        if not len(pool) or not k:
            return [], 1.0
        newest = pool[np.argsort(-self.state.articles.published[pool], kind="stable")[:EXPLORE_POOL]]
        drawn = self._rng.choice(newest, min(k, len(newest)), replace=False)
        return [int(i) for i in drawn], 1.0 / len(newest)

    def places_to_explore(self, n: int, policy: Policy) -> int:
        """How many of n places explore; the control arm of popularity never does."""
        return 0 if policy == "popularity" else int(round(self._explore * n))


class _Batch:
    """One batch under one model and one policy."""

    def __init__(
        self, scorer: Scorer, served: Served, asks: Sequence[Ask], histories: dict[str, list[Read]]
    ) -> None:
        self.scorer, self.served, self.asks = scorer, served, asks
        self.state, self.net = scorer.state, served.net
        self.histories = [histories[a.user] for a in asks]
        self.popularity = asks[0].policy == "popularity"
        self.now = self.state.now()
        # Only the rows this model covers: the state may be ahead of it by an instant.
        n = served.rows
        flat = np.zeros(n, np.float32)
        self.feats = join(item_features(self.state.counters, self.now)[:n], flat)
        self.readers = self._readers()
        self.partners = [self._co_reads(h) for h in self.histories]

    def _co_reads(self, history: Sequence[Read]) -> list[dict[int, float]]:
        index = self.state.articles.index
        last = [r.item for r in history if r.kind != "dismiss"][:CO_LAST]
        return self.state.counters.co_query([index[i] for i in last if i in index], self.now)

    def _readers(self) -> Tensor:
        h, index = self.net.history, self.state.articles.index
        rows = np.zeros((len(self.asks), h), np.int64)
        mask = np.zeros((len(self.asks), h), bool)
        for b, history in enumerate(self.histories):
            reads = [r.item for r in history if r.kind != "dismiss"]
            known = [index[i] for i in reads if index.get(i, self.served.rows) < self.served.rows][:h]
            rows[b, : len(known)], mask[b, : len(known)] = known, True
        if not self.served.rows:
            return torch.zeros(len(self.asks), self.net.dim)
        return self.net.readers(self.served.matrix[rows], torch.from_numpy(mask))

    def _additive(self, feats: Floats) -> Floats:
        if self.popularity:
            return np.asarray(feats[:, :3].sum(axis=1), np.float32)
        scored: Floats = (self.net.standardised(torch.from_numpy(feats)) @ self.net.weights).numpy()
        return scored

    def scores(self) -> Floats:
        """[B, N]: content by one matrix product, item features once, co-reads where there are any."""
        additive = self._additive(self.feats)
        if self.popularity:
            return np.repeat(additive[None], len(self.asks), axis=0)
        dots = self.readers @ self.served.matrix.T / self.net.temperature()
        scores: Floats = dots.numpy() + additive
        for b in range(len(self.asks)):
            rows, feats = self._with_co_reads(b)
            if len(rows):
                scores[b, rows] += self._additive(feats) - additive[rows]
        return scores

    def _with_co_reads(self, b: int, rows: Sequence[int] | None = None) -> tuple[list[int], Floats]:
        """Rows that have co-reads with reader b (or the `rows` given) and their full features."""
        if rows is None:
            rows = sorted({i for counts in self.partners[b] for i in counts if i < len(self.feats)})
        feats = self.feats[list(rows)]
        feats[:, CO_READ] = co_feature(self.partners[b], list(rows))
        return list(rows), feats

    def ranked(self) -> list[Ranked]:
        """The answers."""
        scores = self.scores()
        return [self._one(b, scores[b]) for b in range(len(self.asks))]

    def _one(self, b: int, scores: Floats) -> Ranked:
        ask, history = self.asks[b], self.histories[b]
        mask = self.scorer.eligible(history)[: len(scores)]
        explore = self.scorer.places_to_explore(ask.n, ask.policy)
        top = _top(np.where(mask, scores, -np.inf), ask.n - explore, int(mask.sum()))
        drawn, propensity = self.scorer.explored(mask, top, explore)
        state_at = max((r.ts for r in history), default=None)
        version = "popularity" if self.popularity else self.served.version
        items = self._items(b, scores, [*top, *drawn], len(top), propensity)
        error = None if items else "no article is live that this reader has not read"
        return Ranked(version, items, state_at, error)

    def _items(
        self, b: int, scores: Floats, rows: list[int], greedy: int, propensity: float
    ) -> list[RankedItem]:
        reasons = self._reasons(b, rows)
        entries = self.state.articles.entries
        return [
            RankedItem(
                item_id=entries[i].item_id, title=entries[i].title, rank=k + 1,
                score=float(scores[i]), propensity=1.0 if k < greedy else propensity,
                reason=reasons[k] if k < greedy else "explores what is new",
            )
            for k, i in enumerate(rows)
        ]

    def _reasons(self, b: int, rows: list[int]) -> list[str]:
        """The additive part that lifts each article most over this slate's average."""
        if self.popularity or not rows:
            return [REASONS["popularity"]] * len(rows)
        _, feats = self._with_co_reads(b, rows)
        parts = self.net.parts(
            self.readers[b : b + 1], self.served.matrix[rows], torch.from_numpy(feats)[None]
        )
        names = list(parts)
        stacked = torch.stack([parts[n][0] for n in names])
        stacked = stacked - stacked.mean(dim=1, keepdim=True)
        if not self.histories[b]:  # nothing is known of what they read: do not claim it
            names, stacked = names[1:3], stacked[1:3]
        return [REASONS[names[int(i)]] for i in stacked.argmax(dim=0)]


def _top(scores: Floats, n: int, eligible: int) -> list[int]:
    k = min(n, eligible)
    if k <= 0:
        return []
    best = np.argpartition(-scores, k - 1)[:k]
    return [int(i) for i in best[np.argsort(-scores[best], kind="stable")]]


