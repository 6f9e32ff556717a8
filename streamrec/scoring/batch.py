"""Scores of a batch of readers, and the additive parts that explain them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrec.model.features import FEATURES, co_feature, item_features, join
from streamrec.replay import CO_LAST, Read
from streamrec.scoring.served import Served
from streamrec.scoring.state import ServingState

Floats = NDArray[np.float32]
CO_READ = FEATURES.index("co_read")
REASONS = {
    "content": "close to what you read", "popularity": "popular now", "freshness": "new",
    "co_read": "read together with what you read",
}


class Batch:
    """The scores of a batch of readers under one model, or by popularity alone."""

    def __init__(
        self, state: ServingState, served: Served, histories: Sequence[Sequence[Read]],
        popularity: bool,
    ) -> None:
        self.state, self.served, self.net = state, served, served.net
        self.histories, self.popularity = histories, popularity
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
        rows = np.zeros((len(self.histories), h), np.int64)
        mask = np.zeros((len(self.histories), h), bool)
        for b, history in enumerate(self.histories):
            reads = [r.item for r in history if r.kind != "dismiss"]
            known = [index[i] for i in reads if index.get(i, self.served.rows) < self.served.rows][:h]
            rows[b, : len(known)], mask[b, : len(known)] = known, True
        if not self.served.rows:
            return torch.zeros(len(self.histories), self.net.dim)
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
            return np.repeat(additive[None], len(self.histories), axis=0)
        dots = self.readers @ self.served.matrix.T / self.net.temperature()
        scores: Floats = dots.numpy() + additive
        for b in range(len(self.histories)):
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

    def reasons(self, b: int, rows: list[int]) -> list[str]:
        """Why each of these rows: the additive part that lifts it most over their average."""
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
