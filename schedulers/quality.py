"""An increment as the dashboard and the monitor know it: NDCG@10 of the served model and its controls on
rows not seen yet, and what the new model still knows of each era."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.learning.increment import Outcome
from streamrec.registry import VersionRecord

GAPS = 200  # differences of one increment, at most
CONTROLS = ("frozen", "popularity")


def entry(o: Outcome, records: Sequence[VersionRecord], version: str, now: float, why: str) -> dict[str, Any]:
    """The board's entry. `ndcg`: arm -> mean, low, high (95 %); `gaps`: per row, live minus the best
    control; `eras`: version of their time, rows, NDCG@10 of the new model; `behind_s`: age of the
    newest row learned."""
    rows = o.shadows.held_out if o.shadows else {}
    return {
        "at": now, "version": version, "published": o.verdict.publish, "reason": o.verdict.reason,
        "trigger": why, "rows": o.rows, "ndcg": {arm: _mean(x) for arm, x in rows.items() if x},
        "gaps": _gaps(rows), "eras": eras(o.shadows.anchors if o.shadows else [], records),
        "behind_s": round(now - o.learned_until, 1),
    }


def _mean(x: list[float]) -> tuple[float, float, float]:
    mean, error = float(np.mean(x)), 1.96 * float(np.std(x)) / len(x) ** 0.5
    return round(mean, 4), round(mean - error, 4), round(mean + error, 4)


def _gaps(rows: dict[str, list[float]]) -> list[float]:
    controls = [rows[c] for c in CONTROLS if rows.get(c)]
    if not controls or not rows.get("live"):
        return []
    best = _best_elsewhere(np.array(controls, dtype=np.float64))
    return [round(a - b, 3) for a, b in zip(rows["live"], best.tolist(), strict=True)][:GAPS]


def _best_elsewhere(controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row [n] the control that is best on the other half of the rows: chosen on the same it would
    have luck on its side. Takes NDCG@10 [controls, n]."""
    found: NDArray[np.float64] = controls[0].copy()
    turn = np.arange(controls.shape[1]) % 2
    for half in (0, 1):
        other = controls[:, turn != half]
        best = int(other.mean(axis=1).argmax()) if other.size else 0
        found[turn == half] = controls[best, turn == half]
    return found


def eras(
    anchors: Sequence[tuple[float, float]], records: Sequence[VersionRecord]
) -> list[tuple[str, int, float]]:
    """Rows kept of older eras, by the version of their time: name, how many, mean NDCG@10."""
    ends, found = [r.learned_until for r in records], defaultdict(list)
    for ts, gain in anchors:
        at = bisect_left(ends, ts)
        if at < len(ends):
            found[records[at].version].append(gain)
    return [(r.version, len(x), round(float(np.mean(x)), 4)) for r in records if (x := found.get(r.version))]
