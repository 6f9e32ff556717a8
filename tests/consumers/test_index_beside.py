"""A catalogue too large for all products: each version is handed over with an index that finds enough."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from consumers import model_fetch
from consumers.model_fetch import ModelFetch
from consumers.own_texts import OwnTexts
from streamrec.adapters.memory import MemoryBuffer, MemoryCatalogue, MemoryFiles, MemoryPointers
from streamrec.catalogue import Entry
from streamrec.config import Buffer, Encoder, Model
from streamrec.metrics import INDEX_RECALL
from streamrec.model.bundle import to_files
from streamrec.model.network import Recommender
from streamrec.registry import Pointer, Registry
from streamrec.scoring import ServingState, index
from streamrec.scoring.served import STALE

DIM, N, EXACT = 16, 4000, 1000


class Site:
    """A catalogue, a registry with a version, and what fetches it."""

    def __init__(self, texts: int = N) -> None:
        self.catalogue = MemoryCatalogue(DIM)
        self.state = ServingState(MemoryBuffer(Buffer()), self.catalogue, Buffer(), DIM)
        self.articles(N, texts)
        self.registry = Registry(MemoryFiles(), MemoryPointers())
        own = OwnTexts(self.catalogue, self.state.articles, Encoder(), EXACT)
        self.fetch = ModelFetch(self.registry, self.state.articles, "e", own, lambda n: [["a1", "a2"]], EXACT)
        self.publish("1")

    def articles(self, n: int, texts: int, prefix: str = "a") -> None:
        found = np.random.default_rng(n).normal(size=(n, DIM))
        found = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)
        entries = [Entry(f"{prefix}{i}", "", 1.0, [], "", f"h{prefix}{i}") for i in range(n)]
        self.catalogue.put(entries, {e.item_id: "text" for e in entries})
        owed = {o.item_id: o for o in self.catalogue.owed(n)}
        self.catalogue.fill([(owed[e.item_id], v) for e, v in zip(entries[:texts], found, strict=False)])
        self.state.sync()

    def publish(self, version: str) -> None:
        torch.manual_seed(int(version))
        net, old = Recommender.initial(DIM, Model()), self.registry.current()
        with torch.no_grad():
            net.head.weight += 0.05 * torch.randn(DIM, DIM)
        self.registry.stage("versions", version, to_files(net, {"encoder": "e"}), cursor={})
        new = Pointer(version=version, attempt=old.attempt + 1, first_trained=old.first_trained or version)
        self.registry.pointers.move(new, old.attempt, None, None)

    def taken(self):
        self.fetch.look()
        return self.fetch.take()[0]


def test_versions_share_an_index_over_texts_and_each_has_its_recall_measured() -> None:
    site = Site()
    first = site.taken()
    site.publish("2")
    second = site.taken()
    assert first.search.fit and second.search.fit and first.search.index is second.search.index
    assert INDEX_RECALL._value.get() == second.search.recall >= index.RECALL


def test_an_index_is_made_anew_when_many_articles_have_come() -> None:
    site = Site()
    served = site.taken()
    before = served.search.index
    site.articles(STALE + 1, STALE + 1, "new")
    served.cover(site.state.articles.vectors)
    site.fetch.look()
    assert served.search.index is not before and served.search.index.rows == N + STALE + 1
    assert not len(served.late(served.search).rows)


def test_one_that_finds_too_little_is_not_served_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    monkeypatch.setattr(index, "RECALL", 1.01)
    served = site.taken()
    assert served.search is None and served.version == "1"
    monkeypatch.undo()
    site.fetch.look()
    assert served.search is None  # not at once: making one takes time
    monkeypatch.setattr(model_fetch, "time", SimpleNamespace(monotonic=lambda: 1e12))
    site.fetch.look()
    assert served.search is not None


def test_a_version_is_served_even_if_no_index_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    monkeypatch.setattr(index, "_faiss", lambda: 1 / 0)
    served = site.taken()
    assert served.version == "1" and served.search is None


def test_recall_is_measured_by_readers_of_what_has_been_encoded() -> None:
    assert Site(texts=N // 5).taken().search.fit


def test_looking_at_a_version_makes_no_index() -> None:
    site = Site()
    assert site.fetch.build("1", to_look=True).search is None and site.fetch.texts is None


def test_the_prior_has_an_index_too() -> None:
    site = Site()
    site.registry.pointers = MemoryPointers()
    prior = site.fetch.build("1", to_look=True)
    site.fetch.begin_with(prior)
    site.fetch.look()
    assert prior.search is not None
