"""What a catalogue too large to be multiplied whole promises: nearly the same lists, and what is new at
once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scoring_site import NOW, Site, ids

from streamrec.catalogue import Entry
from streamrec.config import Model
from streamrec.events import Filters, Match, Rule
from streamrec.model.features import FEATURES
from streamrec.model.network import Recommender
from streamrec.scoring import Ask, Served
from streamrec.scoring.index import PROBES, RECALL, Index, Search
from streamrec.scoring.served import STALE

WIDE, N, EXACT = 32, 15_000, 1000
topics = np.random.default_rng(4).normal(size=(40, WIDE))


def texts(n: int, of: Any = None, seed: int = 5) -> Any:
    """[n, WIDE] float16 of norm 1 around 40 topics, or one."""
    rng = np.random.default_rng(seed)
    chosen = topics[rng.integers(0, 40, n)] if of is None else np.tile(topics[of], (n, 1))
    found = chosen + 0.7 * rng.normal(size=(n, WIDE))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


class Large(Site):
    """A site with many articles, put in one go; those of `indexed` versions are searched."""

    def __init__(self, indexed: bool = True, over_texts: bool = True, **more: Any) -> None:
        super().__init__(dim=WIDE, duplicate=1.01, **more)
        self.many(texts(N))
        rng = np.random.default_rng(6)
        for user in range(50):
            for item in rng.integers(0, N, 3):
                self.event(f"u{user}", f"m{item}")
        torch.manual_seed(3)
        net = Recommender.initial(WIDE, Model())
        with torch.no_grad():
            net.head.weight += 0.05 * torch.randn(WIDE, WIDE)
            net.weights[FEATURES.index("popular_short")] = 2.0
        self.served = Served("1", net, exact=EXACT if indexed else 10 * N)
        self.scorer.follow()
        self.scorer.swap(self.served)
        self.scorer.frozen = self.served
        if indexed:
            assert self.served.index_due
            articles, readers = self.scorer.state.articles, rng.integers(0, N, (100, 2)).tolist()
            texts_index = Index.over(articles.vectors, articles.cursor) if over_texts else None
            self.served.search = self.served.searched(readers, texts_index)
            assert self.served.search.fit and not self.served.index_due

    def many(self, vectors: Any, prefix: str = "m", tags: Any = ()) -> None:
        """Articles older than all others of these tests."""
        entries = [Entry(f"{prefix}{i}", f"{prefix} {i}", NOW - 1e5 - i, list(tags), "", f"h{prefix}{i}")
                   for i in range(len(vectors))]
        self.catalogue.put(entries, {e.item_id: "text" for e in entries})
        waiting = {o.item_id: o for o in self.catalogue.owed(len(entries))}
        self.catalogue.fill([(waiting[e.item_id], v) for e, v in zip(entries, vectors, strict=True)])


@pytest.mark.parametrize("over_texts", [True, False])
def test_lists_are_nearly_those_of_all_products(over_texts: bool) -> None:
    lists = []
    for site in (Large(over_texts=over_texts), Large(indexed=False)):
        asks = [Ask(f"u{user}", 10) for user in range(50)]
        lists.append([set(ids(answer)) for answer in site.scorer.rank(asks)])
    same = [len(a & b) / 10 for a, b in zip(*lists, strict=True)]
    assert np.mean(same) > 0.97


def test_a_list_does_not_depend_on_who_asks_at_the_same_time() -> None:
    site = Large()
    asks = [Ask(f"u{user}", 10) for user in range(8)]
    together = [ids(answer) for answer in site.scorer.rank(asks)]
    assert together == [ids(site.scorer.rank([ask])[0]) for ask in asks]


def test_what_the_index_does_not_know_yet_is_found_and_what_has_gone_is_not() -> None:
    site = Large()
    site.event("u", "m7")
    near = site.catalogue.changes(0).vectors[7].astype(float)
    first = ids(site.answer("u"))[0]
    site.catalogue.remove([first])
    site.article("late", near, age=3e5)  # as old as can be: its text alone speaks for it
    site.article("m9000", near, age=3e5)  # has changed
    found = ids(site.answer("u", 3))
    assert set(found[:2]) == {"late", "m9000"} and first not in ids(site.answer("u", 100))


def test_what_is_new_or_read_right_now_is_a_candidate_whatever_its_text() -> None:
    site = Large(explore=0.2)
    site.event("u", "m7")
    near = site.catalogue.changes(0).vectors[7].astype(float)
    far = np.roll(near, 1) - np.roll(near, 1) @ near * near
    site.article("new", far, age=1)
    site.article("hot", far, age=3e5)
    for reader in range(1000):
        site.event(f"r{reader}", "hot")
    answer = site.answer("u", 10)
    assert "hot" in ids(answer)
    assert any(item.propensity < 1 for item in answer.items)  # some places explore what is new
    assert ids(site.answer("nobody", 1)) == ids(site.answer("u", 1, "popularity")) == ["hot"]


def test_filters_reach_what_no_index_names() -> None:
    site = Large()
    site.many(-texts(30, of=3), "rare", tags=["rare"])
    site.event("u", "m7")
    assert len(ids(site.answer("u", 30, filters=Filters(tags_all=["rare"])))) == 30
    site.many(texts(12_000), "half", tags=["half"])  # too many to be all scored
    site.scorer.follow()
    state = site.scorer.state
    mask = np.array(["half" in e.tags for e in state.articles.entries])
    search = site.served.searched([[1]])
    rows = search.nearest(site.served.at(np.array([state.articles.index["m7"]]))[0], mask, 200)
    assert len(rows) == 200 and mask[rows].all()
    found = ids(site.answer("u", 20, filters=Filters(tags_all=["half"])))
    assert len(found) == 20 and all(i.startswith("half") for i in found)


def test_an_index_is_made_anew_once_it_misses_much() -> None:
    site = Large()
    site.many(texts(STALE + 1), "more")
    site.scorer.follow()
    assert site.served.index_due
    site.served.search = site.served.searched([[0]])
    assert not site.served.index_due and site.served.search.index.rows == N + STALE + 1


def test_articles_that_change_while_an_index_is_made_are_late() -> None:
    site = Large()
    before, row = site.served.search, site.scorer.state.articles.index["m5"]
    assert before is not None and not len(site.served.late(before).rows)

    def meanwhile() -> list[int]:  # another thread goes on following
        site.article("m5", topics[0])
        site.scorer.follow()
        return []

    made = site.served.searched([[0]], Index.over(site.scorer.state.articles.vectors, 0), meanwhile)
    assert site.served.late(made).rows.tolist() == site.served.late(before).rows.tolist() == [row]
    site.article("m6", topics[0])
    site.scorer.follow()
    assert len(site.served.late(made).rows) == 2


def test_as_many_cells_are_looked_into_as_the_recall_needs() -> None:
    noise = torch.nn.functional.normalize(torch.randn(4000, 64, generator=torch.Generator().manual_seed(1)))
    made = Search(Index.over(noise, 0), 0, np.zeros(0, np.int64))
    made.gauge(noise[:50], noise)
    assert made.recall >= RECALL and made.probes > PROBES[0]
    exact = (noise[:50] @ noise.T).topk(10)[1].numpy()
    found = made.index.find(noise[:50].numpy(), 1, 200)
    assert np.mean([np.isin(e, f).mean() for e, f in zip(exact, found, strict=True)]) < RECALL


def test_an_index_is_the_same_from_its_file(tmp_path: Path) -> None:
    vectors = texts(3000)
    made = Index.over(vectors, 7)
    (tmp_path / "index").write_bytes(made.to_bytes())
    again, queries = Index.of_file(tmp_path / "index", 7), vectors[:20].astype(np.float32)
    assert again.rows == 3000 and np.array_equal(again.find(queries, 8, 50), made.find(queries, 8, 50))


def test_filters_do_not_hide_what_is_popular_among_what_passes() -> None:
    site = Large()
    site.many(texts(3000, seed=8), "half", tags=["half"])  # too many to be all scored
    for reader in range(2):  # seldom, and not among the newest, but no other that passes is read at all
        site.event(f"r{reader}", "half2907")
        site.event(f"s{reader}", "half2909")
    for n in range(700):  # others are read more: no order of all holds the two among its first
        for reader in range(3):
            site.event(f"x{n}/{reader}", f"m{n}")
    some = Filters(tags_all=["half"])
    assert set(ids(site.answer("nobody", 2, "popularity", filters=some))) == {"half2907", "half2909"}
    assert {"half2907", "half2909"} <= set(ids(site.answer("nobody", 5, filters=some)))


def test_few_that_pass_are_found_in_cells_far_from_the_reader() -> None:
    site = Large()
    site.event("u", "m7")
    site.many(-texts(2500, of=int(np.argmax(topics @ site.catalogue.changes(0).vectors[7].astype(float)))),
              "far", tags=["far"])
    site.scorer.follow()
    search = site.served.search = site.served.searched([[1]])
    search.probes = 1
    state = site.scorer.state
    mask = np.array(["far" in e.tags for e in state.articles.entries])
    reader = site.served.at(np.array([state.articles.index["m7"]]))[0]
    assert len(search.nearest(reader, mask, 200)) == 200
    assert len(ids(site.answer("u", 50, filters=Filters(tags_all=["far"])))) == 50


def test_a_late_article_is_found_behind_many_that_do_not_pass() -> None:
    site = Large()
    site.event("u", "m7")
    near = site.catalogue.changes(0).vectors[7]
    site.many(np.tile(near, (3000, 1)), "late", tags=["x"])
    site.article("only", near.astype(float), age=3e5)
    assert "only" in ids(site.answer("u", 5, filters=Filters(tags_none=["x"])))


def test_what_editors_boost_is_a_candidate() -> None:
    site = Large()
    site.event("u", "m7")
    far = site.catalogue.changes(0).vectors
    item = f"m{int(np.argmin(far.astype(float) @ far[7].astype(float)))}"
    site.scorer.rules.replace([Rule(rule_id="r", action="boost", factor=1e9, match=Match(item_ids=[item]))])
    answer = site.answer("u", 5)
    assert ids(answer)[0] == item and list(answer.rules) == ["r"]


def test_readers_of_texts_that_nobody_has_encoded_yet_say_nothing_of_an_index() -> None:
    site = Large()
    site.catalogue.put([Entry("blank", "blank", NOW, [], "", "h")], {})
    site.scorer.follow()
    blank = site.scorer.state.articles.index["blank"]
    found = site.served.searched([[blank]] * 50 + [[n] for n in range(100)])
    assert found.fit
    assert not site.served.searched([[blank]]).fit  # nothing was measured
