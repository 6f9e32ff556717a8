"""The figures of one arm; docs/benchmark.md says what each means."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.evaluation import metrics
from streamrec.evaluation.runs import MEASURES, ArmRuns
from streamrec.evaluation.unit import TOP

SEED = 0  # of the bootstrap
INTERVALS = ("hr10", "ndcg10")


def quality(arm: ArmRuns) -> dict[str, Any]:
    """Means over the reported windows, with their intervals and their spread over seeds."""
    at = arm.reported
    out: dict[str, Any] = {m: arm.mean(m, at) for m in MEASURES}
    out["ci"] = {
        m: list(metrics.crossed_interval(arm.values[m][at], arm.users[at], arm.window[at], SEED))
        for m in INTERVALS
    }
    out["sd"] = {m: float(np.std([s[m][at].mean() for s in arm.by_seed], ddof=1)) for m in INTERVALS} \
        if len(arm.runs) > 1 else None
    return out | {"tuning_ndcg10": arm.mean("ndcg10", ~at), "seeds": len(arm.runs)}


def versus(arm: ArmRuns, default: ArmRuns) -> dict[str, Any]:
    """The default's lead over this arm, event by event. `real`: the interval of the lead holds no 0, in what
    the log tells best (`by`): the true appeal of lists, the AUC within slates that were shown, or NDCG@10."""
    pairs = {m: (default.values[m], arm.values[m]) for m in INTERVALS}
    pairs |= {"auc": (default.auc, arm.auc), "appeal": (default.appeal, arm.appeal)}
    found: dict[str, Any] = {}
    for m, (ours, theirs) in pairs.items():
        at = arm.reported & ~np.isnan(ours) & ~np.isnan(theirs)
        if at.any() or m in INTERVALS:
            pair = ours[at], theirs[at]
            found[m] = list(metrics.difference(*pair, arm.users[at], SEED, windows=arm.window[at]))
    by = next((m for m in ("appeal", "auc") if m in found), "ndcg10")
    _, low, high = found[by]
    return found | {"by": by, "real": bool(low > 0 or high < 0)}


def slices(arm: ArmRuns) -> dict[str, Any]:
    """Quality on some kinds of questions."""
    decile = np.array(arm.rows["decile"])
    flags = ("cold_article", "new_reader", "dormant")
    cold, new, dormant = (np.array(arm.rows[n], dtype=bool) for n in flags)
    where = {"cold articles": cold, "warm articles": ~cold, "new readers": new, "returning readers": ~new,
             "dormant or recurring": dormant}
    where |= {f"popularity decile {d + 1}": decile == d for d in range(10)}
    found = {}
    for name, rows in where.items():
        at = arm.reported & rows
        found[name] = {"n": int(at.sum())} | {m: arm.mean(m, at) for m in INTERVALS}
    return found


def repeats(arm: ArmRuns) -> dict[str, Any]:
    """Quality on a sample of reads of what the reader had read before, where all that is published is a
    candidate: in none of the other figures."""
    ranks = arm.repeats()
    return {"n": len(ranks), "hr10": _known(metrics.hr(ranks)), "ndcg10": _known(metrics.ndcg(ranks))}


def by_window(arm: ArmRuns) -> list[dict[str, Any]]:
    """The curve over windows."""
    found = []
    for w in np.unique(arm.window):
        at = arm.window == w
        found.append({"index": int(w), "n": int(at.sum())} | {m: arm.mean(m, at) for m in MEASURES})
    return found


def cost(arm: ArmRuns, joint: ArmRuns | None) -> dict[str, Any]:
    """What all increments took, and its share of a full retrain at every window."""
    seconds, steps, tokens = arm.increments().tolist()
    theirs = joint.increments().tolist() if joint else None
    return {
        "seconds": seconds, "steps": int(steps), "tokens": int(tokens),
        "bootstrap_seconds": float(np.mean([r["costs"][0][0] for r in arm.runs])),
        "peak_mb": float(max(r["peak_mb"] for r in arm.runs)),
        "cost_ratio": _ratio(seconds, theirs[0]) if theirs else None,
        "cost_ratio_steps": _ratio(steps, theirs[1]) if theirs else None,
    }


def _ratio(ours: float, theirs: float) -> float | None:
    """None where the full retrain took nothing: it had no rows to learn."""
    return ours / theirs if theirs else None


def memory(arm: ArmRuns, joint: ArmRuns | None) -> dict[str, Any]:
    """R of HR@10, and what follows from it, as shares: 0.005 is half a point. Where slates were logged, the
    AUC within them tells forgetting from no longer ranking first what the site used to show."""
    whole, dormant = arm.matrix(), arm.matrix("matrix_dormant")
    if whole is None or dormant is None:
        return {"R": None}
    r, theirs = whole[:, :, 0], joint.matrix() if joint else None
    return {
        "R": r.tolist(), "forgetting": metrics.forgetting(r),
        "backward_transfer": metrics.backward_transfer(r),
        "forgetting_ndcg10": metrics.forgetting(whole[:, :, 1]),
        "forgetting_dormant": metrics.forgetting(dormant[:, :, 0]),
        "forgetting_auc": metrics.forgetting(whole[:, :, 2]),
        "backward_transfer_auc": metrics.backward_transfer(whole[:, :, 2]),
        "intransigence": None if theirs is None else metrics.intransigence(r, np.diag(theirs[:, :, 0])),
    }


def lists(arm: ArmRuns) -> dict[str, float | None]:
    """What the lists of the reported events hold: coverage, Gini of exposure, variety, and novelty in bits,
    of first reads as they stand at the end of the log."""
    shown = arm.column("top", int).reshape(-1, TOP).ravel()
    shown, totals = shown[shown >= 0], np.array(arm.runs[0]["totals"])
    exposure = np.bincount(shown, minlength=len(totals))
    return {"coverage": metrics.coverage(exposure, len(totals)), "gini": metrics.gini(exposure),
            "novelty": metrics.novelty(totals[shown], int(totals.sum()), len(totals)),
            "variety": _known(arm.column("variety", float))}


def trust(arm: ArmRuns) -> dict[str, Any]:
    """Calibration, where scores are logits (of our own model); AUC, where slates were logged; the true
    appeal of lists, where it is known."""
    sure, hit = arm.column("confidence", float), arm.ranks[0][arm.reported] == 1.0
    shown = {"auc": _known(arm.auc[arm.reported]), "appeal": _known(arm.appeal[arm.reported])}
    judged = {name: sum(r[name] for r in arm.runs) for name in ("published", "refused")}
    known = ~np.isnan(sure)
    ece = metrics.calibration(sure[known], hit[known]) if known.any() else None
    return {"calibration": ece} | shown | judged


def _known(values: NDArray[np.float64]) -> float | None:
    """The mean of what is known; None if nothing is."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None
