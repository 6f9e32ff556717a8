"""Approximate search for catalogues too large to be multiplied whole: an inverted file over
eight-bit copies (IVF, Jégou et al. 2011; faiss). It only names candidates: their scores are exact.
"""

from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]
RECALL, AT = 0.98, 10  # of the AT best by exact product among what is found: or it may not serve
FOUND = 200  # candidates of a search
PROBES = (8, 16, 32, 64, 128, 256)  # cells looked into, the fewest that are enough
PER_CELL, ROUNDS, CHUNK = 64, 8, 8192  # of the clustering: a sample is enough


class Index:
    """Over the vectors of the first `rows` rows as they were; it never changes. `turn`: of the version's
    vectors, see Served. `recall` is measured, by `gauge`."""

    def __init__(self, matrix: Tensor, turn: int) -> None:
        self.rows, self.turn, self.recall, self.probes = len(matrix), turn, 0.0, PROBES[-1]
        self._faiss, self._ivf = _build(matrix)

    @property
    def fit(self) -> bool:
        """Whether it finds enough to serve."""
        return self.recall >= RECALL

    def search(self, reader: NDArray[np.float32], eligible: Bools, most: int = FOUND) -> Rows:
        """The rows nearest to a reader [d] among those eligible [N], nearest first."""
        bits = np.packbits(eligible[: self.rows], bitorder="little")
        of = self._faiss.IDSelectorBitmap(bits)
        how = self._faiss.SearchParametersIVF(nprobe=self.probes, sel=of)
        found = self._ivf.search(reader[None], most, params=how)[1][0]
        rows: Rows = found[found >= 0]
        return rows

    def gauge(self, readers: Tensor, matrix: Tensor) -> None:
        """Measure recall@10 against the exact products of readers [B, d] with the matrix [N, d] it was made
        of, and keep the fewest probes that reach RECALL."""
        best = _best(readers, matrix)
        for self.probes in PROBES:
            how = self._faiss.SearchParametersIVF(nprobe=self.probes)
            found = self._ivf.search(readers.numpy(), FOUND, params=how)[1]
            self.recall = float(np.mean([np.isin(b, f).mean() for b, f in zip(best, found, strict=True)]))
            if self.fit:
                return


def _build(matrix: Tensor) -> tuple[Any, Any]:
    import faiss
    n, d = matrix.shape
    cells = max(isqrt(n), 1)
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(n, min(n, PER_CELL * cells), replace=False))
    sample = matrix[some].float().numpy()
    clusters = faiss.Kmeans(d, cells, niter=ROUNDS, spherical=True, seed=1, min_points_per_centroid=1)
    clusters.train(sample)
    nearest = faiss.IndexFlatIP(d)
    nearest.add(np.asarray(clusters.centroids))
    ivf = faiss.IndexIVFScalarQuantizer(
        nearest, d, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    ivf.train(sample)
    for start in range(0, n, CHUNK):
        ivf.add(matrix[start : start + CHUNK].float().numpy())
    return faiss, ivf


def _best(readers: Tensor, matrix: Tensor) -> Sequence[Rows]:
    """The AT best rows of each reader, a chunk of the matrix at a time: it may be of half precision."""
    k = min(AT, len(matrix))
    scores, rows = [], []
    for start in range(0, len(matrix), 16 * CHUNK):
        products = readers @ matrix[start : start + 16 * CHUNK].float().T
        found, at = products.topk(min(k, products.shape[1]), dim=1)
        scores.append(found.numpy())
        rows.append(at.numpy() + start)
    every, which = np.concatenate(scores, axis=1), np.concatenate(rows, axis=1)
    order = np.argsort(-every, axis=1, kind="stable")[:, :k]
    return list(np.take_along_axis(which, order, axis=1))
