"""What the monitor knows of the site beside the topics: articles, their encoder, the model that serves."""

from collections.abc import Callable

import numpy as np

from streamrec.catalogue import Catalogue, LiveArticles
from streamrec.drift.contributors import Published
from streamrec.drift.monitor import DriftMonitor
from streamrec.drift.topics import topic_of
from streamrec.metrics import BOARD_SCORER, PUBLISHED_AT, Board
from streamrec.registry import Registry

SEED = 7


class SiteFollower:
    """Tells a monitor what is new since the last call. `vectors_by`: see Parts; `board`: knows who serves."""

    def __init__(
        self, catalogue: Catalogue, dim: int, vectors_by: Callable[[], str | None], registry: Registry,
        board: Board,
    ) -> None:
        self._catalogue, self._articles = catalogue, LiveArticles(dim)
        self._vectors_by, self._registry, self._board = vectors_by, registry, board
        self._told, self._late = 0, False  # late: articles were told of without their vectors

    def tell(self, monitor: DriftMonitor) -> None:
        """Raises RetryLater."""
        if (by := self._vectors_by()) is not None:
            if by:
                monitor.encoder(by)
            self._tell_articles(monitor, bool(by))
        pointer, scorer = self._registry.current(), self._board.get(BOARD_SCORER)
        monitor.model((scorer["version"] if scorer else pointer.version) or "0")
        PUBLISHED_AT.set(pointer.published_at)

    def _tell_articles(self, monitor: DriftMonitor, known: bool) -> None:
        """With their vectors, if it is `known` whose they are: all that comes would differ from those that
        another encoder made."""
        articles = self._articles
        articles.sync(self._catalogue)
        if known and self._late:
            self._told = 0
        self._late = not known
        rows, first, self._told = articles.changed_since(self._told), not self._told, articles.cursor
        if first:  # what was there before is no stream: its order is by chance, or somebody's sorting
            rows = np.random.default_rng(SEED).permutation(rows).tolist()
        for i in rows:
            e, vector = articles.entries[i], articles.vectors[i].astype(np.float32)
            found = Published(topic_of(e.tags, vector), e.title, e.lang, bool(e.text_hash), bool(e.tags))
            monitor.article(e.item_id, found, vector if known and vector.any() else None)
