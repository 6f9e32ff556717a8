"""A scorer that starts from files holds what the one that wrote them held, and follows on from there."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scoring_site import DIM, NOW, Site, ids

from streamrec.adapters.files import FsspecStore
from streamrec.adapters.memory import MemoryPointers
from streamrec.config import Buffer
from streamrec.events import Filters
from streamrec.registry import Registry
from streamrec.scoring import Scorer, ServingState, snapshot
from streamrec.scoring.index import PROBES, Index, Search
from streamrec.scoring.snapshot import Snapshots


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site(duplicate=1.01)
    for i in range(30):
        made.article(f"a{i}", np.random.default_rng(i).normal(size=DIM), tags=[f"t{i % 3}"], lang="en",
                     title=f"about {i}, the topic {i % 5}", age=100 + i)
    made.event("u", "a1")
    made.event("v", "never announced")
    made.scorer.follow()
    made.catalogue.remove(["a2"])
    made.scorer.follow()
    yield made


def snapshots(folder: Path, site: Site, encoder: str = "e") -> Snapshots:
    return Snapshots(Registry(FsspecStore(str(folder)), MemoryPointers()), site.catalogue, encoder)


def begun(site: Site, kept: Snapshots) -> tuple[ServingState, Index | None]:
    return kept.begin(lambda: ServingState(site.buffer, site.catalogue, Buffer(), DIM))


def started(site: Site, kept: Snapshots) -> tuple[Scorer, Index]:
    """Another scorer of the same site, from the newest snapshot."""
    state, texts = begun(site, kept)
    assert texts is not None
    return Scorer(state, site.buffer, site.scorer.live, site.settings, 1, site.encode, site.clock), texts


def both(site: Site, other: Scorer, **wish: Any) -> list[list[str]]:
    """The list of one reader by the site's scorer and by the other."""
    first, site.scorer = site.scorer, other
    theirs = ids(site.answer("u", 40, **wish))
    site.scorer = first
    return [ids(site.answer("u", 40, **wish)), theirs]


def test_a_scorer_from_files_answers_as_the_one_that_wrote_them(tmp_path: Path, site: Site) -> None:
    kept = snapshots(tmp_path, site)
    assert kept.keep(site.scorer.state, least=10)
    other, texts = started(site, kept)
    assert texts.rows == len(other.state.articles) == 31
    ours, theirs = both(site, other)
    assert ours == theirs and len(ours) == 28
    for a, b in zip(other.state.words.arrays(31), site.scorer.state.words.arrays(31), strict=True):
        assert np.array_equal(a, b) and a.any()
    ours, theirs = both(site, other, filters=Filters(tags_all=["t1"]))
    assert ours == theirs and 0 < len(ours) < 12


def test_the_manifest_says_what_the_index_finds_and_one_that_finds_little_is_not_used(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def manifest() -> dict[str, Any]:
        [folder] = (tmp_path / "catalogues").iterdir()
        return dict(json.loads((folder / "manifest.json").read_text()))

    kept = snapshots(tmp_path, site)
    kept.keep(site.scorer.state, least=10)
    assert manifest()["recall"] >= 0.98 and manifest()["probes"] in PROBES
    shutil.rmtree(tmp_path / "catalogues")
    monkeypatch.setattr(Search, "gauge", lambda self, *_: setattr(self, "recall", 0.9))
    kept.keep(site.scorer.state, least=10)
    state, texts = begun(site, kept)
    assert manifest()["recall"] == 0.9 and texts is None and len(state.articles) == 31


def test_it_follows_what_came_after(tmp_path: Path, site: Site) -> None:
    kept = snapshots(tmp_path, site)
    kept.keep(site.scorer.state, least=10)
    site.article("new", np.ones(DIM), tags=["t9"])
    site.article("never announced", np.ones(DIM))
    site.article("a3", np.ones(DIM), tags=["t9"])
    site.catalogue.remove(["a4"])
    other, _ = started(site, kept)
    ours, theirs = both(site, other)
    assert ours == theirs and "a4" not in theirs and {"new", "never announced"} <= set(theirs)
    assert set(both(site, other, filters=Filters(tags_any=["t9"]))[1]) == {"new", "a3"}
    site.announce(1100, first=100)  # more than the files have room for
    ours, theirs = both(site, other)
    assert ours == theirs and any(int(i[1:]) > 100 for i in ours if i.startswith("a"))
    times = [float(s.counters.newer(NOW, np.array([5]))[0]) for s in (other.state, site.scorer.state)]
    assert times[0] == times[1]


def test_one_is_written_when_much_has_changed_and_the_last_but_one_goes(tmp_path: Path, site: Site) -> None:
    kept, state = snapshots(tmp_path, site), site.scorer.state
    assert not kept.keep(state, least=1000) and begun(site, kept)[1] is None
    assert kept.keep(state, least=10) and not kept.keep(state, least=10)
    for round_ in range(3):
        for i in range(8):
            site.article(f"r{round_}/{i}", np.ones(DIM))
        site.scorer.follow()
        assert kept.keep(state, least=10)
    assert len(list((tmp_path / "catalogues").iterdir())) == 2
    assert len(begun(site, kept)[0].articles) == 31 + 24


def test_one_of_another_catalogue_encoder_or_release_is_passed_over(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = snapshots(tmp_path, site)
    kept.keep(site.scorer.state, least=10)
    assert begun(Site(), snapshots(tmp_path, Site()))[1] is None
    assert begun(site, snapshots(tmp_path, site, encoder="another"))[1] is None
    monkeypatch.setattr(site.catalogue, "newest", lambda: 3)  # a backup has come back
    assert begun(site, kept)[1] is None
    monkeypatch.undo()
    monkeypatch.setattr(snapshot, "__version__", "another")
    assert begun(site, kept)[1] is None and kept.keep(site.scorer.state, least=10)
    assert begun(site, kept)[1] is not None


@pytest.mark.parametrize("file", ["vectors.f16", "entries.msgpack", "texts.ivf", "manifest.json"])
def test_a_damaged_one_is_thrown_away_and_the_one_before_taken(tmp_path: Path, site: Site, file: str) -> None:
    kept = snapshots(tmp_path, site)
    kept.keep(site.scorer.state, least=10)
    for i in range(8):
        site.article(f"new{i}", np.ones(DIM))
    site.scorer.follow()
    kept.keep(site.scorer.state, least=10)
    newest = max(tmp_path.glob("catalogues/*"), key=lambda p: int(p.name.rpartition("-")[2]))
    with (newest / file).open("r+b") as f:
        f.write(b"\x55\x55")
    state, texts = begun(site, kept)
    assert texts is not None and len(state.articles) == 31 and not newest.exists()
    assert kept.keep(site.scorer.state, least=10)  # so a whole one takes its place
    assert len(begun(site, kept)[0].articles) == 39


def test_files_that_mean_nothing_to_this_release_cost_only_time(tmp_path: Path, site: Site) -> None:
    kept = snapshots(tmp_path, site)
    files, about = snapshot.to_files(site.scorer.state)
    registry = Registry(FsspecStore(str(tmp_path)), MemoryPointers())
    kept.keep(site.scorer.state, least=10)
    (name,) = registry.files.folders("catalogues")
    registry.files.delete(f"catalogues/{name}")
    registry.stage("catalogues", name, {**files, "entries.msgpack": b"\x93abc"}, encoder="e", **about)
    state, texts = begun(site, kept)
    assert texts is None and len(state.articles) == 0
    state.sync()
    assert len(state.articles) == 30
