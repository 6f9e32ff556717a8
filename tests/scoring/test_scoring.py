"""What an answer promises, on the shipped memory adapters and a real network."""

from collections import Counter

import numpy as np
import pytest
import torch
from scoring_site import DIM, NOW, Site, ids

from streamrec.adapters.memory import MemoryCatalogue
from streamrec.catalogue import Changes
from streamrec.config import Buffer, Model
from streamrec.errors import RetryLater
from streamrec.learning.examples import count
from streamrec.model import co_reads
from streamrec.model.counters import Counters
from streamrec.model.features import PARTS, all_features
from streamrec.model.network import Recommender
from streamrec.model.words import Words
from streamrec.scoring import Served, ServingState
from streamrec.scoring.batch import Batch, Reader


def test_what_was_read_or_dismissed_is_left_out() -> None:
    site = Site()
    site.announce(6)
    site.event("u", "a1")
    site.event("u", "a2", "dismiss")
    assert set(ids(site.answer("u", 10))) == {"a0", "a3", "a4", "a5"}
    assert set(ids(site.answer("other", 10))) == {f"a{i}" for i in range(6)}


def test_a_reader_never_seen_gets_an_answer_and_no_claim_about_what_they_read() -> None:
    site = Site()
    site.announce(6)
    site.event("somebody", "a3")
    answer = site.answer("nobody")
    assert ids(answer)[0] == "a3" and answer.state_at is None and answer.error is None
    assert all("you read" not in i.reason for i in answer.items)


def test_with_nothing_to_recommend_the_answer_says_why() -> None:
    answer = Site().answer("u")
    assert answer.items == [] and "no article" in answer.error


def test_a_tombstone_is_gone_from_the_next_answer_and_a_new_article_is_in_it() -> None:
    site = Site()
    site.announce(3)
    assert "a1" in ids(site.answer("u"))
    site.catalogue.remove(["a1"])
    site.announce(1, first=9)
    assert "a1" not in ids(site.answer("u")) and "a9" in ids(site.answer("u"))


def test_what_others_read_next_rises() -> None:
    site = Site(duplicate=1.01)
    site.announce(8, vector=np.ones(DIM))  # all texts alike
    for user in ("x", "y", "z"):
        site.event(user, "a1")
        site.event(user, "a5")
        site.event(f"{user} too", "a6")  # as popular as a5, but not after a1
    site.event("u", "a1")
    score = {i.item_id: i.score for i in site.answer("u", 8).items}
    assert score["a5"] > score["a6"] > score["a0"]
    score = {i.item_id: i.score for i in site.answer("nobody", 8).items}
    assert score["a5"] == pytest.approx(score["a6"])


def test_what_is_read_together_is_the_same_for_trainer_and_scorer() -> None:
    """With dismissals between the reads; for a scorer that followed from the start, and one that starts
    from what a version brought, having counted some of it before."""
    site, rng = Site(), np.random.default_rng(3)
    site.announce(60)
    starting = ServingState(site.buffer, site.catalogue, Buffer(), DIM)
    for k in range(400):
        site.event(f"u{k % 8}", f"a{rng.integers(60)}", "dismiss" if k % 3 == 1 else "click", NOW + k)
        if k == 40:
            starting.sync()
    site.scorer.follow()
    walked = Counters(Buffer())
    for p, _, row in site.buffer.window({}, 999):
        count(walked, p, row)
    starting.adopt(co_reads.from_files(co_reads.to_files(walked)), site.buffer.rows_total())
    starting.sync()
    ours = site.scorer.state
    site.event("u1", "a60", at=NOW + 400)
    history = site.buffer.window({0: site.buffer.rows_total()[0] - 1}, 1)[0].row.history
    known = [i for i in walked.ids if i in ours.articles.index]
    of_trainer = all_features(walked, ours.now(), np.array([walked.index[i] for i in known]),
                              [walked.index[i] for i in history], np.zeros((len(walked), DIM)), Words())
    reader = Reader([r for r in site.buffer.histories(["u1"])["u1"] if r.item != "a60"])
    assert any(r.kind == "dismiss" for r in reader.history[:5]) and len(reader.history) > 20
    for state in (ours, starting):
        site.scorer.live.cover(state.articles.vectors)
        batch = Batch(state, site.scorer.live, [reader], False, 200)
        found = batch.features(0, np.array([state.articles.index[i] for i in known]))
        assert np.allclose(found[:, PARTS["co_read"]], of_trainer[:, PARTS["co_read"]], atol=1e-5)
    assert (of_trainer[:, PARTS["co_read"]] > 0).any(axis=0).all()


def test_scores_are_those_of_the_network_on_the_full_features() -> None:
    site = Site()
    site.announce(20)
    for k in range(12):
        site.event(f"u{k % 4}", f"a{k}", at=NOW + k)
    answer = site.answer("u1", 20)
    state, net = site.scorer.state, site.scorer.live.net
    history = [r.item for r in site.buffer.histories(["u1"])["u1"]]
    rows = [state.articles.index[i] for i in history]
    text = state.articles.vectors, state.words
    feats = all_features(state.counters, state.now(), np.arange(20), rows, *text)
    with torch.no_grad():
        articles = net.articles(torch.from_numpy(state.articles.vectors.astype(np.float32)))
        reader = net.readers(articles[rows][None], torch.ones(1, len(rows), dtype=torch.bool))
        want = net.score(reader, articles, torch.from_numpy(feats)[None])[0].numpy()
    for item in answer.items:
        assert item.score == pytest.approx(want[state.articles.index[item.item_id]], abs=1e-4)


def test_a_long_list_is_not_cut_by_the_depth_of_the_second_stage() -> None:
    site = Site(rerank=5)
    site.announce(60)
    assert len(ids(site.answer("u", 50))) == 50


def test_propensities_are_the_true_chances_of_the_exploring_place() -> None:
    site = Site(explore=0.2)
    site.announce(14)
    drawn: Counter[str] = Counter()
    for _ in range(600):
        answer = site.answer("u", 5)
        assert [i.propensity for i in answer.items[:4]] == [1.0] * 4
        assert answer.items[4].propensity == pytest.approx(1 / 10)
        drawn[answer.items[4].item_id] += 1
    assert len(drawn) == 10 and all(30 < n < 95 for n in drawn.values())


def test_control_arms_answer_under_their_own_name() -> None:
    site = Site(explore=0.5)
    site.announce(6)
    site.event("x", "a4")
    site.scorer.swap(Served("7", Recommender.initial(DIM, Model())))
    assert site.answer("u", 5, "live").version == "7"
    assert site.answer("u", 5, "frozen").version == "0"
    popular = site.answer("u", 5, "popularity")
    assert ids(popular)[0] == "a4" and all(i.propensity == 1.0 for i in popular.items)


def test_the_frozen_version_knows_the_articles_that_came_after_it() -> None:
    site = Site()
    site.announce(3)
    site.scorer.follow()
    site.scorer.swap(Served("7", Recommender.initial(DIM, Model())))
    site.announce(1, first=9)
    assert "a9" in ids(site.answer("u", 9, "frozen"))


class Blinking(MemoryCatalogue):
    """A catalogue whose server goes away at the second page of changes."""

    away = False

    def changes(self, since: int, limit: int = 2000) -> Changes:
        if self.away and since > 0:
            raise RetryLater("away")
        return super().changes(since, limit)


def test_a_blip_while_following_the_catalogue_mixes_up_no_articles() -> None:
    site = Site(Blinking(DIM))
    site.catalogue.away = True
    site.announce(4)
    with pytest.raises(RetryLater):
        site.scorer.follow()
    site.catalogue.away = False
    site.event("x", "unknown")
    site.announce(3, first=10)
    site.scorer.follow()
    state = site.scorer.state
    assert state.counters.ids == [e.item_id for e in state.articles.entries]
    assert not np.isnan(state.counters.published_at[: len(state.articles)][state.articles.live]).any()


def test_a_vector_filled_during_a_blip_is_served_after_it() -> None:
    site = Site(Blinking(DIM))
    site.announce(2)
    site.scorer.follow()
    site.announce(1, vector=np.ones(DIM), first=1)
    site.buffer.popularity = lambda since: (_ for _ in ()).throw(RetryLater("away"))  # type: ignore[method-assign]
    with pytest.raises(RetryLater):
        site.scorer.follow()
    del site.buffer.popularity
    site.scorer.follow()
    row = site.scorer.live.matrix[site.scorer.state.articles.index["a1"]]
    assert torch.allclose(row, torch.ones(DIM) / DIM**0.5, atol=1e-2)


def test_time_is_the_streams_own() -> None:
    site = Site()
    site.announce(2)
    site.event("x", "a0", at=NOW - 5e7)
    site.scorer.follow()
    assert site.scorer.state.now() == NOW - 5e7
