"""Ways to explore: their chances are what they say, and the comparison runs; see exploring."""

import numpy as np
import pytest

from streamrec.config import Model
from streamrec.model.network import Recommender
from tests.benchmarks import exploring
from tests.benchmarks.exploring_policies import POLICIES, Thompson, fitted, greatest
from tests.benchmarks.exploring_site import Run, Sizes

SMALL = Sizes(articles=120, readers=40, warm=60, visits=60)


def bag(texts):
    """Vectors [n, 64] of words."""
    found = np.zeros((len(texts), 64), np.float16)
    for i, text in enumerate(texts):
        for word in text.lower().split():
            found[i, sum(map(ord, word)) % 64] += 1
    return (found / np.linalg.norm(found.astype(float), axis=1, keepdims=True)).astype(np.float16)


def test_chances_of_the_greatest_draw_are_those_of_draws() -> None:
    hits, misses = np.array([0.3, 0.5, 2.0, 3.0, 8.0]), np.array([10.0, 30.0, 20.0, 40.0, 90.0])
    draws = np.random.default_rng(0).beta(hits, misses, (200_000, 5)).argmax(axis=1)
    assert greatest(hits, misses) == pytest.approx(np.bincount(draws, minlength=5) / len(draws), abs=0.005)


def test_thompson_goes_to_what_is_clicked_and_leaves_what_is_not() -> None:
    rows, scores = np.arange(5), np.zeros(5, np.float32)
    policy = Thompson()
    assert policy.chances(rows, scores) == pytest.approx(np.full(5, 0.2))
    for k in range(30):
        policy.told(0, k % 4 == 0)
        policy.told(1, False)
    chances = policy.chances(rows, scores)
    assert chances.sum() == pytest.approx(1) and chances[0] > 0.4 and chances[1] < 0.1 < chances[2]


def test_a_content_prior_learns_the_rate_of_a_score() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 2, 20_000)
    log = np.stack([scores, rng.random(20_000) < 1 / (1 + np.exp(3 - 0.8 * scores))], axis=1)
    assert fitted(log) == pytest.approx([-3.0, 0.8], abs=0.1)


def test_the_comparison_runs_and_tells_differences_to_what_is_shipped() -> None:
    found = exploring.compare(1, list(POLICIES), SMALL, bag, 64)
    assert set(found) == set(POLICIES) and all(0 < of["clicks"] < 3 for of in found.values())
    rows = exploring.table([found, found]).splitlines()
    assert len(rows) == 2 + len(POLICIES)
    assert "+0.0000" in exploring.table([{"shipped": found["none"], "none": found["none"]}])


@pytest.mark.parametrize("name", ["none", "Thompson"])
def test_what_is_explored_is_told_and_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMREC_SCORER__EXPLORE_TIMES", "3")
    run = Run(name, SMALL.world(1), SMALL, bag, 64)
    run.go(Recommender.initial(64, Model()))
    assert len(run.found["clicks"]) == SMALL.visits
    assert len(run.found["propensity"]) == (0 if name == "none" else SMALL.visits)
    assert max(run.scorer._slates._explorer._given) == 3
