"""Scores of a batch of readers, and the additive parts that explain them.

Two stages. The fast score is what a matrix product and sums over sparse co-reads can give for the
whole catalogue; the best `rerank` articles by it get the full one. A catalogue of no more than that
many eligible articles is scored in full.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamrec.model.counters import NEAR_LAST, CoReads
from streamrec.model.features import (
    FEATURES,
    TEXT_LAST,
    Features,
    Stated,
    co_features,
    join,
    text_features,
)
from streamrec.replay import Read
from streamrec.scoring.fast import Bools, Fast, Floats, Rows, pools
from streamrec.scoring.served import Served
from streamrec.scoring.state import ServingState

NEAREST = 50  # articles nearest to stated interests that get the full score, too
HEARD = [FEATURES.index(name) for name in ("text_last", "words_last")]
OUT_OF_POOL = 1e4  # below every article that was scored in full, in the order of the fast score


class Reader(NamedTuple):
    """What is known of who asks: reads newest first, and what they say to like. `alike`: rank by text
    and co-reads alone, as "more like this" wants."""

    history: Sequence[Read]
    stated: Stated | None = None
    alike: bool = False


class Batch:
    """The scores of a batch of readers under one model, or by popularity alone. `bias` [N] is added to
    every score (rules); `only`: rows that alone will be asked about, which is quicker."""

    def __init__(
        self, state: ServingState, served: Served, readers: Sequence[Reader], popularity: bool,
        rerank: int, bias: Floats | None = None, only: Rows | None = None,
    ) -> None:
        self.state, self.served, self.net, self.rerank = state, served, served.net, rerank
        self.readers, self.popularity = readers, popularity
        self.now = self.state.now()
        # Only the rows this model covers: the state may be ahead of it by an instant.
        self.rows = served.rows
        self.bias = None if bias is None else torch.from_numpy(bias[: self.rows])
        recent = [r.history[: state.row_history] for r in readers]  # what a training row would hold of it
        self.reads = [self._known(history) for history in recent]
        self.said: dict[int, Tensor] = {}  # vectors [d] of what readers state
        self.vectors = self._vectors()
        self.co_reads = [] if popularity else [self._co_reads(history, only) for history in recent]
        self._made: list[tuple[Rows, Features] | None] = [None] * len(readers)  # of sorted rows

    def _known(self, history: Sequence[Read]) -> list[int]:
        """Rows of what a reader read, newest first."""
        index, n = self.state.articles.index, self.rows
        return [index[r.item] for r in history if r.kind != "dismiss" and index.get(r.item, n) < n]

    def _co_reads(self, history: Sequence[Read], only: Rows | None) -> CoReads:
        index = self.state.articles.index
        last = [r.item for r in history if r.kind != "dismiss"][:NEAR_LAST]
        return self.state.counters.co_query([index[i] for i in last if i in index], self.now, only)

    def _vectors(self) -> Tensor:
        """Reader vectors [B, d]; what a reader states weighs as much as all that they have read."""
        h, n = self.net.history, len(self.reads)
        if not self.rows:
            return torch.zeros(n, self.net.dim)
        rows, mask = np.zeros((n, h), np.int64), np.zeros((n, h), bool)
        for b, read in enumerate(self.reads):
            known = read[:h]
            rows[b, : len(known)], mask[b, : len(known)] = known, True
        # A read without a text says nothing about taste: attention may not see it, as in training.
        mask &= self.state.articles.vectors[rows].any(axis=2)
        found = self.net.readers(self.served.at(rows), torch.from_numpy(mask))
        for b, reader in enumerate(self.readers):
            if reader.stated is not None and not self.popularity:
                stated = torch.from_numpy(np.asarray(self.served.stated(reader.stated), np.float32))
                if stated.any():
                    said = self.net.readers(self.net.articles(stated[None])[None], torch.ones(1, 1).bool())[0]
                    found[b] = (found[b] + said) / 2 if mask[b].any() else said
                    self.said[b] = said
        return found

    def candidates(self, eligible: Sequence[Bools]) -> list[Rows]:
        """The best rows of each reader among those eligible to them [N], by the fast score."""
        eligible = [mask[: self.rows] for mask in eligible]  # the state may be ahead of the model
        search = self.served.search
        if search is None:
            self._fast = Fast(self)
        else:
            own = pools(self, search, eligible, self.rerank)
            self._fast = Fast(self, np.unique(np.concatenate(own)))
            eligible = [self._fast.only(rows) for rows in own]
        return self._best(eligible)

    def _best(self, eligible: Sequence[Bools]) -> list[Rows]:
        """By the fast score, and what is nearest to what readers state, which it hears little of."""
        found = self._fast.best(eligible, self.rerank)
        for b in self.said:
            near = self._fast.nearest(b, eligible[b], NEAREST)
            found[b] = np.concatenate([found[b], near[~np.isin(near, found[b])]])
        return found

    def fast(self, b: int, rows: Rows) -> Floats:
        """Fast scores of some rows eligible to reader b, candidates or among the newest; after
        `candidates`."""
        return self._fast.of(b, rows)

    def best_of(self, b: int, mask: Bools, most: int) -> Rows:
        """The best rows of a mask [N] by the fast score for reader b, best first, of those that were scored;
        after `candidates`."""
        rows = self._fast.scored(np.flatnonzero(mask))
        return rows[np.argsort(-self.fast(b, rows), kind="stable")[:most]]

    def of(self, readers: Sequence[Reader], rows: Rows) -> "Batch":
        """Other readers at the same moment under the same model, to be asked about some rows."""
        bias = None if self.bias is None else self.bias.numpy()
        return Batch(self.state, self.served, readers, False, self.rerank, bias, rows)

    def scores(self, eligible: Sequence[Bools]) -> Floats:
        """[B, N] over all articles; of those outside of a reader's pool, only the fast score."""
        self._fast = Fast(self)
        if self.popularity:
            return self._fast.scores.numpy()
        scores: Floats = self._fast.scores.numpy() - np.float32(OUT_OF_POOL)
        rows = self._best([mask[: self.rows] for mask in eligible])
        for b, (at, full) in enumerate(zip(rows, self.full(rows), strict=True)):
            scores[b, at] = full
        return scores

    def full(self, pools: Sequence[Rows]) -> list[Floats]:
        """Full scores of some rows for each reader; by popularity alone, the fast ones."""
        if self.popularity:
            return [self.fast(b, rows) for b, rows in enumerate(pools)]
        found = _split(self.net.combine(*self._inputs(pools)), pools)
        for b, reader in enumerate(self.readers):
            if reader.alike:
                parts = self.parts_of(b, pools[b])
                found[b] = parts["content"] + parts["co_read"]
            else:
                found[b] = found[b] + self._heard(b, pools[b])
            if self.bias is not None:
                found[b] = found[b] + self.bias[pools[b]]
        return [f.numpy() for f in found]

    def features_of(self, b: int, rows: Rows) -> Features:
        """`features`, kept for who asks for some of the same rows again."""
        if not len(rows):
            return np.zeros((0, len(FEATURES)), np.float32)
        if made := self._made[b]:
            at = np.minimum(np.searchsorted(made[0], rows), len(made[0]) - 1)
            if (made[0][at] == rows).all():
                return made[1][at]
        found, order = self.features(b, rows), np.argsort(rows)
        self._made[b] = rows[order], found[order]
        return found

    def features(self, b: int, rows: Rows) -> Features:
        """All features [n, F] of some rows for reader b."""
        stated = self.readers[b].stated
        read = self.reads[b][: TEXT_LAST - (stated is not None)]
        co = co_features(self.co_reads[b], rows, self.state.counters.totals(rows))
        text = text_features(self.state.articles.vectors, self.state.words, rows, read, stated)
        return join(self.state.item_features_of(rows, self.now), co, text, len(read) + (stated is not None))

    def parts(self, some: Sequence[Rows]) -> list[dict[str, Tensor]]:
        """The additive parts [n] of the full scores of some rows for each reader."""
        parts = {name: _split(p, some) for name, p in self.net.parts(*self._inputs(some)).items()}
        found = [{name: p[b] for name, p in parts.items()} for b in range(len(some))]
        for b, rows in enumerate(some):
            found[b]["content"] = found[b]["content"] + self._heard(b, rows)
        return found

    def _heard(self, b: int, rows: Rows) -> Tensor:
        """[n]: what articles gain by being like what reader b states, by text or by words of the title."""
        stated = self.readers[b].stated
        if stated is None or not stated.weight or not len(rows):
            return torch.zeros(len(rows))
        return torch.from_numpy(stated.weight * np.maximum(self.fits(b, rows), 0.0))

    def fits(self, b: int, rows: Rows) -> Floats:
        """[n]: how like what reader b states some articles are, or like the newest read: the cosine of the
        texts, or of the words of the titles where that is more."""
        found: Floats = self.features_of(b, rows)[:, HEARD].max(axis=1)
        return found

    def parts_of(self, b: int, rows: Rows) -> dict[str, Tensor]:
        """`parts` of one reader alone."""
        return self.parts([rows if k == b else rows[:0] for k in range(len(self.readers))])[b]

    def _inputs(self, some: Sequence[Rows]) -> tuple[Tensor, Tensor]:
        """Dots [n] and features [n, F] of some rows for each reader, one after another."""
        feats = np.concatenate([self.features_of(b, rows) for b, rows in enumerate(some)])
        dots = [self.served.at(rows) @ self.vectors[b] for b, rows in enumerate(some)]
        return torch.cat(dots), torch.from_numpy(feats)


def _split(values: Tensor, some: Sequence[Rows]) -> list[Tensor]:
    return list(torch.tensor_split(values, np.cumsum([len(r) for r in some])[:-1].tolist()))
