"""The first stage of a ranking: what a matrix product and sums over sparse co-reads can give, over all
articles or, of a catalogue too large for that, over the candidates that an index and the counters name.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrec.model.counters import CoReads
from streamrec.model.features import PARTS, co_features, item_features
from streamrec.scoring.index import Search
from streamrec.scoring.state import NEWEST, Popular

if TYPE_CHECKING:
    from streamrec.scoring.batch import Batch

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]
COS = PARTS["co_read"]
FEW = 2000  # eligible articles that are simply all candidates


class Fast:
    """Fast scores [B, C] of a batch's readers; `columns` [C] are rows of the catalogue, in order; None: all
    of them, and C = N."""

    def __init__(self, batch: "Batch", columns: Rows | None = None) -> None:
        self._b, self._columns = batch, columns
        state, bias = batch.state, batch.bias
        whole = state.item_features(batch.now) if columns is None else None
        self._items = item_features(state.counters, batch.now, columns) if whole is None else whole
        self._bias = bias if bias is None or columns is None else bias[columns]
        self.scores = self._popular() if batch.popularity else self._personal()

    def best(self, eligible: Sequence[Bools], most: int) -> list[Rows]:
        """The best rows of each reader among the columns eligible to them [C]; the others fall to -inf."""
        self.scores.masked_fill_(torch.from_numpy(~np.stack(eligible)), -torch.inf)
        top = self.scores.topk(min(most, self.scores.shape[1]), dim=1, sorted=False)
        found, places = top.values.numpy(), top.indices.numpy()
        columns = [p[s > -np.inf] for p, s in zip(places, found, strict=True)]
        return columns if self._columns is None else [self._columns[c] for c in columns]

    def nearest(self, b: int, eligible: Bools, most: int) -> Rows:
        """The rows nearest to what reader b states among the columns eligible to them [C]."""
        products = self._b.served.products(self._b.said[b][None], self._columns)[0]
        products.masked_fill_(torch.from_numpy(~eligible), -torch.inf)
        top = products.topk(min(most, len(products)), sorted=False)
        at: Rows = top.indices[top.values > -torch.inf].numpy()
        return at if self._columns is None else self._columns[at]

    def of(self, b: int, rows: Rows) -> Floats:
        """Fast scores of some rows, all among the columns, for reader b."""
        found: Floats = self.scores.numpy()[b, self._at(rows)]
        return found

    def scored(self, rows: Rows) -> Rows:
        """Those of some rows that are among the columns."""
        return rows if self._columns is None else rows[np.isin(rows, self._columns, assume_unique=True)]

    def only(self, rows: Rows) -> Bools:
        """A mask [C] that lets these rows through, all among the columns."""
        mask = np.zeros(self._size, np.bool_)
        mask[self._at(rows)] = True
        return mask

    def _at(self, rows: Rows) -> Rows:
        return rows if self._columns is None else np.searchsorted(self._columns, rows)

    def _popular(self) -> Tensor:
        """Decayed reads at three half-lives."""
        popular = torch.from_numpy(self._items[: self._size, :3].sum(axis=1))
        popular = popular if self._bias is None else popular + self._bias
        return popular.repeat(len(self._b.readers), 1)

    @property
    def _size(self) -> int:
        return self._b.rows if self._columns is None else len(self._columns)

    def _personal(self) -> Tensor:
        """Content, item features and co-reads, each through its linear weight."""
        batch, net = self._b, self._b.net
        scores = batch.served.products(batch.vectors / net.temperature(), self._columns)
        everywhere = batch.served.item_part(self._items)[: self._size]
        none = batch.served.no_co_part
        for b, (read, reader) in enumerate(zip(batch.co_reads, batch.readers, strict=True)):
            if not reader.alike:
                scores[b] += everywhere
            if self._bias is not None:
                scores[b] += self._bias
            rows = self.scored(_partners(read, batch.rows))
            if len(rows):
                co = co_features(read, rows, batch.state.counters.totals(rows))
                scores[b, self._at(rows)] += net.linear(torch.from_numpy(co), COS) - none
        return scores


def pools(batch: "Batch", search: Search, eligible: Sequence[Bools], most: int) -> list[Rows]:
    """Candidates of each reader among those eligible to them [N]: what is nearest by the index and among
    the articles that it does not know yet, what was read with their last reads, what is popular, new, or
    boosted by the editors. Sorted rows."""
    popular = batch.state.popular(batch.now)
    return [_pool(batch, search, b, mask, popular, most) for b, mask in enumerate(eligible)]


def _pool(batch: "Batch", search: Search, b: int, mask: Bools, popular: Popular, most: int) -> Rows:
    if np.count_nonzero(mask) <= FEW:
        return np.flatnonzero(mask)
    found = [*popular.among(mask, most), batch.state.newest(mask, max(most, NEWEST))]  # or to be explored
    reader = batch.vectors[b]
    if not batch.popularity:
        found.append(_partners(batch.co_reads[b], batch.rows))
        found += _near(batch, search, reader, mask, most)
        found += _near(batch, search, batch.said[b], mask, most) if b in batch.said else []
    if batch.bias is not None:
        boosted = mask & (batch.bias.numpy() > 0)
        few = np.count_nonzero(boosted) <= FEW
        found += [np.flatnonzero(boosted)] if few else _near(batch, search, reader, boosted, most)
    rows: Rows = np.unique(np.concatenate(found))
    rows = rows[rows < batch.rows]
    return rows[mask[rows]]


def _near(batch: "Batch", search: Search, reader: Tensor, mask: Bools, most: int) -> list[Rows]:
    """What is nearest to a reader [d], if anything is known of them."""
    if not reader.any():
        return []
    return [search.nearest(reader, mask, most), batch.served.late(search).nearest(reader, mask, most)]


def _partners(read: CoReads, n: int) -> Rows:
    partners = read.partners
    return partners[partners < n]
