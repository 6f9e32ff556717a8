"""What the monitor knows of the site beside the topics: articles, their encoder, the model that serves."""

from collections.abc import Callable

import numpy as np

from streamrec.catalogue import Catalogue, LiveArticles
from streamrec.drift.contributors import Published
from streamrec.drift.monitor import DriftMonitor
from streamrec.drift.topics import topic_of
from streamrec.metrics import PUBLISHED_AT
from streamrec.registry import Registry

SEED = 7


class SiteFollower:
    """Tells a monitor what is new since the last call. `fingerprint`: of the catalogue's encoder."""

    def __init__(
        self, catalogue: Catalogue, dim: int, fingerprint: Callable[[], str], registry: Registry
    ) -> None:
        self._catalogue, self._articles = catalogue, LiveArticles(dim)
        self._fingerprint, self._registry, self._told = fingerprint, registry, 0

    def tell(self, monitor: DriftMonitor) -> None:
        """Raises RetryLater."""
        articles = self._articles
        monitor.encoder(self._fingerprint())
        articles.sync(self._catalogue)
        rows, first, self._told = articles.changed_since(self._told), not self._told, articles.cursor
        if first:  # what was there before is no stream: its order is by chance, or somebody's sorting
            rows = np.random.default_rng(SEED).permutation(rows).tolist()
        for i in rows:
            e, vector = articles.entries[i], articles.vectors[i].astype(np.float32)
            found = Published(topic_of(e.tags, vector), e.title, e.lang, bool(e.text_hash))
            monitor.article(e.item_id, found, vector if vector.any() else None)
        pointer = self._registry.current()
        monitor.model(pointer.version or "0")
        PUBLISHED_AT.set(pointer.published_at)
