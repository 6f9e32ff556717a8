"""The gate: a new model is published only if it is not worse, on new rows and on old ones.

Both models score the same rows; the paired differences of NDCG@10 are resampled (bootstrap,
Efron 1979), and the low quantile of their mean must lie above -margin: a non-inferiority test.
Rows too few to tell a loss of the margin from none are judged by their mean instead, which may fall by
the margin or by two standard errors, whichever is more: else a small window would refuse nearly every good
model, and what it taught would be lost. (Asking more of that mean refused half of the increments on real
logs, and a stale model cost more than it saved.) They are too few when the quantile lies more than half a
margin below the mean: there one model in twenty that changes nothing falls through, at a whole margin one
in two. On the anchors it is a whole margin all the same: what is forgotten does not come back, and who
waits for the next window loses less.
The holdout says whether the model follows the stream, the anchors whether it forgets. No model has
learned an anchor: each would look best on those that it was itself fitted on, and whatever learns on
would seem to forget. Where slates were logged, rows are judged within them. Losses may not add up: on the
anchors no model may be three margins below the best so far.

Where an average of the learner's weights is published (see `averaging`), a harmful update shows little in
it at first and fully in what follows. So the learner is judged beside it, by the same rows: what learned
labels at random falls by .23 there, by .035 in the average (docs/benchmark.md).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from streamrec.config import Trainer

K = 10
FEW = 30  # fewer rows cannot carry a quantile
SURE = {"holdout": 0.5, "anchors": 1.0}  # margins between a mean and its low quantile, at most
RATCHET = 3.0  # margins that a model may be below the best so far
ERRORS = 2.0  # standard errors that a mean over few rows may fall by
LEARNER = 4.0  # margins that the learner may fall by, if not those: it wavers more than its average
RESAMPLES = 1000
Array = NDArray[Any]


class Compared(NamedTuple):
    """NDCG@10 [n] of the same rows under the old and the new model."""

    old: Array
    new: Array


NONE = Compared(np.zeros(0), np.zeros(0))


class Sets(NamedTuple):
    """The rows held out, and those kept of older eras."""

    holdout: Compared
    anchors: Compared


class Verdict(Struct, frozen=True):
    """Whether to publish, one sentence why, and the numbers."""

    publish: bool
    reason: str
    metrics: dict[str, float]


def ndcg(scores: Array, target: Array) -> Array:
    """NDCG@10 [R] of one relevant candidate, from scores [R, C] (-inf: empty) and its slot [R].

    Ties count half, so a constant score gains nothing by the order of its candidates, and one that is no
    number gains nothing at all.
    """
    chosen = scores[np.arange(len(target)), target][:, None]
    rank = 0.5 + (scores > chosen).sum(axis=1) + 0.5 * (scores == chosen).sum(axis=1)
    gains: Array = np.where((rank <= K) & np.isfinite(chosen[:, 0]), 1.0 / np.log2(1.0 + rank), 0.0)
    return gains


def verdict(
    rows: Sets, settings: Trainer, seed: int, best: Compared = NONE, learner: Sets | None = None
) -> Verdict:
    """Publish if the new model is not inferior on the holdout and on the anchors.

    Under 30 rows, or when chance alone moves their mean by more than half the margin (of anchors, a
    whole one), the mean decides. Without any holdout the answer is no; without anchors the holdout
    decides alone.
    `best`: the anchors that the best model so far has scored too, its NDCG as `old`. `learner`: the same rows
    by its own weights, where an average of them is to be published.
    """
    holdout, anchors = rows
    if not len(holdout.old):
        return Verdict(False, "no held-out rows to judge by: wait for more", {})
    if not settings.gate:
        return Verdict(True, "the gate is off (STREAMREC_TRAINER__GATE)", {})
    margin = settings.margin
    judged = [_judge("holdout", holdout, margin, settings.gate_quantile, seed)]
    if len(anchors.old):
        judged.append(_judge("anchors", anchors, margin, settings.gate_quantile, seed))
    if len(best.old) >= FEW:
        judged.append(_not_far_below(best, anchors, margin))
    reasons = [why for _, why, _ in judged]
    if learner:
        judged += [_fallen(name, by, margin) for name, by in learner._asdict().items() if len(by.old)]
    metrics = {k: v for _, _, m in judged for k, v in m.items()}
    failed = [why for ok, why, _ in judged if not ok]
    reason = "; ".join(failed or reasons)
    return Verdict(not failed, reason, metrics)


def _judge(
    name: str, rows: Compared, margin: float, quantile: float, seed: int
) -> tuple[bool, str, dict[str, float]]:
    diff, n = rows.new - rows.old, len(rows.old)
    mean, low = float(diff.mean()), lower_bound(diff, quantile, seed)
    few = n < FEW or mean - low > SURE[name] * margin
    ok = mean >= -_slack(diff, margin) if few else low > -margin
    sure = f"{n} rows, too few to be sure" if few else f"{n} rows, at least {low:+.4f}"
    so = "not worse" if ok else "worse" if few else f"may lose over {margin:g}"
    why = f"{name} NDCG@10 {mean:+.4f} on {sure}: {so}"
    return ok, why, {
        f"{name}_ndcg_old": float(rows.old.mean()), f"{name}_ndcg_new": float(rows.new.mean()),
        f"{name}_lower": low, f"{name}_rows": float(n),
    }


def _fallen(name: str, rows: Compared, margin: float) -> tuple[bool, str, dict[str, float]]:
    diff = rows.new - rows.old
    mean = float(diff.mean())
    ok = mean >= -_slack(diff, LEARNER * margin)
    why = f"{name} NDCG@10 {mean:+.4f} on {len(diff)} rows by the learner's own weights"
    return ok, why, {f"{name}_ndcg_learner": float(rows.new.mean())}


def _slack(diff: Array, least: float) -> float:
    """By how much the mean of differences [n] may fall."""
    return max(least, ERRORS * float(diff.std()) / math.sqrt(len(diff)))


def _not_far_below(
    best: Compared, anchors: Compared, margin: float
) -> tuple[bool, str, dict[str, float]]:
    """A model that is better on the anchors than its parent is on its way back: it may pass."""
    gap = float((best.new - best.old).mean())
    ok = gap >= -RATCHET * margin or float((anchors.new - anchors.old).mean()) > 0.0
    why = f"anchors NDCG@10 {gap:+.4f} against the best model so far: "
    return ok, why + ("near it" if ok else f"over {RATCHET * margin:g} below"), {"anchors_best_gap": gap}


def lower_bound(diff: Array, quantile: float, seed: int) -> float:
    """Quantile of the bootstrap distribution of the mean of `diff` [n]."""
    rng = np.random.default_rng(seed)
    means = [diff[rng.integers(len(diff), size=len(diff))].mean() for _ in range(RESAMPLES)]
    return float(np.quantile(means, quantile))
