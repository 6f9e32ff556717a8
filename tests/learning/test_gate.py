from dataclasses import replace

import numpy as np
import pytest

from streamrec.config import Buffer, Trainer
from streamrec.learning.examples import blank
from streamrec.learning.gate import NONE, Compared, Sets, ndcg, verdict
from streamrec.learning.state import TrainerState

RNG = np.random.default_rng(0)
GOOD = RNG.random(300)


def judge(holdout, anchors=NONE, best=NONE, learner=None):
    return verdict(Sets(holdout, anchors), Trainer(), 0, best, learner)


def test_an_equal_model_is_published():
    assert judge(Compared(GOOD, GOOD), Compared(GOOD, GOOD)).publish


def test_a_model_that_forgot_the_anchors_is_refused_and_the_reason_says_so():
    found = judge(Compared(GOOD, GOOD + 0.1), Compared(GOOD, GOOD - 0.05))
    assert not found.publish
    assert found.reason.startswith("anchors") and "holdout" not in found.reason
    assert found.metrics["anchors_ndcg_new"] < found.metrics["anchors_ndcg_old"]


def test_a_model_worse_on_new_rows_is_refused():
    assert not judge(Compared(GOOD, GOOD - 0.05), Compared(GOOD, GOOD)).publish


def test_a_loss_under_the_margin_is_refused_where_rows_suffice_to_see_it():
    noise = RNG.normal(0.0, 0.04, 300)
    noise -= noise.mean() + 0.007
    found = judge(Compared(GOOD, GOOD + noise))
    assert not found.publish and found.metrics["holdout_lower"] < -0.01


@pytest.mark.parametrize("rows", [300, 600, 1200, 2500])
def test_a_model_that_changes_nothing_seldom_falls_through_however_many_rows_there_are(rows):
    rng, good = np.random.default_rng(rows), np.full(rows, 0.5)
    passed = sum(judge(Compared(good, good + rng.normal(0.0, 0.15, rows))).publish for _ in range(50))
    assert passed >= 42


@pytest.mark.parametrize("loss, publish", [(0.0, True), (0.1, False)])
def test_rows_that_cannot_resolve_the_margin_are_judged_by_their_mean(loss, publish):
    noise = RNG.normal(0.0, 0.3, 60)
    noise -= noise.mean() + loss
    assert judge(Compared(GOOD[:60], GOOD[:60] + noise)).publish == publish


@pytest.mark.parametrize("loss, publish", [(0.0, True), (0.2, False)])
def test_few_rows_are_judged_by_their_mean_and_said_to_be_few(loss, publish):
    found = judge(Compared(GOOD[:10], GOOD[:10] - loss))
    assert found.publish == publish and "too few" in found.reason


def test_nothing_to_judge_by_is_no():
    found = judge(NONE, Compared(GOOD, GOOD))
    assert not found.publish and "wait" in found.reason


def test_a_gate_that_is_off_lets_any_model_pass_and_says_so():
    found = verdict(Sets(Compared(GOOD, GOOD - 0.5), NONE), Trainer(gate=False), 0)
    assert found.publish and "STREAMREC_TRAINER__GATE" in found.reason


@pytest.mark.parametrize("rows, publish", [(30, False), (29, True)])
def test_a_model_far_below_the_best_is_refused_where_anchors_suffice_to_tell(rows, publish):
    same, far = Compared(GOOD[:rows], GOOD[:rows]), Compared(GOOD[:rows], GOOD[:rows] - 0.05)
    found = judge(Compared(GOOD, GOOD), same, far)
    assert found.publish == publish and ("best model" in found.reason) != publish


def test_ndcg_counts_ties_half_and_cuts_at_ten():
    target = np.array([0, 0, 0])
    scores = np.full((3, 21), -np.inf)
    scores[0, :3] = [3.0, 2.0, 1.0]
    scores[1, :3] = 1.0  # three alike: rank 2
    scores[2] = np.arange(21)  # last of 21
    assert np.allclose(ndcg(scores, target), [1.0, 1 / np.log2(3), 0.0])


def test_scores_that_are_no_numbers_gain_nothing():
    """Every comparison with NaN is false: it would stand before the first."""
    assert ndcg(np.array([[np.nan, 1.0], [np.nan, np.nan]]), np.array([0, 1])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("where", "spread", "loss", "published"), [
    ("holdout", 0.03, 0.008, True), ("holdout", 0.03, 0.012, False),  # two of .004: under the margin
    ("holdout", 0.3, 0.07, True), ("holdout", 0.3, 0.09, False),  # of .039
    ("anchors", 0.3, 0.07, True), ("anchors", 0.3, 0.09, False),  # older eras as well
])
def test_few_rows_are_judged_by_whether_their_mean_falls_by_the_margin_or_two_standard_errors(
    where, spread, loss, published
):
    noise = RNG.normal(0.0, spread, 60)
    noise *= spread / noise.std()
    noise -= noise.mean() + loss
    changed = Compared(GOOD[:60], GOOD[:60] + noise)
    found = judge(**{"holdout": Compared(GOOD, GOOD), where: changed})
    assert found.publish == published and "too few to be sure" in found.reason


@pytest.mark.parametrize(("spread", "loss", "published"), [
    (0.06, 0.03, True), (0.06, 0.05, False),  # two standard errors are .015: four margins decide
    (0.3, 0.07, True), (0.3, 0.09, False),  # two standard errors
])
@pytest.mark.parametrize("where", ["holdout", "anchors"])
def test_a_learner_that_fell_far_is_refused_though_the_average_to_be_published_did_not(
    where, spread, loss, published
):
    noise = RNG.normal(0.0, 1.0, 60)
    noise = spread * (noise - noise.mean()) / noise.std() - loss
    same, few = Compared(GOOD, GOOD), Compared(GOOD[:60], GOOD[:60])
    learner = Sets(few, few)._replace(**{where: Compared(GOOD[:60], GOOD[:60] + noise)})
    found = judge(same, same, learner=learner)
    assert found.publish == published
    assert found.metrics[f"{where}_ndcg_learner"] == pytest.approx(GOOD[:60].mean() - loss)
    assert published or found.reason.startswith(where) and "learner" in found.reason


def test_small_losses_do_not_add_up():
    """Each increment gains a little on its holdout and loses a little on the anchors."""
    state, rng, levels = TrainerState.empty(Buffer()), np.random.default_rng(1), [GOOD]
    anchors = blank(300, 1, 1)
    anchors = replace(anchors, event_ids=tuple(f"e{i}" for i in range(300)))
    state.raise_best(anchors, GOOD)
    for _ in range(20):
        old = levels[-1]
        new = old - 0.009 + 0.001 * rng.normal(size=300)
        best = Compared(np.array([state.best[e] for e in anchors.event_ids]), new)
        if judge(Compared(GOOD, GOOD), Compared(old, new), best).publish:
            state.raise_best(anchors, new)
            levels.append(new)
    assert len(levels) == 4 and GOOD.mean() - levels[-1].mean() < 0.03
    low, back = GOOD - 0.2, GOOD - 0.1  # far below the best, but better than its parent
    assert judge(Compared(GOOD, GOOD), Compared(low, back), Compared(GOOD, back)).publish
    state.raise_best(anchors, GOOD + 0.01)
    assert np.allclose(list(state.best.values()), GOOD + 0.01)
