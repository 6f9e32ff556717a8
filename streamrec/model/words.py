"""Words of titles and tags by article, and how much of them a reader has lately read.

Text vectors blur names: that two articles are about the same tool shows in a rare word of their
titles. Tokens are hashed, so that there is no vocabulary to keep in step between processes.
"""

import re
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

SLOTS = 1 << 16  # hashed tokens: a few thousand words of titles collide seldom
NONE = np.zeros(0, dtype=np.int64)
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_WORD = re.compile(r"\w+")


class Words:
    """Tokens of articles by row, and in how many articles each occurs."""

    def __init__(self) -> None:
        self._words: list[Ints] = []
        self._tags: list[Ints] = []
        self._in = np.zeros(SLOTS)  # articles that hold the token
        self._scratch = np.zeros(SLOTS, dtype=np.float32)

    def __len__(self) -> int:
        return len(self._words)

    def put(self, row: int, title: str, tags: Sequence[str]) -> None:
        """Set or replace an article's words; rows between are blank."""
        while len(self._words) <= row:
            self._words.append(NONE)
            self._tags.append(NONE)
        self._in[self._words[row]] -= 1
        self._words[row] = _hashed(_WORD.findall(title.lower()))
        self._tags[row] = _hashed([f"#{tag}" for tag in tags])
        self._in[self._words[row]] += 1

    def features(self, candidates: Ints, read: Sequence[int]) -> Floats:
        """[n, 3] of candidate rows for a reader of the rows `read`, newest first: cosine of title
        words (weighted by rarity, IDF of Spärck Jones 1972) to the newest read and to all of them
        together, and the mean share of reads that have each of the candidate's tags."""
        found = np.zeros((len(candidates), 3), dtype=np.float32)
        if not len(read) or not len(candidates):
            return found
        words, at = self._tokens(self._words, candidates)
        squares = self._rarity(words) ** 2
        norms = np.maximum(np.sqrt(np.bincount(at, squares, len(candidates))), 1e-6).astype(np.float32)
        for k, reads in enumerate((read[:1], read)):
            weight = self._shares(self._words, reads, words) * squares
            summed = np.bincount(at, weight, len(candidates)) / self._norm(reads)
            found[:, k] = summed.astype(np.float32) / norms
        tags, at = self._tokens(self._tags, candidates)
        shares = self._shares(self._tags, read, tags)
        counts = np.maximum(np.bincount(at, minlength=len(candidates)), 1)
        found[:, 2] = np.bincount(at, shares, len(candidates)) / counts
        return found

    def _tokens(self, tokens: list[Ints], rows: Sequence[int] | Ints) -> tuple[Ints, Ints]:
        """All tokens of rows one after another, and the place of the row of each."""
        of = [tokens[i] if i < len(tokens) else NONE for i in rows]
        return np.concatenate([NONE, *of]), np.repeat(np.arange(len(of)), [len(r) for r in of])

    def _norm(self, read: Sequence[int]) -> float:
        """Of the words of some reads together, each by its rarity and its share of the reads."""
        words = np.unique(self._tokens(self._words, read)[0])
        own = self._shares(self._words, read, words) * self._rarity(words)
        return max(float(np.sqrt((own**2).sum())), 1e-6)

    def _shares(self, tokens: list[Ints], read: Sequence[int], of: Ints) -> Floats:
        """Share of the reads that have each token of `of`."""
        scratch = self._scratch
        rows = [tokens[i] for i in read if i < len(tokens)]
        for row in rows:
            scratch[row] += 1.0 / len(read)
        shares = scratch[of]
        for row in rows:
            scratch[row] = 0.0
        return shares

    def _rarity(self, words: Ints) -> Floats:
        found: Floats = np.log((len(self) + 1.0) / (self._in[words] + 0.5)).astype(np.float32)
        return np.maximum(found, 0.0)


def _hashed(tokens: Sequence[str]) -> Ints:
    return np.array(sorted({crc32(t.encode()) % SLOTS for t in tokens}), dtype=np.int64)
