"""The nightly retrain learns an order, the same for the same seed, and knows what it cannot know."""

import numpy as np
import pytest
from tiny_site import HOUR, TinySite

from streamrec.evaluation.heuristics import Popular
from streamrec.evaluation.sasrec import LENGTH, SasRec, Sequences

ARTICLES = 12


def cycle(*arms, readers=60, length=6, seed=0):
    """Each reader goes round the articles from anywhere: a0, a1, ..., so what is next is certain."""
    site, rng = TinySite(*arms), np.random.default_rng(seed)
    for i in range(ARTICLES):
        site.announce(f"a{i}")
    starts = rng.integers(ARTICLES, size=readers)
    for step in range(length):
        for reader, start in enumerate(starts):
            site.event(f"u{reader}", f"a{(start + step) % ARTICLES}", 60 * step + reader / 100)
    return site


def hits(site, arm, readers=30):
    """Share of new readers whose next article comes first."""
    found = 0
    for n in range(readers):
        for step in range(3):
            site.event(f"new{n}", f"a{(n + step) % ARTICLES}", 1000 + n)
        found += site.order(arm, f"new{n}")[0] == f"a{(n + 3) % ARTICLES}"
    return found / readers


def test_a_planted_transition_is_learned_which_popularity_cannot():
    arm, popular = SasRec(1), Popular(HOUR)
    site = cycle(arm, popular)
    cost = site.learn()[0]
    assert cost.steps > 0 and cost.tokens > 0 and cost.seconds > 0
    assert hits(site, arm) > 0.9 and hits(site, popular) < 0.3


def test_the_same_seed_gives_the_same_scores_and_torch_is_left_alone():
    import torch

    def trained(seed):
        arm = SasRec(seed)
        site = cycle(arm, readers=20)
        site.learn()
        site.event("me", "a1", 999)
        return arm.scores(site.moment("me", HOUR))

    state = torch.get_rng_state()
    first, again, other = trained(1), trained(1), trained(2)
    assert (first == again).all() and (first != other).any()
    assert (state == torch.get_rng_state()).all()


def test_what_came_after_the_training_ranks_last_by_popularity_or_is_let_in_by_it():
    ids, mixed = SasRec(1), SasRec(1, popularity=5.0)
    site = cycle(ids, mixed, readers=20)
    site.learn()
    for item in ("new", "newer"):
        site.announce(item, 900)
    for n in range(200):
        site.event(f"v{n}", "newer", 1000)
    site.event("me", "a1", 1001)
    assert site.order(ids, "me")[-2:] == ["newer", "new"]
    assert site.order(mixed, "me")[0] == "newer"
    site.learn()  # the next night
    assert site.order(ids, "me")[-1] == "new"


@pytest.mark.parametrize("known", [False, True])
def test_before_any_training_and_for_a_reader_it_does_not_know_what_is_popular_comes_first(known):
    arm = SasRec(1)
    site = cycle(arm, readers=8)
    for n in range(50):
        site.event(f"v{n}", "a7", 1000)
    if known:
        site.learn()
    assert site.order(arm, "nobody")[0] == "a7"
    site.announce("new")
    site.event("me", "new", 1001)
    assert site.order(arm, "me")[0] == "a7"


def test_nothing_one_reader_and_one_article_can_be_learned_from():
    arm = SasRec(1)
    site = TinySite(arm)
    site.announce("only")
    assert site.learn()[0].steps == 0
    site.event("u", "only", 1)
    assert site.learn()[0].steps == 0 and site.order(arm) == ["only"]
    site.announce("second")
    site.event("u", "second", 2)
    assert site.learn()[0].steps > 0
    assert set(site.order(arm)) == {"only", "second"} and site.order(arm, "u") == []


def test_sequences_have_each_read_once_as_a_target_and_hold_out_the_newest():
    long = list(range(1, 2 * LENGTH + 12))
    cut = Sequences([long, [5, 6]], np.random.default_rng(0))
    targets = cut.targets[cut.targets != 0].tolist()
    assert sorted(targets) == sorted(long[1:] + [6])
    assert cut.inputs[0].tolist() == long[:LENGTH] and cut.targets[0].tolist() == long[1 : LENGTH + 1]
    held = set(cut.targets[cut.held].tolist()) - {6}
    assert held and held == set(long[-len(held) :]) and not (cut.fit & cut.held).any()
