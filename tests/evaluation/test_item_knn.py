"""Neighbours, worked by hand."""

import math

import pytest
from tiny_site import DAY, HOUR, TinySite

from streamrec.evaluation import item_knn
from streamrec.evaluation.item_knn import ItemKnn, transition


def announced(arm, items="abcdxyz"):
    site = TinySite(arm)
    for item in items:
        site.announce(item)
    return site


def planted(arm):
    """Who reads a reads b; x is read by everybody else."""
    site = announced(arm)
    for n in range(4):
        site.event(f"u{n}", "a", 10 * n)
        site.event(f"u{n}", "b", 10 * n + 1)
    for n in range(20):
        site.event(f"v{n}", "x", 100 + n)
    return site


def test_the_planted_pair_beats_what_is_popular_and_without_neighbours_that_is_served():
    knn = ItemKnn(DAY)
    site = planted(knn)
    site.event("me", "a", 200)
    assert site.order(knn, "me")[:2] == ["b", "x"]
    assert site.order(knn, "nobody")[0] == "x"
    site.event("other", "z", 200)  # which has no neighbour
    assert site.order(knn, "other")[0] == "x"


def test_cosine_with_its_shrinkage():
    knn = ItemKnn(math.inf, shrink=1.0)
    site = planted(knn)
    site.event("me", "a", 200)
    assert site.score(knn, "b", "me") == pytest.approx(4 / math.sqrt((5 + 1) * (4 + 1)), abs=2e-4)


def test_counts_fade_by_half():
    knn = ItemKnn(HOUR, alpha=0.0, beta=0.0)
    site = announced(knn)
    for n, user in enumerate("uv"):
        site.event(user, "a", n * HOUR)
        site.event(user, "b", n * HOUR)
    site.event("me", "a", 2 * HOUR)
    assert site.score(knn, "b", "me", 2 * HOUR) == pytest.approx(1 / 4 + 1 / 2, abs=2e-4)


def test_both_ways_or_onwards_only():
    for directed, want in ((False, 1.0), (True, 0.0)):
        knn = ItemKnn(math.inf, alpha=0.0, beta=0.0, directed=directed)
        site = announced(knn)
        site.event("u", "a", 0)
        site.event("u", "b", 1)
        site.event("me", "b", 2)
        assert site.score(knn, "a", "me") == pytest.approx(want, abs=2e-4)


def test_a_repeat_and_a_dismissal_are_no_new_pair():
    knn = ItemKnn(math.inf, alpha=0.0, beta=0.0)
    site = announced(knn)
    for item, kind in (("a", "click"), ("b", "click"), ("b", "like"), ("a", "read"), ("c", "dismiss")):
        site.event("u", item, 1, kind)
    site.event("me", "a", 2)
    assert site.score(knn, "b", "me") == pytest.approx(1.0, abs=2e-4)
    assert site.score(knn, "c", "me") == pytest.approx(0.0, abs=2e-4)


def test_transition_knows_the_next_read_only():
    chain = transition(math.inf)
    site = announced(chain)
    for n in range(3):
        for k, item in enumerate("abc"):
            site.event(f"u{n}", item, k)
    site.event("me", "a", 9)
    assert site.score(chain, "b", "me") == pytest.approx(3 / 5, abs=2e-4)  # 4 readers, shrunk by 1
    assert site.score(chain, "c", "me") == pytest.approx(0.0, abs=2e-4)


def test_a_short_half_life_survives_years_and_a_late_event():
    knn = ItemKnn(HOUR, alpha=0.0, beta=0.0)
    site = planted(knn)
    for user in "pq":
        site.event(user, "c", 900 * DAY)
        site.event(user, "d", 900 * DAY)
    site.event("late", "c", 5.0)
    site.event("late", "y", 6.0)
    site.event("me", "c", 900 * DAY)
    assert site.score(knn, "d", "me", 900 * DAY) == pytest.approx(2.0, abs=2e-4)
    assert site.order(knn, "me", 900 * DAY)[0] == "d"


def test_the_strongest_neighbours_are_kept(monkeypatch):
    monkeypatch.setattr(item_knn, "KEEP", 2)
    knn = ItemKnn(math.inf)
    site = announced(knn, "abcdexyz")
    for item, readers in (("b", 4), ("c", 3), ("d", 1), ("e", 1), ("x", 1)):
        for n in range(readers):
            site.event(f"{item}{n}", "a", 1)
            site.event(f"{item}{n}", item, 2)
    site.event("me", "a", 3)
    assert site.order(knn, "me")[:2] == ["b", "c"] and site.score(knn, "d", "me") < 1e-3
