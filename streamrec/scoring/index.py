"""Approximate search for catalogues too large to be multiplied whole: an inverted file over
eight-bit copies (IVF, Jégou et al. 2011; faiss). It only names candidates: their scores are exact.
"""

from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
RECALL, AT = 0.98, 10  # of the AT best by exact product among what is found: or it may not serve
FOUND = 200  # candidates of a search
PROBES = (8, 16, 32, 64, 128, 256)  # cells looked into, the fewest that are enough
PER_CELL, ROUNDS, CHUNK = 64, 8, 8192  # of the clustering: a sample is enough


class Index:
    """Over vectors [N, d] as they were; it never changes. `at`: when that was, as its maker counts."""

    def __init__(self, ivf: Any, at: int) -> None:
        self._ivf, self.at, self.rows, self.cells = ivf, at, int(ivf.ntotal), int(ivf.nlist)

    @classmethod
    def over(cls, vectors: NDArray[Any] | Tensor, at: int) -> "Index":
        """A new one; a minute for a million on one core."""
        return cls(_build(torch.as_tensor(vectors)), at)

    @classmethod
    def of_file(cls, path: Path, at: int) -> "Index":
        """One that was written, mapped into memory. Raises RuntimeError if it is none."""
        faiss = _faiss()
        ivf = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        faiss.downcast_InvertedLists(ivf.invlists).prefetch_nthread = 0  # or each search starts threads
        return cls(ivf, at)

    def to_bytes(self) -> memoryview:
        """What a file of it holds."""
        faiss = _faiss()
        found: memoryview = faiss.serialize_index(self._ivf).data
        return found

    def find(self, queries: Floats, probes: int, most: int, eligible: Bools | None = None) -> Rows:
        """Rows [B, most] of the largest products with queries [B, d], best first, among those eligible
        [N]; -1: no more."""
        faiss = _faiss()
        bits = None if eligible is None else np.packbits(eligible[: self.rows], bitorder="little")
        of = None if bits is None else faiss.IDSelectorBitmap(bits)
        how = faiss.SearchParametersIVF(nprobe=probes, sel=of)
        found: Rows = self._ivf.search(queries, most, params=how)[1]
        return found


class Search:
    """An index as one version uses it. `head` [d, d]: the version's own, for an index over text vectors, as
    reader . head text = (head' reader) . text; None: the index is over the version's own vectors. `turn`:
    of the version's vectors, `changed`: rows that had changed by then. `gauge` measures `recall`."""

    def __init__(self, index: Index, turn: int, changed: Rows, head: Tensor | None = None) -> None:
        self.index, self.turn, self.changed, self._head = index, turn, changed, head
        self.recall, self.probes = 0.0, PROBES[-1]

    @property
    def fit(self) -> bool:
        """Whether it finds enough to serve."""
        return self.recall >= RECALL

    def nearest(self, reader: Tensor, eligible: Bools, most: int) -> Rows:
        """The rows nearest to a reader [d] among those eligible [N], nearest first. The fewer are eligible,
        the more cells are looked into, until there are enough."""
        there, query = int(np.count_nonzero(eligible[: self.index.rows])), self._queries(reader[None])
        cells = self.probes * self.index.rows // max(there, 1)
        while True:
            found = self.index.find(query, min(cells, self.index.cells), most, eligible)[0]
            rows: Rows = found[found >= 0]
            if len(rows) >= min(most, there) or cells >= self.index.cells:
                return rows
            cells *= 2

    def gauge(self, readers: Tensor, matrix: Tensor) -> None:
        """Measure recall@10 against the exact products of readers [B, d] with the version's vectors
        [N, d], and keep the fewest probes that reach RECALL."""
        if not len(readers):
            return
        best, queries = _best(readers, matrix[: self.index.rows]), self._queries(readers)
        for self.probes in PROBES:
            found = self.index.find(queries, self.probes, FOUND)
            hits = [np.isin(b, [*f, *self.changed]).mean() for b, f in zip(best, found, strict=True)]
            self.recall = float(np.mean(hits))  # what has changed is a candidate anyway
            if self.fit:
                return

    def _queries(self, readers: Tensor) -> Floats:
        found: Floats = (readers if self._head is None else readers @ self._head).numpy()
        return found


def _faiss() -> Any:
    import faiss  # only where there is need of it
    return faiss


def _build(vectors: Tensor) -> Any:
    faiss = _faiss()
    n, d = vectors.shape
    cells = max(isqrt(n), 1)
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(n, min(n, PER_CELL * cells), replace=False))
    sample = vectors[some].float().numpy()
    clusters = faiss.Kmeans(d, cells, niter=ROUNDS, spherical=True, seed=1, min_points_per_centroid=1)
    clusters.train(sample)
    nearest = faiss.IndexFlatIP(d)
    nearest.add(np.asarray(clusters.centroids))
    ivf = faiss.IndexIVFScalarQuantizer(
        nearest, d, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    ivf.train(sample)
    for start in range(0, n, CHUNK):
        ivf.add(vectors[start : start + CHUNK].float().numpy())
    return ivf


def _best(readers: Tensor, matrix: Tensor) -> Sequence[Rows]:
    """The AT best rows of each reader, a chunk of the matrix at a time: it may be of half precision."""
    k = min(AT, len(matrix))
    scores, rows = [], []
    for start in range(0, len(matrix), CHUNK):
        products = readers @ matrix[start : start + CHUNK].float().T
        found, at = products.topk(min(k, products.shape[1]), dim=1)
        scores.append(found.numpy())
        rows.append(at.numpy() + start)
    every, which = np.concatenate(scores, axis=1), np.concatenate(rows, axis=1)
    order = np.argsort(-every, axis=1, kind="stable")[:, :k]
    return list(np.take_along_axis(which, order, axis=1))
