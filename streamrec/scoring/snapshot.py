"""A catalogue as a scorer holds it, in files that the next one maps into memory: a million articles are
there in seconds, and what came after is followed as ever.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from streamrec import __version__, logs
from streamrec.catalogue import Catalogue, Entry, Vectors
from streamrec.errors import RetryLater
from streamrec.registry import Registry
from streamrec.scoring.index import RECALL, Index, Search
from streamrec.scoring.state import ServingState

VECTORS, ENTRIES, STATES = "vectors.f16", "entries.msgpack", "states.u8"
WORDS, TAGS, INDEX = "words.i32", "tags.i32", "texts.ivf"
log = logs.get(__name__)
_decode = msgspec.msgpack.Decoder(list[Entry]).decode


KIND = "catalogues"
READERS, READS = 200, 3  # made of random reads, for whom the recall of the index is measured
FROM, GROWN = 50_000, 0.1  # articles from which on it is worth it; share that has changed since the last


class Snapshot(NamedTuple):
    """Files of a catalogue of `rows` articles as its cursor stood at `cursor`."""

    folder: Path
    cursor: int
    rows: int
    room: int  # rows of the file of vectors; those beyond are for what comes
    recall: float  # of the index, @10


class Snapshots:
    """Those in a registry of one catalogue under one encoder. Its folder must stay readable while it is
    mapped: the last but one is kept for whoever started from it."""

    def __init__(self, registry: Registry, catalogue: Catalogue, fingerprint: str) -> None:
        self._registry, self._catalogue, self._fingerprint = registry, catalogue, fingerprint

    def begin(self, new: Callable[[], ServingState]) -> tuple[ServingState, Index | None]:
        """A state from the newest snapshot that can be used, with its index; or one that knows nothing.
        Raises RetryLater."""
        for name in self._names()[::-1]:
            try:
                folder, about = self._registry.local(KIND, name)
                state = new()
                found = Snapshot(folder, *(about[name] for name in Snapshot._fields[1:]))
                return state, restore(state, found)
            except RetryLater:
                raise
            except Exception as error:  # whatever it was, the catalogue has it all: only slower
                log.error("snapshot_refused", name=name, why=f"{type(error).__name__}: {error}")
                if not isinstance(error, (OSError, MemoryError)):  # which are this machine's trouble
                    self._drop(name)  # or no better one would be written
        return new(), None

    def keep(self, state: ServingState, least: int = FROM) -> bool:
        """Write one if there is no recent one; whether it did. Raises RetryLater, SetupError."""
        articles, names = state.articles, self._names()
        since = _cursor(names[-1]) if names else 0
        if len(articles) < least or len(articles.changed_since(since)) <= GROWN * len(articles):
            return False
        files, about = to_files(state)
        name = f"{self._whose()}{about['cursor']}"
        self._registry.stage(KIND, name, files, encoder=self._fingerprint, **about)
        for old in set(self._registry.files.folders(KIND)) - {*names[-1:], name}:
            self._registry.files.delete(f"{KIND}/{old}")
        log.info("snapshot_written", name=name, articles=about["rows"])
        return True

    def _drop(self, name: str) -> None:
        try:
            self._registry.files.delete(f"{KIND}/{name}")
        except OSError as error:
            log.warning("snapshot_not_deleted", name=name, why=str(error))

    def _names(self) -> list[str]:
        """Oldest first; none from after the catalogue's own last change, which a backup may bring about."""
        whose, newest = self._whose(), self._catalogue.newest()
        mine = [f for f in self._registry.files.folders(KIND) if f.startswith(whose)]
        return sorted((name for name in mine if _cursor(name) <= newest), key=_cursor)

    def _whose(self) -> str:
        """How names begin: of this catalogue under this encoder, as this release writes them."""
        made_by = sha256(f"{self._fingerprint}\0{__version__}".encode()).hexdigest()[:8]
        return f"{self._catalogue.identity()}-{made_by}-"


def _cursor(name: str) -> int:
    return int(name.rpartition("-")[2])


def to_files(state: ServingState) -> tuple[dict[str, Any], dict[str, Any]]:
    """Contents by name, and the numbers that the manifest holds."""
    articles, n = state.articles, len(state.articles)
    room = n + n // 8 + 1024
    vectors: Vectors = np.zeros((room, articles.dim), np.float16)
    vectors[:n] = articles.vectors
    words, tags = state.words.arrays(n)
    search = _searched(articles.vectors, articles.cursor)
    files = {
        VECTORS: vectors.data.cast("B"), ENTRIES: msgspec.msgpack.encode(articles.entries),
        STATES: articles.states().tobytes(), WORDS: words.tobytes(), TAGS: tags.tobytes(),
        INDEX: search.index.to_bytes(),
    }
    return files, {"cursor": articles.cursor, "rows": n, "room": room,
                   "recall": round(search.recall, 4), "probes": search.probes}


def _searched(vectors: Vectors, at: int) -> Search:
    """An index over text vectors [N, d], and what it finds of what is nearest to some readers."""
    reads = np.random.default_rng(0).integers(len(vectors), size=(READERS, READS))
    readers = torch.from_numpy(vectors[reads].astype(np.float32).mean(axis=1))
    found = Search(Index.over(vectors, at), 0, np.zeros(0, np.int64))
    found.gauge(readers[readers.any(dim=1)], torch.from_numpy(vectors))
    return found


def restore(state: ServingState, found: Snapshot) -> Index | None:
    """Fill a state that knows nothing yet; the index is over the text vectors of the same rows, None if it
    finds too little."""
    n, folder = found.rows, found.folder
    entries = _decode((folder / ENTRIES).read_bytes())
    vectors = np.memmap(folder / VECTORS, np.float16, "c", shape=(found.room, state.articles.dim))
    states = np.fromfile(folder / STATES, np.uint8)
    words, tags = (np.fromfile(folder / name, np.int32).reshape(n, -1) for name in (WORDS, TAGS))
    index = Index.of_file(folder / INDEX, found.cursor) if found.recall >= RECALL else None
    state.restore(entries, vectors, states, (words, tags), found.cursor)
    return index
