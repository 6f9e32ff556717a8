"""Exploring places: bounded impressions, and chances that are the true ones."""

from collections import Counter

import numpy as np
import pytest
from scoring_site import DIM, Site, ids

from streamrec.scoring.explore import EVEN, Explorer, mixed

CLICKS = np.random.default_rng(3).uniform(0.05, 0.5, 30)


def test_the_chance_of_each_draw_is_the_share_it_is_drawn_with() -> None:
    pool, scores = np.arange(12), np.linspace(-2, 2, 12).astype(np.float32)
    explorer, drawn, told = Explorer(10**9, 1), Counter(), {}
    n = 6000
    for _ in range(n):
        for place, d in enumerate(explorer.draw(pool, scores, 3)):
            drawn[place, d.row] += 1
            told[place, d.row] = d.propensity
    assert len({row for _, row in drawn}) == 12
    for key, chance in told.items():
        assert drawn[key] / n == pytest.approx(chance, abs=4 * (chance * (1 - chance) / n) ** 0.5)
    for place in range(3):
        assert sum(c for (p, _), c in told.items() if p == place) == pytest.approx(1.0)


def test_no_article_has_no_chance_and_better_ones_have_more() -> None:
    chances = mixed(np.array([0.0, 1.0, 9.0], np.float32))
    assert chances.sum() == pytest.approx(1) and (chances >= EVEN / 3).all() and (np.diff(chances) > 0).all()


def test_an_article_is_explored_so_often_and_no_more() -> None:
    site = Site(explore=0.2, explore_times=7)
    site.announce(8)
    given = Counter(i.item_id for _ in range(60) for i in site.answer("u", 5).items if i.propensity < 1)
    assert max(given.values()) == 7
    assert len(ids(site.answer("u", 5))) >= 4


def test_inverse_propensities_estimate_a_policy_without_bias() -> None:
    """The click rate of "always the first of each pool", from what another policy has shown."""
    pool, scores = np.arange(30), np.random.default_rng(5).normal(size=30).astype(np.float32)
    rng, explorer = np.random.default_rng(0), Explorer(10**9, 2)
    estimates = []
    for _ in range(8000):
        for place, d in enumerate(explorer.draw(pool, scores, 2)):
            click = rng.random() < CLICKS[d.row]
            estimates.append(click / d.propensity if d.row == place else 0.0)
    truth = CLICKS[:2].mean()
    error = np.std(estimates) / len(estimates) ** 0.5
    assert abs(np.mean(estimates) - truth) < 3 * error and error < truth / 4


def test_the_newest_are_explored_first() -> None:
    site = Site(explore=0.5)
    for i in range(150):
        site.article(f"a{i}", np.eye(DIM)[i % DIM] + 0.1 * np.random.default_rng(i).normal(size=DIM), age=i)
    explored = {i.item_id for _ in range(100) for i in site.answer("u", 4).items if i.propensity < 1}
    assert explored <= {f"a{i}" for i in range(104)} and len(explored) > 40
