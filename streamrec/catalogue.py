"""Articles that are live, their text's base vectors, and a process's own copy of both.

Writers put, readers follow: every change has a sequence number, so a reader asks for what came
after the number it knows. A base vector is the frozen encoder's output, made once per text.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Vectors = NDArray[np.float16]
ONLY_NAMED, GONE, LIVE = 0, 1, 2


class Entry(Struct, array_like=True, frozen=True, gc=False):
    """What is kept of an article. `text_hash` covers the text and the encoder that read it."""

    item_id: str
    title: str
    published_at: float
    tags: list[str]
    lang: str
    text_hash: str
    source: str = ""
    domain: str = ""


class Changes(NamedTuple):
    """What came after a cursor: entries with their vectors [n, d] float16, and removed ids."""

    cursor: int
    entries: list[Entry]
    vectors: Vectors
    removed: list[str]


class Owed(NamedTuple):
    """A text that waits for the encoder."""

    item_id: str
    text_hash: str
    text: str


class Catalogue(Protocol):
    """The shared catalogue. An article is a candidate as soon as it is put; its text counts once
    its vector is filled in."""

    def put(self, entries: Sequence[Entry], texts: Mapping[str, str]) -> None:
        """Add or replace. A text in `texts` is kept and owed a vector, which is zero until then.
        An entry without one, whose text hash is as before, keeps its vector or its place in the
        queue; otherwise its vector is zero."""

    def owed(self, limit: int) -> list[Owed]:
        """Texts that wait, newest first; asked for again until filled."""

    def fill(self, encoded: Sequence[tuple[Owed, NDArray[np.float16]]]) -> None:
        """Give texts their vectors; ignored for a text that has changed or gone."""

    def remove(self, item_ids: Sequence[str]) -> None:
        """No longer a candidate. Unknown ids are ignored."""

    def entries(self, item_ids: Sequence[str]) -> dict[str, Entry]:
        """Of those that are known."""

    def texts(self, item_ids: Sequence[str]) -> dict[str, str]:
        """Texts of those that have one, encoded or not."""

    def changes(self, since: int, limit: int = 2000) -> Changes:
        """What came after `since`, oldest first; call again until the cursor stands still."""

    def explored(self, given: Mapping[str, int]) -> dict[str, int]:
        """Count impressions that explored (item -> how many more); how many each of these articles has had by
        now, from all who score. Kept of live articles only, and forgotten with them."""

    def size(self) -> int:
        """Live articles."""

    def newest(self) -> int:
        """The cursor behind its last change."""

    def identity(self) -> str:
        """Another one for a catalogue begun anew, whose cursors mean nothing to this one."""


class LiveTexts:
    """One process's copy of the texts, by item id; only who trains or encodes needs one."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._at = 0

    def sync(self, catalogue: Catalogue, articles: "LiveArticles", page: int = 2000) -> None:
        """Take over the texts of what changed in `articles` since the last call."""
        cursor, rows = articles.cursor, articles.changed_since(self._at)
        ids = [articles.entries[i].item_id for i in rows]
        for start in range(0, len(ids), page):
            some = ids[start : start + page]
            found = catalogue.texts(some)
            self._texts.update((i, found.get(i, "")) for i in some)
        self._at = cursor

    def of(self, item_id: str) -> str:
        """The text of an article; empty if it has none or nobody announced it."""
        return self._texts.get(item_id, "")


def text_hash(text: str, encoder: str) -> str:
    """Equal only for the same text under the same encoder."""
    return sha256(f"{encoder}\0{text}".encode()).hexdigest()[:16]


class LiveArticles:
    """One process's copy: an article keeps its row for good, `live` says if it is a candidate."""

    def __init__(self, dim: int) -> None:
        self.cursor, self.dim = 0, dim
        self.index: dict[str, int] = {}
        self.entries: list[Entry] = []
        self._vectors = np.zeros((1024, dim), np.float16)
        self._published = np.zeros(1024)
        self._live = np.zeros(1024, bool)
        self._changed_at = np.zeros(1024, np.int64)  # cursor of each row's last change

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def vectors(self) -> Vectors:
        """[N, d] float16, a view."""
        return self._vectors[: len(self)]

    @property
    def published(self) -> NDArray[np.float64]:
        """[N] epoch seconds, a view."""
        return self._published[: len(self)]

    @property
    def live(self) -> NDArray[np.bool_]:
        """[N], a view."""
        return self._live[: len(self)]

    def sync(self, catalogue: Catalogue) -> None:
        """Take over all changes, a page at a time. What changed, `changed_since` says: also of the
        pages that came before one that failed."""
        while True:
            found = catalogue.changes(self.cursor)
            if found.cursor == self.cursor:
                return
            rows = [self._set(e, v) for e, v in zip(found.entries, found.vectors, strict=True)]
            for item in found.removed:
                if item in self.index:
                    self._live[self.index[item]] = False
                    rows.append(self.index[item])
            self._changed_at[rows] = found.cursor
            self.cursor = found.cursor  # last: who reads it first, then vectors, misses nothing

    def restore(self, entries: list[Entry], vectors: Vectors, states: NDArray[np.uint8], cursor: int) -> None:
        """Begin with what a process held when its cursor stood there; `vectors` has room for more."""
        n, room = len(entries), len(vectors)
        self.entries, self.index = entries, {e.item_id: i for i, e in enumerate(entries)}
        self._vectors, self._published = vectors, np.zeros(room)
        self._published[:n] = [e.published_at for e in entries]
        self._live, self._changed_at = np.zeros(room, bool), np.zeros(room, np.int64)
        self._live[:n], self._changed_at[:n] = states == LIVE, np.where(states == ONLY_NAMED, 0, cursor)
        self.cursor = cursor

    def states(self) -> NDArray[np.uint8]:
        """[N]: ONLY_NAMED by who read it, GONE or LIVE."""
        announced = self._changed_at[: len(self)] > 0
        return np.where(self.live, LIVE, np.where(announced, GONE, ONLY_NAMED)).astype(np.uint8)

    def changed_since(self, cursor: int) -> list[int]:
        """Rows that changed after the cursor stood there."""
        return [int(i) for i in np.flatnonzero(self._changed_at[: len(self)] > cursor)]

    def place(self, item_id: str) -> int:
        """The row of an article; one not announced yet gets a row that is not live."""
        i = self.index.get(item_id)
        if i is None:
            i = self.index[item_id] = len(self.entries)
            self.entries.append(Entry(item_id, "", 0.0, [], "", ""))
            if i >= len(self._live):
                self._grow()
        return i

    def _set(self, entry: Entry, vector: NDArray[np.float16]) -> int:
        i = self.place(entry.item_id)
        self.entries[i], self._published[i], self._live[i] = entry, entry.published_at, True
        self._vectors[i] = vector
        return i

    def _grow(self) -> None:
        more = len(self._live)
        self._vectors = np.vstack([self._vectors, np.zeros((more, self.dim), np.float16)])
        self._published = np.concatenate([self._published, np.zeros(more)])
        self._live = np.concatenate([self._live, np.zeros(more, bool)])
        self._changed_at = np.concatenate([self._changed_at, np.zeros(more, np.int64)])
