"""One model version as a whole."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from streamrec.catalogue import Vectors
from streamrec.model.co_reads import CoRead
from streamrec.model.encoder import frozen_dtype
from streamrec.model.features import CO, PARTS, Features
from streamrec.model.network import Recommender
from streamrec.replay import Cursor


class Served:
    """One model version as a whole: network, and the vectors [N, d] it gives each article."""

    def __init__(
        self, version: str, net: Recommender, co_reads: Sequence[CoRead] = (),
        cursor: Cursor | None = None,
    ) -> None:
        self.version, self.net = version, net
        self.co_reads, self.cursor = co_reads, cursor or {}
        self.traces: Sequence[str] = ()  # of clicks that it was trained on and that are followed
        self._matrix, self.rows = torch.zeros(0, net.dim), 0
        self._twin = self._matrix.to(frozen_dtype(torch.device("cpu")))
        self._no_co: Tensor | None = None
        self._item_part: tuple[Features, Tensor] | None = None
        self.covered_at = 0  # where the catalogue's cursor stood when the vectors were computed

    @property
    def matrix(self) -> Tensor:
        """[N, d], a view."""
        return self._matrix[: self.rows]

    def products(self, readers: Tensor) -> Tensor:
        """Dots [B, N] of readers [B, d] with every article, from a copy of the vectors in bfloat16 where
        the hardware multiplies it: half the memory to read, and good to a hundredth."""
        twin = self._twin[: self.rows]
        return (readers.to(twin.dtype) @ twin.T).float()

    @property
    def no_co_part(self) -> Tensor:
        """[1]: what the co-read features add to the fast score of an article that was not co-read."""
        if self._no_co is None:
            self._no_co = self.net.linear(torch.zeros(1, len(CO)), PARTS["co_read"]).detach()
        return self._no_co

    @torch.no_grad()
    def item_part(self, items: Features) -> Tensor:
        """[N]: what the item features [N, 11] of a moment add to each article's fast score; made once
        for all batches of the moment."""
        if self._item_part is None or self._item_part[0] is not items:
            self._item_part = items, self.net.linear(torch.from_numpy(items), slice(0, items.shape[1]))
        return self._item_part[1]

    @torch.no_grad()
    def cover(self, vectors: Vectors, rows: Sequence[int] | None = None) -> None:
        """Compute the vectors of `rows` and of all rows beyond those known; None: of all.
        One matrix product: the text vectors are cached, nothing is encoded."""
        n = len(vectors)
        if n > len(self._matrix):
            grown = torch.zeros(max(1024, 2 * n), self.net.dim)
            grown[: self.rows] = self.matrix
            self._matrix, self._twin = grown, grown.to(self._twin.dtype)
        todo = range(n) if rows is None else sorted({*rows, *range(self.rows, n)})
        for start in range(0, len(todo), 8192):
            at = list(todo[start : start + 8192])
            made = self.net.articles(torch.from_numpy(self._text(vectors, at).astype(np.float32)))
            self._matrix[at] = made
            if self._twin is not self._matrix:
                self._twin[at] = made.to(self._twin.dtype)
        self.rows = n

    def _text(self, vectors: Vectors, at: Sequence[int]) -> Vectors:
        """Text vectors of some rows as this version reads them."""
        return vectors[at]

    def filled(self) -> list[int]:
        """Rows whose own text vectors have come since the last call."""
        return []

    @torch.no_grad()
    def warm(self) -> None:
        """Run once through the network, so that the first reader does not wait for it."""
        if not self.rows:
            return
        hist = self.matrix[:1][None]
        self.net.readers(hist, torch.ones(hist.shape[:2], dtype=torch.bool))
