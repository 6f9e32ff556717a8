"""Scores of a batch of readers, and the additive parts that explain them.

Two stages. The fast score is what a matrix product and sums over sparse co-reads can give for the
whole catalogue; the best `rerank` articles by it get the full one. A catalogue of no more than that
many eligible articles is scored in full.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrec.model.features import (
    CO,
    CO_LAST,
    FEATURES,
    ITEM,
    PARTS,
    TEXT_LAST,
    Features,
    co_features,
    join,
    text_features,
)
from streamrec.replay import Read
from streamrec.scoring.served import Served
from streamrec.scoring.state import ServingState

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
ITEMS, COS = slice(0, len(ITEM)), PARTS["co_read"]
OUT_OF_POOL = 1e4  # below every article that was scored in full, in the order of the fast score
REASONS = {
    "content": "close to what you read", "popularity": "popular now", "freshness": "new",
    "co_read": "read together with what you read", "interplay": "read by others like you",
}


class Batch:
    """The scores of a batch of readers under one model, or by popularity alone."""

    def __init__(
        self, state: ServingState, served: Served, histories: Sequence[Sequence[Read]],
        popularity: bool, rerank: int,
    ) -> None:
        self.state, self.served, self.net, self.rerank = state, served, served.net, rerank
        self.histories, self.popularity = histories, popularity
        self.now = self.state.now()
        # Only the rows this model covers: the state may be ahead of it by an instant.
        self.items = self.state.item_features(self.now)[: served.rows]
        self.totals = self.state.counters.totals()[: served.rows]
        self.reads = [self._known(h) for h in histories]
        self.readers = self._readers()
        self.partners = [self._co_reads(h) for h in histories]

    def _known(self, history: Sequence[Read]) -> list[int]:
        """Rows of what a reader read, newest first."""
        index, n = self.state.articles.index, self.served.rows
        return [index[r.item] for r in history if r.kind != "dismiss" and index.get(r.item, n) < n]

    def _co_reads(self, history: Sequence[Read]) -> list[dict[int, float]]:
        index = self.state.articles.index
        last = [r.item for r in history if r.kind != "dismiss"][:CO_LAST]
        return self.state.counters.co_query([index[i] for i in last if i in index], self.now)

    def _readers(self) -> Tensor:
        h = self.net.history
        rows = np.zeros((len(self.reads), h), np.int64)
        mask = np.zeros((len(self.reads), h), bool)
        for b, read in enumerate(self.reads):
            known = read[:h]
            rows[b, : len(known)], mask[b, : len(known)] = known, True
        if not self.served.rows:
            return torch.zeros(len(self.reads), self.net.dim)
        # A read without a text says nothing about taste: attention may not see it, as in training.
        mask &= self.state.articles.vectors[rows].any(axis=2)
        return self.net.readers(self.served.matrix[rows], torch.from_numpy(mask))

    def scores(self, eligible: Sequence[Bools]) -> Floats:
        """[B, N]; of articles not among `eligible` [N] of their reader, only the fast score."""
        if self.popularity:
            popular = np.asarray(self.items[:, :3].sum(axis=1), np.float32)
            return np.repeat(popular[None], len(self.histories), axis=0)
        scores = self._fast()
        pools = [_best(s, e, self.rerank) for s, e in zip(scores, eligible, strict=True)]
        for b, (pool, full) in enumerate(zip(pools, self._full(pools), strict=True)):
            scores[b] -= OUT_OF_POOL
            scores[b, pool] = full
        return scores

    def _fast(self) -> Floats:
        """[B, N]: content, item features and co-reads, each through its linear weight."""
        dots = self.readers @ self.served.matrix.T / self.net.temperature()
        scores: Floats = dots.numpy() + self._linear(self.items, ITEMS)
        none = self._linear(np.zeros((1, len(CO)), np.float32), COS)
        for b, partners in enumerate(self.partners):
            rows = sorted({i for counts in partners for i in counts if i < len(self.items)})
            if rows:
                co = co_features(partners, rows, self.totals[rows])
                scores[b, rows] += self._linear(co, COS) - none
        return scores

    def _linear(self, some: Features, at: slice) -> Floats:
        """[n]: what the features at some places [n, k] add by their linear weights."""
        wide = torch.full((len(some), len(FEATURES)), torch.nan)  # unknown: adds nothing
        wide[:, at] = torch.from_numpy(some)
        found: Floats = (self.net.standardised(wide) @ self.net.weights).numpy()
        return found

    def _full(self, pools: Sequence[NDArray[np.int64]]) -> list[Floats]:
        """Full scores of each reader's pool."""
        sizes = [len(p) for p in pools]
        feats = torch.from_numpy(np.concatenate([self._features(b, p) for b, p in enumerate(pools)]))
        dots = torch.cat([
            self.served.matrix[p] @ reader for p, reader in zip(pools, self.readers, strict=True)
        ])
        scored = self.net.combine(dots, feats).numpy()
        return np.split(scored, np.cumsum(sizes)[:-1])

    def _features(self, b: int, rows: NDArray[np.int64]) -> Features:
        """All features [n, F] of some rows for reader b."""
        read = self.reads[b][:TEXT_LAST]
        co = co_features(self.partners[b], rows.tolist(), self.totals[rows])
        text = text_features(self.state.articles.vectors, self.state.words, rows, read)
        return join(self.items[rows], co, text, len(read))

    def reasons(self, b: int, rows: list[int]) -> list[str]:
        """Why each of these rows: the additive part that lifts it most over their average."""
        if self.popularity or not rows:
            return [REASONS["popularity"]] * len(rows)
        feats = torch.from_numpy(self._features(b, np.array(rows)))
        parts = self.net.parts(self.readers[b : b + 1], self.served.matrix[rows], feats[None])
        names = list(parts) if self.histories[b] else ["popularity", "freshness"]
        stacked = torch.stack([parts[n][0] for n in names])  # claim nothing of an unknown reader
        stacked = stacked - stacked.mean(dim=1, keepdim=True)
        return [REASONS[names[int(i)]] for i in stacked.argmax(dim=0)]


def _best(scores: Floats, eligible: Bools, k: int) -> NDArray[np.int64]:
    """Rows of the k best eligible articles, in no order."""
    rows = np.flatnonzero(eligible[: len(scores)])
    if len(rows) <= k:
        return rows
    return rows[np.argpartition(-scores[rows], k - 1)[:k]]
