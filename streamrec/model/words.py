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
PAD = SLOTS  # fills rows of fewer tokens; weighs nothing
MOST = 64  # tokens of an article that count
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Tokens = NDArray[np.int32]
# Scripts that put no spaces between words: Thai and Lao, Burmese, Khmer, kana without their dot, Han.
_UNSPACED = ("\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff"
             "\uff66-\uff9f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff")
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+")
_RUN = re.compile(rf"[{_UNSPACED}]{{2,}}")


class Words:
    """Tokens of articles by row, and in how many articles each occurs."""

    def __init__(self) -> None:
        self._n = 0
        self._words: Tokens = np.full((0, 1), PAD, dtype=np.int32)
        self._tags: Tokens = np.full((0, 1), PAD, dtype=np.int32)
        self._in = np.zeros(SLOTS + 1)  # articles that hold the token
        self._rarity: Floats | None = None  # of every token; None: to be made
        self._scratch = np.zeros(SLOTS + 1, dtype=np.float32)

    def __len__(self) -> int:
        return self._n

    def put(self, row: int, title: str, tags: Sequence[str]) -> None:
        """Set or replace an article's words; rows between are blank."""
        words, named = title_tokens(title), _hashed([f"#{tag}" for tag in tags])
        self._n = max(self._n, row + 1)
        self._words, self._tags = _room(self._words, row, len(words)), _room(self._tags, row, len(named))
        np.subtract.at(self._in, self._words[row], 1)
        self._words[row], self._tags[row] = PAD, PAD
        self._words[row, : len(words)], self._tags[row, : len(named)] = words, named
        np.add.at(self._in, self._words[row], 1)
        self._in[PAD] = 0.0
        self._rarity = None

    def arrays(self, n: int) -> tuple[Tokens, Tokens]:
        """Tokens of titles and of tags [n, width] by row, filled up with PAD."""
        found = []
        for tokens in (self._words, self._tags):
            rows = np.full((n, tokens.shape[1]), PAD, np.int32)
            rows[: min(n, self._n)] = tokens[: min(n, self._n)]
            found.append(rows)
        return found[0], found[1]

    def restore(self, words: Tokens, tags: Tokens) -> None:
        """Begin with such arrays."""
        self._words, self._tags, self._n, self._rarity = words, tags, len(words), None
        self._in = np.bincount(words.reshape(-1), minlength=SLOTS + 1).astype(float)
        self._in[PAD] = 0.0

    def known(self, tokens: Tokens) -> bool:
        """Whether any article's title has one of them."""
        return bool((self._in[tokens] > 0).any())

    def features(self, candidates: Ints, read: Sequence[int], stated: Tokens | None = None) -> Floats:
        """[n, 3] of candidate rows for a reader of the rows `read`, newest first: cosine of title
        words (weighted by rarity, IDF of Spärck Jones 1972) to the newest read and to all of them
        together, and the mean share of reads that have each of the candidate's tags. `stated`:
        tokens of what the reader says to like, as if they had just read that."""
        found = np.zeros((len(candidates), 3), dtype=np.float32)
        read = [i for i in read if i < self._n]
        titles = [*([] if stated is None else [stated]), *self._words[read]]
        if not titles or not len(candidates) or not self._n:
            return found
        rarity = self._rarities()
        words = self._of(self._words, candidates)
        squares = rarity[words] ** 2
        norms = np.maximum(np.sqrt(np.einsum("ij->i", squares)), 1e-6)
        for k, reads in enumerate((titles[:1], titles)):
            shares, norm = self._shares(reads, words, rarity)
            found[:, k] = np.einsum("ij,ij->i", shares, squares) / norm / norms
        tags = self._of(self._tags, candidates)
        shares, _ = self._shares(list(self._tags[read]), tags, rarity)
        found[:, 2] = np.einsum("ij->i", shares) / np.maximum((tags != PAD).sum(axis=1), 1)
        return found

    def _of(self, tokens: Tokens, rows: Ints) -> Tokens:
        """[n, width] of some rows; blank for those beyond."""
        if len(rows) and int(rows.max()) < self._n:
            return tokens[rows]
        found = tokens[np.minimum(rows, self._n - 1)]
        found[rows >= self._n] = PAD
        return found

    def _shares(self, reads: list[Tokens], of: Tokens, rarity: Floats) -> tuple[Floats, float]:
        """Share of the reads that have each token of `of`, and the norm of all tokens of the reads
        together, each by its share and its rarity."""
        if not reads:
            return np.zeros(of.shape, np.float32), 1e-6
        scratch, tokens = self._scratch, np.concatenate(reads)
        np.add.at(scratch, tokens, np.float32(1.0 / len(reads)))  # a token occurs once in a read
        scratch[PAD] = 0.0
        shares, own = scratch[of], scratch[tokens]
        scratch[tokens] = 0.0
        square = float((own * rarity[tokens] ** 2).sum()) / len(reads)
        return shares, max(square**0.5, 1e-6)

    def _rarities(self) -> Floats:
        if self._rarity is None:
            found = np.log((self._n + 1.0) / (self._in + 0.5))
            found[PAD] = 0.0
            self._rarity = np.maximum(found, 0.0).astype(np.float32)
        return self._rarity


def title_tokens(title: str) -> Tokens:
    """Distinct tokens of a title, or of any words a reader gives."""
    return _hashed(_words(title.lower()))


def _words(text: str) -> list[str]:
    """Words; of a script without spaces each two characters side by side (Nie & Ren 1999)."""
    found: list[str] = []
    for word in _WORD.findall(text):
        found += [word[i : i + 2] for i in range(len(word) - 1)] if _RUN.fullmatch(word) else [word]
    return found


def _room(tokens: Tokens, row: int, width: int) -> Tokens:
    """With room for a row and so many tokens in it."""
    more = max(2 * len(tokens), 1024, row + 1) - len(tokens) if row >= len(tokens) else 0
    wider = max(width - tokens.shape[1], 0)
    return np.pad(tokens, ((0, more), (0, wider)), constant_values=PAD) if more or wider else tokens


def _hashed(tokens: Sequence[str]) -> Tokens:
    return np.array(sorted({crc32(t.encode()) % SLOTS for t in tokens})[:MOST], dtype=np.int32)
