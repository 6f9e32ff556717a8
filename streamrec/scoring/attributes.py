"""Which articles have a tag, a language, a source or a domain: what filters and rules ask for."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from streamrec.catalogue import Entry, LiveArticles
from streamrec.events import Filters, Match, epoch

Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]
Label = tuple[str, str]  # kind, value
EMPTY = np.zeros(0, np.int64)


class Attributes:
    """Labels of articles by row, followed as the catalogue changes."""

    def __init__(self, articles: LiveArticles) -> None:
        self._articles = articles
        self._known: dict[int, Entry] = {}  # whose labels each row has
        self._rows: dict[Label, set[int]] = defaultdict(set)
        self._arrays: dict[Label, Rows] = {}  # of the sets that were asked for

    def follow(self, rows: Iterable[int]) -> None:
        """These rows have changed."""
        for row in rows:
            before, entry = self._known.get(row), self._articles.entries[row]
            old, new = _labels(before) if before else frozenset(), _labels(entry)
            for label in old - new:
                self._rows[label].discard(row)
            for label in new - old:
                self._rows[label].add(row)
            for label in old ^ new:
                self._arrays.pop(label, None)
            self._known[row] = entry

    def having(self, kind: str, value: str) -> Rows:
        """Rows that have a label, in no order."""
        label = (kind, value)
        if label not in self._rows:  # and nothing is kept of what anybody may ask for
            return EMPTY
        if label not in self._arrays:
            self._arrays[label] = np.fromiter(self._rows[label], np.int64)
        return self._arrays[label]

    def passing(self, filters: Filters) -> Bools:
        """[N]: which articles pass."""
        n = len(self._articles)
        mask = np.ones(n, bool)
        wanted = [[("tag", t)] for t in filters.tags_all]
        wanted += [[(k, v)] for k, v in _fields(filters.lang, filters.source, filters.domain)]
        wanted += [[("tag", t) for t in filters.tags_any]] if filters.tags_any else []
        for labels in wanted:
            mask &= self._mask(labels, n)
        mask &= ~self._mask([("tag", t) for t in filters.tags_none], n)
        if filters.published_after is not None:
            mask &= self._articles.published > epoch(filters.published_after)
        mask[self.rows_of(filters.exclude_items)] = False
        return mask

    def matching(self, match: Match) -> Rows:
        """Live rows that fit everything a rule gives."""
        n, m = len(self._articles), match
        mask = self._articles.live.copy()
        for label in [*(("tag", t) for t in m.tags), *_fields(m.lang, m.source, m.domain)]:
            mask &= self._mask([label], n)
        if m.item_ids:
            only = np.zeros(n, bool)
            only[self.rows_of(m.item_ids)] = True
            mask &= only
        return np.flatnonzero(mask)

    def rows_of(self, items: Iterable[str]) -> list[int]:
        """Rows of those articles that are known, in the order given."""
        index = self._articles.index
        return [index[i] for i in items if i in index]

    def _mask(self, labels: Sequence[Label], n: int) -> Bools:
        mask = np.zeros(n, bool)
        for kind, value in labels:
            mask[self.having(kind, value)] = True
        return mask


def _labels(entry: Entry) -> frozenset[Label]:
    topic = [("topic", entry.tags[0])] if entry.tags and entry.tags[0] else []
    tags = [("tag", t) for t in entry.tags]
    return frozenset([*tags, *topic, *_fields(entry.lang, entry.source, entry.domain)])


def _fields(lang: str, source: str, domain: str) -> list[Label]:
    return [(k, v) for k, v in (("lang", lang), ("source", source), ("domain", domain)) if v]
