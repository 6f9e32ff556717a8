"""From a ranking to a list: no article twice under two names, no source or topic everywhere, and as
much variety, or as true a mix of tags, as was asked for. Greedy, place by place.

Variety is maximal marginal relevance (Carbonell & Goldstein 1998): each place takes the article of
the best (1 - diversity) * relevance - diversity * likeness to those already chosen.
"""

from collections import Counter
from collections.abc import Container, Sequence

import numpy as np
from numpy.typing import NDArray

from streamrec.catalogue import Entry
from streamrec.scoring.calibrate import Mix

WIDE = 200  # best articles among which variety is sought
NARROW = 3  # without variety or caps: so many times the places, for duplicates to fall out of
SAME_TITLE = 0.8  # cosine from which two articles of the same title are one
Array = NDArray[np.float32]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]


class Caps:
    """How often a source and a first tag may still occur in a list; 0: as often as it likes."""

    def __init__(self, per_source: int, per_topic: int) -> None:
        self._most, self.any = {"source": per_source, "topic": per_topic}, bool(per_source or per_topic)
        self._used: Counter[tuple[str, str]] = Counter()

    def allow(self, entry: Entry) -> bool:
        """Whether one more of its kind fits."""
        return all(self._used[kind, value] < self._most[kind] for kind, value in self.of(entry))

    def take(self, entry: Entry) -> None:
        """It has got a place."""
        self._used.update(self.of(entry))

    def used_up(self) -> list[tuple[str, str]]:
        """Kinds of which no more fits."""
        return [(kind, value) for (kind, value), n in self._used.items() if n >= self._most[kind]]

    def of(self, entry: Entry) -> list[tuple[str, str]]:
        """The kinds of an article that are counted."""
        if not self.any:
            return []
        found = (("source", entry.source), ("topic", entry.tags[0] if entry.tags else ""))
        return [(kind, value) for kind, value in found if value and self._most[kind]]


def choose(
    scores: Array, vectors: Array, entries: Sequence[Entry], n: int, diversity: float, caps: Caps,
    same: float, taken: Sequence[tuple[Array, Entry]] = (), mix: Mix | None = None,
) -> list[int]:
    """Up to n places of a ranking, in the order to show them. `scores` [P], best first, `vectors`
    [P, d] of norm 1 or 0, `entries` [P]; `same`: cosine at which two texts are one article; `taken`:
    vectors and entries of what is in the list already; `mix`: of the reader's tags, over `entries`."""
    calibration = mix.weight if mix else 0.0
    likest = np.full(len(scores), -1.0, np.float32)  # to what is chosen
    value, relevance = np.zeros(0), (1 - diversity) * _relevance(scores)
    left, chosen = dict.fromkeys(range(len(scores))), list[int]()
    titles = set[str]()
    for vector, entry in taken:
        titles |= {_title(entry)} - {""}
        caps.take(entry)
        if mix:
            mix.take(entry)
        likest = np.maximum(likest, vectors @ vector)
    while len(chosen) < n and left:
        i = next(iter(left))
        if diversity or calibration:
            value = relevance - diversity * np.maximum(likest, 0.0)
            if mix and calibration:
                value = (1 - calibration) * value - calibration * mix.misfits()
            i = max(left, key=value.__getitem__)
        del left[i]
        if _again(entries[i], float(likest[i]), titles, same) or not caps.allow(entries[i]):
            continue
        chosen.append(i)
        titles |= {_title(entries[i])} - {""}
        caps.take(entries[i])
        if mix:
            mix.take(entries[i])
        likest = np.maximum(likest, vectors @ vectors[i])
    return chosen


def beside(
    rows: Rows, vectors: Array, every: Sequence[Entry], caps: Caps, same: float, listed: Sequence[int],
    taken: Array,
) -> Bools:
    """Which of some rows [P] of `every` article, of `vectors` [P, d], could stand in a list of other ones, of
    vectors `taken` [T, d], whose caps count."""
    titles = {_title(every[row]) for row in listed} - {""}
    for row in listed:
        caps.take(every[row])
    likest = (vectors @ taken.T).max(axis=1, initial=-1.0)
    fit: Bools = likest < min(same, SAME_TITLE)
    for i in np.flatnonzero(~fit).tolist():
        fit[i] = not _again(every[rows[i]], float(likest[i]), titles, same)
    for i in np.flatnonzero(fit).tolist() if caps.any else ():
        fit[i] = caps.allow(every[rows[i]])
    return fit


def unlike(rows: Rows, vectors: Array, every: Sequence[Entry], same: float, seen: Sequence[int],
           texts: Array) -> Bools:
    """Which of some rows [P], of `vectors` [P, d], are none of those `seen`, of vectors `texts` [S, d], under
    another name. No cap counts these."""
    likest = (vectors @ texts.T).max(axis=1, initial=-1.0)
    new: Bools = likest < min(same, SAME_TITLE)
    near = np.flatnonzero(~new).tolist()
    titles = {_title(every[row]) for row in seen} - {""} if near else set()
    for i in near:
        new[i] = not _again(every[rows[i]], float(likest[i]), titles, same)
    return new


def deal(entries: Sequence[Entry], caps: Caps, places: int) -> Rows:
    """[P]: for which of some places, drawn side by side, each article may be drawn, so that no two places can
    show one kind that is counted; -1: for none, as its kinds went to two."""
    owner: dict[tuple[str, str], int] = {}
    found, turn = np.full(len(entries), -1), 0
    for i, entry in enumerate(entries):
        kinds = caps.of(entry)
        owners = {owner[kind] for kind in kinds if kind in owner}
        if len(owners) > 1:
            continue
        found[i] = owners.pop() if owners else turn % places
        turn += found[i] == turn % places
        owner |= dict.fromkeys(kinds, int(found[i]))
    return found


def distinct(rows: Rows, vectors: Array, every: Sequence[Entry], same: float) -> Bools:
    """Which of some rows [P] are not an earlier one again."""
    alike = np.tril(vectors @ vectors.T, -1)
    again: Bools = alike >= same
    for i, j in np.argwhere((alike >= SAME_TITLE) & ~again).tolist():
        again[i, j] = _again(every[rows[i]], float(alike[i, j]), {_title(every[rows[j]])} - {""}, same)
    return np.logical_not(again.any(axis=1))


def _again(entry: Entry, likeness: float, titles: Container[str], same: float) -> bool:
    """Whether it is an article of a list, under another name."""
    return likeness >= same or (likeness >= SAME_TITLE and _title(entry) in titles)


def _title(entry: Entry) -> str:
    return entry.title.strip().casefold()


def window(n: int, mixed: bool) -> int:
    """How many of the best articles `choose` should see; `mixed`: it is to look for others than the best."""
    return max(WIDE, NARROW * n) if mixed else NARROW * n + 10


def _relevance(scores: Array) -> Array:
    """Scores [P] as 1 for the best down to 0 for the last."""
    if not len(scores):
        return scores
    spread = float(scores[0] - scores[-1])
    return (scores - scores[-1]) / spread if spread > 0 else np.ones_like(scores)
