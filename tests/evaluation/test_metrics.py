"""Metrics against values worked by hand and against torchmetrics and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_reciprocal_rank,
)

from streamrec.evaluation import metrics as m

INF, NAN = math.inf, math.nan
ALL = np.ones(5, bool)


@pytest.mark.parametrize("scores, target, rank", [
    ([5, 4, 3, 2, 1], 0, 1.0), ([5, 4, 3, 2, 1], 4, 5.0),
    ([1, 1, 1, 1, 1], 2, 3.0),  # a constant gains nothing by the order of its rows
    ([9, 7, 7, 1, 1], 2, 2.5), ([NAN, NAN, 2, NAN, 3], 2, 2.0), ([NAN, -INF, 2, 1, 3], 0, INF),
    ([NAN, -INF, 2, 1, 3], 1, INF), ([1, INF, INF, 1, 1], 1, 1.5), ([1, 1, 1, 1, 1], 7, INF),
    ([1, 1, 1, 1, 1], -1, INF),
])
def test_rank_counts_ties_half_and_puts_nan_last(scores, target, rank):
    assert m.rank_of(np.array(scores, np.float32), ALL, target) == rank


def test_rank_is_among_the_eligible_and_an_article_that_is_not_is_impossible():
    scores, eligible = np.array([5.0, 4.0, 4.0, 4.0, 1.0]), np.array([False, True, False, True, True])
    assert [m.rank_of(scores, eligible, i) for i in range(5)] == [INF, 1.5, INF, 1.5, 3.0]
    assert m.rank_of([], [], 0) == INF


def test_hr_ndcg_mrr_by_hand():
    ranks = np.array([1.0, 2.5, 10.0, 10.5, INF])
    assert m.hr(ranks, 10).tolist() == [1, 1, 1, 0, 0]
    assert np.allclose(m.ndcg(ranks, 10), [1, 1 / np.log2(3.5), 1 / np.log2(11), 0, 0])
    assert m.mrr(ranks).tolist() == [1, 0.4, 0.1, 1 / 10.5, 0]
    assert m.ndcg(ranks, 2).tolist() == [1, 0, 0, 0, 0]
    assert [len(f([])) for f in (m.hr, m.ndcg, m.mrr)] == [0, 0, 0]


@pytest.mark.parametrize("wrong", [[0.0], [NAN], [1.0, 0.5]])
def test_what_is_no_rank_is_refused(wrong):
    with pytest.raises(ValueError, match="1 or more"):
        m.hr(wrong, 10)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_hr_ndcg_mrr_agree_with_torchmetrics(k):
    rng = np.random.default_rng(k)
    for _ in range(20):
        scores, target = rng.random(30), int(rng.integers(30))  # torchmetrics: 0 or less is not retrieved
        rank = m.rank_of(scores, np.ones(30, bool), target)
        preds, truth = torch.from_numpy(scores), torch.arange(30) == target
        assert m.hr([rank], k)[0] == float(retrieval_hit_rate(preds, truth, top_k=k))
        assert np.isclose(m.ndcg([rank], k)[0], float(retrieval_normalized_dcg(preds, truth, top_k=k)))
        assert np.isclose(m.mrr([rank])[0], float(retrieval_reciprocal_rank(preds, truth)))


def test_auc_by_hand_and_as_scikit_learn():
    assert m.auc([3.0, 1.0], [2.0, 1.0]) == (1 + 1 + 0 + 0.5) / 4
    assert m.auc([NAN], [-5.0]) == 0.0 and m.auc([NAN], [NAN]) == 0.5
    assert math.isnan(m.auc([], [1.0])) and math.isnan(m.auc([1.0], []))
    rng = np.random.default_rng(0)
    scores, clicks = rng.integers(0, 8, 60) / 7, rng.random(60) < 0.3
    assert np.isclose(m.auc(scores[clicks], scores[~clicks]), roc_auc_score(clicks, scores))


def test_variety_is_how_little_two_articles_of_a_list_are_alike():
    same, other, none = [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]
    assert m.variety(np.array([same, same, none])) == pytest.approx(0.0)
    assert m.variety(np.array([same, other])) == pytest.approx(1.0)
    assert m.variety(np.array([same, same, other], np.float16)) == pytest.approx(2 / 3)
    assert math.isnan(m.variety(np.array([same, none])))


def test_gini_coverage_novelty_by_hand():
    assert m.gini([4, 4, 4]) == pytest.approx(0.0) and m.gini([0, 0, 0, 8]) == pytest.approx(0.75)
    assert m.gini([1, 3]) == pytest.approx(0.25)  # mean difference 1 over twice the mean 2
    assert math.isnan(m.gini([])) and math.isnan(m.gini([0, 0]))
    assert m.coverage([0, 2, 1, 0], 4) == 0.5 and math.isnan(m.coverage([], 0))
    assert m.novelty([3, 0], 12, 4) == pytest.approx((2 + 4) / 2)  # shares 4/16 and 1/16
    assert m.novelty([1, 1], [6, 14], [2, 2]) == pytest.approx((2 + 3) / 2)
    assert math.isnan(m.novelty([], 0, 0))


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="fewer than 0"):
        m.gini([1, -1])
    with pytest.raises(ValueError, match="catalogue of 1"):
        m.coverage([1, 1], 1)


def test_calibration_by_hand():
    p, y = np.repeat([0.2, 0.8], 50), np.concatenate([np.arange(50) < 10, np.arange(50) < 30])
    assert m.calibration(p, y) == pytest.approx(0.1)  # exact in the first half, .2 off in the second
    order = np.random.default_rng(0).permutation(100)
    assert m.calibration(p[order], y[order]) == pytest.approx(0.1)  # ties do not split by order
    assert m.calibration(np.full(100, 0.4), np.arange(100) % 5 < 2) == pytest.approx(0.0)
    assert m.calibration([0.0, 1.0], [1, 0], bins=10) == 1.0
    assert math.isnan(m.calibration([], []))
    for wrong in ([1.2], [NAN], [0.5, 0.5]):
        with pytest.raises(ValueError, match="probability"):
            m.calibration(wrong, [1])


def test_calibration_of_a_true_model_is_only_noise():
    rng = np.random.default_rng(1)
    p = rng.random(20_000)
    true = m.calibration(p, rng.random(20_000) < p)
    assert true < 0.02 < 0.2 < m.calibration(p, rng.random(20_000) < p**3)


def test_interval_of_single_rows_is_the_textbook_one():
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    low, high = m.interval(values, np.arange(400), seed=1, resamples=4000)
    half = 1.966 * values.std(ddof=1) / 20
    assert np.allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.02)
    assert (low, high) == m.interval(values, np.arange(400), seed=1, resamples=4000)
    narrow = m.interval(values, np.arange(400), seed=1, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_rows_of_one_reader_are_not_independent():
    """100 readers with 10 equal events each say as much as 100 events."""
    values = np.random.default_rng(0).normal(size=100)
    many, readers = np.repeat(values, 10), np.repeat(np.arange(100) * 7 + 3, 10)
    own = m.interval(many, readers, 0)
    assert np.allclose(own, m.interval(values, np.arange(100), 0))
    alone = m.interval(many, np.arange(1000), 0)
    assert (own[1] - own[0]) / (alone[1] - alone[0]) == pytest.approx(math.sqrt(10), rel=0.1)


def width(values, readers, windows=None):
    low, high = (m.interval(values, readers, 0) if windows is None
                 else m.crossed_interval(values, readers, windows, 0, resamples=300))
    assert low <= values.mean() <= high
    return high - low


def test_a_window_s_luck_widens_the_interval_and_pure_noise_hardly():
    """The product of two weights, or readers within windows, would make noise 1.6 times as wide."""
    noise_only, lucky = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        readers, windows = rng.integers(300, size=3000), rng.integers(10, size=3000)
        noise = rng.normal(size=3000)
        luck = noise + rng.normal(size=10)[windows]
        noise_only.append(width(noise, readers, windows) / width(noise, readers))
        lucky.append(width(luck, readers, windows) / width(luck, readers))
    assert 1.0 < np.mean(noise_only) < 1.3 and np.mean(lucky) > 5


def test_crossed_interval_covers_the_truth():
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        readers, windows = rng.integers(100, size=600), rng.integers(10, size=600)
        habits, luck = 0.3 * rng.normal(size=100), 0.1 * rng.normal(size=10)
        values = rng.normal(size=600) + habits[readers] + luck[windows]
        low, high = m.crossed_interval(values, readers, windows, seed, resamples=300)
        hits += low <= 0 <= high
    assert hits >= 54  # 95 % is 57


def test_too_few_clusters_have_no_interval():
    assert np.isnan(m.interval([], [], 0)).all() and np.isnan(m.interval([1.0, 2.0], [4, 4], 0)).all()
    values, one, two = np.array([1.0, 2.0, 3.0, 5.0]), np.zeros(4, int), np.array([0, 0, 1, 1])
    assert np.isnan(m.crossed_interval(values, one, one, 0)).all()
    assert m.crossed_interval(values, two, one, 0) == m.interval(values, two, 0)
    assert m.crossed_interval(values, one, two, 0) == m.interval(values, two, 0)
    assert np.isnan(m.crossed_interval([], [], [], 0)).all() and np.isnan(m.difference([], [], [], 0)).all()


def test_difference_is_paired():
    """A small steady gain is seen though the events differ a hundred times more than the arms."""
    rng = np.random.default_rng(0)
    base, readers, windows = rng.normal(0, 1, 2000), np.arange(2000) % 400, np.arange(2000) // 200
    better = base + 0.01 + rng.normal(0, 0.05, 2000)
    for at in (None, windows):
        mean, low, high = m.difference(better, base, readers, 0, at)
        assert 0 < low < mean < high and mean == pytest.approx((better - base).mean())
    assert m.difference(base, base, readers, 0, windows) == (0.0, 0.0, 0.0)
    mean, low, high = m.difference(base, rng.permutation(base), readers, 0)
    assert low < 0 < high


def test_values_that_cannot_be_paired_or_are_unknown_are_refused():
    with pytest.raises(ValueError, match="same events"):
        m.difference([1.0], [1.0, 2.0], [0], 0)
    with pytest.raises(ValueError, match="one cluster per value"):
        m.interval([1.0, 2.0], [0], 0)
    with pytest.raises(ValueError, match="NaN"):
        m.interval([1.0, NAN], [0, 1], 0)


KNOWN = [  # rises on window 0, then forgets half; learns window 1 late, keeps it
    [0.6, 0.1, 0.0],
    [0.8, 0.5, 0.1],
    [0.4, 0.7, 0.9],
]


def test_a_toy_matrix_with_known_forgetting():
    assert m.backward_transfer(KNOWN) == pytest.approx((-0.2 + 0.2) / 2)
    assert m.forgetting(KNOWN) == pytest.approx(((0.8 - 0.4) + (0.5 - 0.7)) / 2)
    assert m.intransigence(KNOWN, [0.7, 0.5, 0.8]) == pytest.approx((0.1 + 0.0 - 0.1) / 3)


def test_what_a_model_knew_before_its_window_is_not_forgotten():
    """R[i, j] with i < j is transfer forward: it is no quality that was learned and lost."""
    early = [[0.6, 0.99], [0.6, 0.5]]
    assert m.forgetting(early) == pytest.approx(0.0)


def test_unknown_cells_are_left_out():
    unknown = [[0.6, None, None], [None, NAN, 0.2], [0.4, 0.7, 0.9]]  # window 1 was never measured in time
    assert m.forgetting(unknown) == pytest.approx(0.2)
    assert m.backward_transfer(unknown) == pytest.approx(-0.2)
    assert m.intransigence(unknown, [0.7, 0.7, None]) == pytest.approx(0.1)


def test_too_small_a_matrix_says_nothing_and_a_crooked_one_is_refused():
    for nothing in ([], [[0.5]], [[NAN, NAN], [NAN, NAN]]):
        assert math.isnan(m.forgetting(nothing)) and math.isnan(m.backward_transfer(nothing))
    assert math.isnan(m.intransigence([], []))
    for crooked in ([[0.1, 0.2]], [0.1, 0.2]):
        with pytest.raises(ValueError, match="one row per model"):
            m.forgetting(crooked)
    with pytest.raises(ValueError, match="one joint quality"):
        m.intransigence(KNOWN, [0.5])
