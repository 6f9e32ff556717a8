"""What changes for readers when one version replaces another."""

import numpy as np
import torch

from streamrec.adapters.memory import MemoryBuffer
from streamrec.config import Model
from streamrec.model.network import Recommender
from streamrec.replay import Applied, Claim, digest
from streamrec.scoring import Served
from streamrec.scoring.compare import compare
from tests.scoring.scoring_site import DIM, NOW, Site


def site() -> Site:
    s = Site()
    for i in range(40):
        s.article(f"a{i}", np.eye(DIM)[i % 4] + 0.15 * np.random.default_rng(i).normal(size=DIM),
                  tags=[f"topic-{i % 4}"], title=f"Article {i}")
    for u in range(6):
        s.event(f"u{u}", "a0", at=NOW - 5)
    s.scorer.follow()
    return s


def turned(to: int) -> Served:
    """A version whose head lifts one direction of the vectors, whoever asks."""
    net = Recommender.initial(DIM, Model())
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.weight[0, to] = 1.0
    return Served("2", net)


def test_the_same_model_changes_nothing() -> None:
    s = site()
    found = compare(s.scorer, s.scorer.live, s.scorer.live, [f"u{i}" for i in range(6)], 5)
    assert (found.readers, found.n, found.overlap) == (6, 5, 5.0)
    assert found.topics == [] and found.articles == []


class Busy(MemoryBuffer):
    """Whose readers read on while somebody looks."""

    def histories(self, users):
        found = super().histories(users)
        for n, user in enumerate(found):
            at = self.counts().stored
            event_id, item = f"b{at}", f"a{(at + n) % 40}"
            event = Applied(at, digest(event_id), event_id, user, item, "click", NOW, [], 1.0, -0.5)
            self.apply(0, Claim(at, 1), "t", [event], at + 1, NOW)
        return found


def test_what_readers_read_meanwhile_is_no_change_of_the_model() -> None:
    s = site()
    s.buffer.__class__ = Busy
    for _ in range(5):
        found = compare(s.scorer, s.scorer.live, s.scorer.live, [f"u{i}" for i in range(6)], 5)
        assert found.overlap == 5.0 and found.topics == [] and found.articles == []


def test_topics_and_articles_that_gain_places_are_named() -> None:
    s = site()
    found = compare(s.scorer, s.scorer.live, turned(2), [f"u{i}" for i in range(6)], 5)
    assert found.overlap < 2.5 and (found.older, found.newer) == ("0", "2")
    assert all(t.before != t.after for t in found.topics)
    assert abs(sum(t.after - t.before for t in found.topics)) < 1e-9
    assert all(a.title.startswith("Article ") and {a.before, a.after} <= {0, 6} for a in found.articles)


def test_one_look_counts_all_co_reads_at_once() -> None:
    s = site()
    for n in range(2500):  # a worker takes 2,000 rows at a time
        s.event(f"v{n // 5}", f"a{n % 5}")
    s.scorer.catch_up_rows()
    assert s.scorer.state.counted == s.buffer.rows_total() == {0: 2506}


def test_it_serves_on_as_before() -> None:
    s = site()
    live = s.scorer.live
    compare(s.scorer, live, turned(2), ["u1"], 5)
    assert s.scorer.live is live and s.answer("u1").version == "0"
