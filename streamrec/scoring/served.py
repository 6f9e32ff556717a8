"""One model version as a whole."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrec.catalogue import Vectors
from streamrec.model.co_reads import CoRead
from streamrec.model.encoder import frozen_dtype
from streamrec.model.features import CO, PARTS, Features, Stated
from streamrec.model.network import Recommender
from streamrec.replay import Cursor
from streamrec.scoring.index import Index, Search

EXACT = 100_000  # articles; see config
PRIOR = "0"  # the version before all: untrained
STALE = 10_000  # articles that an index does not know, from which it is due to be made anew
CHUNK = 8192
Rows = NDArray[np.int64]


class Late(NamedTuple):
    """Articles that came or changed after an index was made, and their vectors [D, d]."""

    rows: Rows
    vectors: Tensor

    def nearest(self, reader: Tensor, eligible: NDArray[np.bool_], most: int) -> Rows:
        """The rows nearest to a reader [d] among those eligible [N]."""
        at = np.flatnonzero(eligible[self.rows[self.rows < len(eligible)]])
        products = (self.vectors @ reader)[torch.from_numpy(at)]
        found: Rows = self.rows[at[products.topk(min(most, len(at)))[1].numpy()]]
        return found


class Served:
    """One model version as a whole: network, and the vectors [N, d] it gives each article. Beyond `exact`
    articles they are kept in half precision, and found by `search` once there is an index."""

    own_texts = False  # whether it reads texts by an encoder of its own

    def __init__(
        self, version: str, net: Recommender, co_reads: Iterable[CoRead] = (),
        cursor: Cursor | None = None, exact: int = EXACT,
    ) -> None:
        self.version, self.net, self._exact = version, net, exact
        self.co_reads, self.cursor = co_reads, cursor or {}
        self.traces: Sequence[str] = ()  # of clicks that it was trained on and that are followed
        self._matrix, self.rows = torch.zeros(0, net.dim), 0
        self._fast_dtype = frozen_dtype(torch.device("cpu"))
        self._twin = self._matrix.to(self._fast_dtype)
        self._no_co: Tensor | None = None
        self._item_part: tuple[Features, Tensor] | None = None
        self.covered_at = 0  # where the catalogue's cursor stood when the vectors were computed
        self.search: Search | None = None
        self._turn, self._touched = 0, np.zeros(0, np.int64)  # calls of `cover`; the last one of each row
        self._late: tuple[Search, int, Late] | None = None

    @property
    def matrix(self) -> Tensor:
        """[N, d], a view; float16 beyond `exact` articles."""
        return self._matrix[: self.rows]

    def at(self, rows: Rows) -> Tensor:
        """Vectors [..., d] float32 of some rows [...]."""
        found = self._matrix.index_select(0, torch.from_numpy(rows.reshape(-1)))
        return found.float().view(*rows.shape, self.net.dim)

    def products(self, readers: Tensor, rows: Rows | None = None) -> Tensor:
        """Dots [B, C] of readers [B, d] with some rows or every article, from a copy of the vectors in
        bfloat16 where the hardware multiplies it: half the memory to read, and good to a hundredth."""
        if rows is not None:
            return readers @ self.at(rows).T
        if not self._large(self.rows):
            return (readers.to(self._twin.dtype) @ self._twin[: self.rows].T).float()
        some = readers.to(self._fast_dtype)
        chunks = torch.split(self.matrix, CHUNK)
        return torch.cat([(some @ c.to(self._fast_dtype).T).float() for c in chunks], dim=1)

    def _large(self, n: int) -> bool:
        return n > self._exact

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
        self._room(n)
        todo = range(n) if rows is None else sorted({*rows, *range(self.rows, n)})
        for start in range(0, len(todo), CHUNK):
            at = list(todo[start : start + CHUNK])
            made = self.net.articles(torch.from_numpy(self._text(vectors, at).astype(np.float32)))
            self._matrix[at] = made.to(self._matrix.dtype)
            self._touched[at] = self._turn + 1
            if len(self._twin) and self._twin is not self._matrix:
                self._twin[at] = made.to(self._twin.dtype)
        self.rows = n
        self._turn += bool(todo)  # last: an index begun meanwhile takes what was written for late

    def _room(self, n: int) -> None:
        """Room for n rows; more of it for a catalogue that may yet double."""
        large, kind = self._large(n), self._matrix.dtype
        if n <= len(self._matrix) and large == (kind == torch.float16):
            return
        grown = torch.zeros(n + n // 8 + 1024 if large else max(1024, 2 * n), self.net.dim,
                            dtype=torch.float16 if large else torch.float32)
        grown[: self.rows] = self.matrix.to(grown.dtype)
        self._twin = grown[:0] if large else grown.to(self._fast_dtype)
        self._matrix = grown
        touched = np.zeros(len(grown), np.int64)
        touched[: self.rows] = self._touched[: self.rows]
        self._touched = touched

    @property
    def index_due(self) -> bool:
        """Whether there are too many articles to do without an index, or without a newer one."""
        known = self.search
        return self._large(self.rows) and (known is None or len(self.late(known).rows) > STALE)

    @torch.no_grad()
    def searched(
        self, histories: Sequence[Sequence[int]], texts: Index | None = None,
        changed: Callable[[], Sequence[int]] = tuple,
    ) -> Search:
        """How this version's vectors, as they are, may be searched; it serves once it is `search`. Through
        an index over text vectors, of which the rows that `changed` answers are out of date, or else a new
        one of its own. Its recall is measured for readers of the rows of `histories`, newest first. Another
        thread may go on covering: what that changes is late."""
        turn = self._turn  # before all else, for that reason
        matrix, rows = self.matrix, np.array(changed(), np.int64)
        found = Search(texts, turn, rows, self.net.head.weight) if texts else \
            Search(Index.over(matrix, turn), turn, rows)
        known = [[r for r in rows if r < len(matrix)][: self.net.history] for rows in histories]
        readers = torch.cat([self._reader(rows) for rows in known if rows] or [torch.zeros(0, self.net.dim)])
        found.gauge(readers[readers.any(dim=1)], matrix)  # who has read no text yet is near to nothing
        return found

    def _reader(self, rows: Sequence[int]) -> Tensor:
        history = self.at(np.array([rows], np.int64))
        return self.net.readers(history, history.any(dim=2))

    def late(self, search: Search) -> Late:
        """What an index does not know, or not as it is now."""
        turn, known = self._turn, self._late  # two threads may ask
        if known is not None and known[:2] == (search, turn):
            return known[2]
        since = np.flatnonzero(self._touched[: self.rows] > search.turn)
        rows = np.union1d(since, search.changed[search.changed < self.rows])
        found = Late(rows, self.at(rows))
        self._late = search, turn, found
        return found

    def stated(self, stated: Stated) -> Vectors:
        """The text vector [d] of what a reader says to like, as this version reads it."""
        return stated.vector

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
        hist = self.at(np.zeros((1, 1), np.int64))
        self.net.readers(hist, torch.ones(hist.shape[:2], dtype=torch.bool))
