"""Fetching models in the background: follow the pointer, verify, build, warm, hand over."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from consumers.own_texts import OwnTexts
from streamrec import logs
from streamrec.catalogue import LiveArticles
from streamrec.errors import CorruptArtefact, RetryLater
from streamrec.metrics import INDEX_RECALL, SWAP_FAILURES
from streamrec.model import tuned_files
from streamrec.model.bundle import from_files
from streamrec.registry import Registry
from streamrec.scoring import Served, of_files
from streamrec.scoring.index import Index, Search
from streamrec.scoring.served import EXACT, STALE

log = logs.get(__name__)
INDEX_RETRY_S = 60.0
RETRY_S = 10.0  # a version that could not be read is tried again after this; others at once
READERS, OF_ONE_READ = 200, 100  # for whom the recall of an index is measured; if too few have read yet
Histories = Callable[[int], Sequence[Sequence[str]]]  # some readers' last reads, newest first


class ModelFetch:
    """A thread that keeps the newest version ready; `take` hands each over once.

    The frozen version is the first one ever trained: the control arm of the same name. With more than
    `exact` articles a version is handed over with its index, which is made anew as articles come.
    """

    def __init__(
        self, registry: Registry, articles: LiveArticles, fingerprint: str, own: OwnTexts,
        histories: Histories = lambda _: [], exact: int = EXACT, period_s: float = 0.5,
    ) -> None:
        self._histories, self._exact = histories, exact
        self.texts: Index | None = None
        self._serving: dict[str, Served] = {}  # live, frozen
        self._wait: dict[str, float] = {}  # version -> when an index is tried again (monotonic s)
        self._registry, self._articles, self._fingerprint = registry, articles, fingerprint
        self._own = own
        self._period_s, self._stop = period_s, threading.Event()
        self._lock = threading.Lock()
        self._ready: tuple[Served | None, Served | None] = (None, None)
        self._have: dict[str, str | None] = {"live": None, "frozen": None}
        self._refused: dict[str, tuple[float, str]] = {}  # version -> retry at (monotonic s), why
        self._wanted: str | None = None
        self._thread = threading.Thread(target=self._run, name="model-fetch", daemon=True)

    def start(self) -> None:
        """Begin to follow the pointer."""
        self._thread.start()

    def begin_with(self, prior: Served) -> None:
        """What serves until there is a version: with many articles it needs an index, too."""
        self._serving.setdefault("live", prior)

    @property
    def refusal(self) -> dict[str, str] | None:
        """Of the version that is to serve and does not: its name, and why."""
        version = self._wanted
        if version is None or version == self._have["live"] or version not in self._refused:
            return None
        return {"version": version, "why": self._refused[version][1]}

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()

    def take(self) -> tuple[Served | None, Served | None]:
        """A live and a frozen version that are new since the last call."""
        with self._lock:
            ready, self._ready = self._ready, (None, None)
        return ready

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            self.look()

    def fetch_if_any(self) -> None:
        """`fetch`, for who can start without."""
        _trying(self.fetch)

    def look(self) -> None:
        """What the thread does in each of its turns."""
        _trying(self._turn)

    def _turn(self) -> None:
        self.fetch()
        self._index_all()
        while self._own.work() and not self._stop.is_set():
            self.fetch()
            self._index_all()

    def fetch(self) -> None:
        """Build what the pointer names, if we do not have it yet."""
        pointer = self._registry.current()
        self._wanted = pointer.version
        if pointer.version is not None and pointer.version != self._have["live"]:
            self._put(0, "live", pointer.version)
        if pointer.first_trained is not None and pointer.first_trained != self._have["frozen"]:
            self._put(1, "frozen", pointer.first_trained)

    def _put(self, place: int, name: str, version: str) -> None:
        if version in self._refused and time.monotonic() < self._refused[version][0]:
            return
        try:
            served = self.build(version)
        except RetryLater:
            raise
        except Exception as error:  # files made by whoever can write them: refuse, keep serving
            SWAP_FAILURES.inc()
            log.error("model_refused", version=version, why=str(error), serving=self._have["live"])
            self._refused[version] = time.monotonic() + RETRY_S, str(error)
            return
        with self._lock:
            ready = list(self._ready)
            ready[place] = served
            self._ready = (ready[0], ready[1])
        self._own.keep(name, served)
        self._have[name], self._serving[name] = version, served

    def build(self, version: str, to_look: bool = False) -> Served:
        """A version, verified and warmed; `to_look`: not to serve, which any thread may ask for. Raises
        NotFound, CorruptArtefact."""
        files, manifest = self._registry.load("versions", version)
        net, meta = from_files(files)
        if meta.get("encoder") not in (None, self._fingerprint):
            raise CorruptArtefact(
                f"version {version} was trained on vectors of {meta['encoder']}, "
                f"this catalogue holds {self._fingerprint}"
            )
        cursor = {int(p): n for p, n in manifest["cursor"].items()}
        if tuned_files.is_among(files) and not to_look:
            served = self._own.build(version, net, files, cursor)
        else:
            served = of_files(version, net, files, self._articles, cursor, self._exact)
        served.traces = list(manifest.get("traces", ()))
        served.covered_at = self._articles.cursor  # before the vectors: the worker goes on syncing
        served.cover(self._articles.vectors)
        served.warm()
        if not to_look:
            self.index(served)
        return served

    def _index_all(self) -> None:
        for served in list(self._serving.values()):
            self.index(served)

    def index(self, served: Served) -> None:
        """Have a version searched through an index if that is due. Without one that finds enough all products
        are made, which is slow, until another try."""
        if not served.index_due or time.monotonic() < self._wait.get(served.version, 0.0):
            return
        try:
            made = self._made(served)
            INDEX_RECALL.set(made.recall)
            say = log.info if made.fit else log.error
            say("indexed" if made.fit else "index_refused", version=served.version, probes=made.probes,
                articles=made.index.rows, recall=round(made.recall, 4))
            served.search = made if made.fit else served.search
        except Exception as error:  # a version is served all the same
            made = None
            log.error("no_index", version=served.version, why=f"{type(error).__name__}: {error}")
        if made is None or not made.fit:
            self._wait[served.version] = time.monotonic() + INDEX_RETRY_S

    def _made(self, served: Served) -> Search:
        """Over text vectors, which versions share, or over the version's own."""
        readers, articles, texts = self._readers(served), self._articles, self.texts
        if not served.own_texts:
            if texts is None or len(articles.changed_since(texts.at)) > STALE:
                cursor = articles.cursor  # first: what changes meanwhile is found to have changed
                texts = self.texts = Index.over(articles.vectors, cursor)
            found = served.searched(readers, texts, partial(articles.changed_since, texts.at))
            if found.fit:
                return found
        return served.searched(readers)

    def _readers(self, served: Served) -> list[list[int]]:
        """Rows that readers have read, by reader; of one read each if there are too few."""
        index = self._articles.index
        found = [[index[i] for i in items if i in index] for items in self._histories(READERS)]
        found = [rows for rows in found if rows]
        if len(found) < OF_ONE_READ:
            some = np.random.default_rng(0).integers(0, served.rows, 10 * OF_ONE_READ)
            some = some[self._articles.vectors[some].any(axis=1)][:OF_ONE_READ]
            found += [[int(row)] for row in some]
        return found


def _trying(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:  # whatever it was, the thread must go on looking
        log.warning("pointer_unreadable", why=f"{type(error).__name__}: {error}")
