"""The additive serving features of an article for a reader: one definition for both sides.

The scorer calls these on the buffer's counters, the trainer on counters that walk through time,
so a weight learned here means the same there. Popularity and age carry most of a news ranking;
text places what has no counts yet.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from streamrec.model.counters import FADE, CoReads, Counters
from streamrec.model.pairs import Ints
from streamrec.model.words import Tokens, Words

ITEM = ("popular_short", "popular_middle", "popular_long", "popular_ever", "idle", "never_read",
        "age", "newer", "hot_short", "hot_middle", "hot_long")
CO = ("co_read", "co_follow", "co_last", "co_lift", "co_near")
TEXT = ("text_mean", "text_max", "text_last", "text_faded", "words_last", "words_all", "tags")
FEATURES: tuple[str, ...] = (*ITEM, *CO, *TEXT, "reads")
PARTS: dict[str, slice] = {
    "popularity": slice(0, 6), "freshness": slice(6, 11), "co_read": slice(11, 16),
    "content": slice(16, 23),
}
TEXT_LAST = 20  # reads whose text a candidate is compared with
BIRTH, COLD = 3.0, 2.0**-16  # reads that a publication counts as; what is colder is all the same
SHARE = 20.0  # log1p(SHARE * p): resolves a chance of 1 in 20 from one in 5
Features = NDArray[np.float32]


def item_features(counters: Counters, now: float, idx: Ints | None = None) -> Features:
    """Features [n, 11] that no reader changes, at `now` (epoch s); all articles if no `idx`.

    log1p of decayed reads at three half-lives, of reads ever, of the time since the last read (in
    shortest half-lives), a flag for never read, log1p of the age (same unit), log1p of how
    many articles are newer, and at each half-life log2 of decayed reads where being published counts
    as BIRTH reads. What is unknown is NaN, which the network reads as average.
    """
    at: Ints | slice = slice(len(counters)) if idx is None else idx
    unit, totals = counters.half_lives[0], counters.totals(idx)
    idle = np.maximum(now - counters.last_read(idx), 0.0) / unit
    age = np.maximum(now - counters.published_at[at], 0.0) / unit
    decayed = counters.decayed(now, idx)
    raw = [*decayed.T, totals, idle, np.zeros(len(age)), age, counters.newer(now, idx)]
    born = BIRTH * np.exp2(-age[:, None] * unit / np.asarray(counters.half_lives))
    hot = np.log2(np.maximum(decayed + born, COLD))
    found: Features = np.concatenate([np.log1p(np.stack(raw, axis=1)), hot], axis=1).astype(np.float32)
    found[:, ITEM.index("never_read")] = totals == 0
    return found


def co_features(read: CoReads, candidates: Ints, totals: NDArray[Any]) -> Features:
    """Features [n, 5] of candidates [n] from what others read with the reader's last reads.

    `totals` [n]: reads ever of the candidates. The features: log1p of
    the summed counts; the share of those counts that went to the candidate; the same after the
    newest read alone; the sum over the root of the candidate's reads (lift); and the cosine.
    """
    found = np.zeros((len(candidates), len(CO)), dtype=np.float32)
    at = {c: i for i, c in enumerate(candidates.tolist())} if any(read.after) else {}
    for k, counts in enumerate(read.after):
        mass = sum(counts.values()) + 1.0
        for c, count in counts.items():
            i = at.get(c)
            if i is not None:
                found[i, 0] += count
                found[i, 1] += count / mass
                found[i, 2] += count / mass if k == 0 else 0.0
    found[:, 3] = found[:, 0] / np.sqrt(1.0 + totals)
    if len(read.near):
        places = np.minimum(np.searchsorted(read.near, candidates), len(read.near) - 1)
        found[:, 4] = np.where(read.near[places] == candidates, read.cosine[places], 0.0)
    scale = np.array([1.0, SHARE / max(len(read.after), 1), SHARE, 1.0, SHARE], dtype=np.float32)
    logs: Features = np.log1p(found * scale)
    return logs


class Stated(NamedTuple):
    """What a reader says to like, as a read that has no row: its base vector [d], its tokens, the text that
    was encoded, and what an article that says just the same gains in its score (a logit)."""

    vector: NDArray[Any]
    tokens: Tokens
    text: str = ""
    weight: float = 0.0


def text_features(
    text: NDArray[Any], words: Words, idx: Ints, read: Sequence[int], stated: Stated | None = None
) -> Features:
    """Features [n, 7] of the articles `idx` [n]: cosines of their base vectors (of `text` [N, d]) to
    the reader's last reads (newest first) in the mean, at most, to the newest, and in the mean faded
    with each older read; and those of `Words.features`; zeros without history or text. `stated` stands
    before the newest read, and weighs as much as all reads in the means."""
    found: Features = np.zeros((len(idx), len(TEXT)), dtype=np.float32)
    reads = text[list(read)] if stated is None else np.vstack([stated.vector[None], text[list(read)]])
    if not len(reads):
        return found
    cosines = (torch.from_numpy(text[idx]).float() @ torch.from_numpy(reads).float().T).numpy()
    alike, faded = (_weights(fade, len(read), stated) for fade in (1.0, FADE))
    found[:, 0], found[:, 1], found[:, 2] = cosines @ alike, cosines.max(axis=1), cosines[:, 0]
    found[:, 3] = cosines @ faded
    found[:, 4:] = words.features(idx, read, stated.tokens if stated else None)
    return found


def _weights(fade: float, reads: int, stated: Stated | None) -> Features:
    """[reads], or [1 + reads] with a statement first; a read counts `fade` of the next newer."""
    faded = fade ** np.arange(reads, dtype=np.float32)
    of_reads: Features = faded / max(faded.sum(), 1.0)
    if stated is None:
        return of_reads
    said = (0.5 if reads else 1.0) if stated.vector.any() else 0.0
    return np.array([said, *((1 - said) * of_reads)], np.float32)


def join(items: Features, co: Features, text: Features, reads: int) -> Features:
    """All features [n, len(FEATURES)] from `item_features` [n, 11], `co_features` [n, 5],
    `text_features` [n, 7] and how many of the reader's last reads are known."""
    length = np.full((len(items), 1), np.log1p(reads), dtype=np.float32)
    return np.concatenate([items, co, text, length], axis=1)


def all_features(
    counters: Counters, now: float, idx: Ints, read: Sequence[int], text: NDArray[Any], words: Words
) -> Features:
    """All features [n, F] of the articles `idx` [n] at `now` (epoch s) for a reader of `read` (newest
    first); `text` [N, d] are the base vectors of all articles, `words` their words."""
    co = co_features(counters.co_query(read, now, idx), idx, counters.totals(idx))
    last = list(read[:TEXT_LAST])
    return join(item_features(counters, now, idx), co, text_features(text, words, idx, last), len(last))
