"""The runs of one arm, a seed each, with values averaged over seeds event by event."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.evaluation import metrics

Floats = NDArray[np.float64]
Runs = Sequence[Mapping[str, Any]]
MEASURES = ("hr10", "ndcg10", "mrr")


class ArmRuns:
    """What the files of an arm's runs hold, as arrays over the scored events [n]."""

    def __init__(self, runs: Runs, tuning: int) -> None:
        self.runs, self.rows = runs, runs[0]["rows"]
        self.window, self.tuning = np.array(self.rows["window"]), tuning
        self.reported = self.window > tuning
        self.users = np.unique(self.rows["user"], return_inverse=True)[1]
        self.ranks = [np.array(run["rows"]["rank"], dtype=np.float64) for run in runs]
        self.by_seed = [
            {"hr10": metrics.hr(r), "ndcg10": metrics.ndcg(r), "mrr": metrics.mrr(r)} for r in self.ranks
        ]
        self.auc = self._over_seeds("auc")  # NaN where no slate was shown
        self.appeal = self._over_seeds("appeal")  # NaN if the truth is not known
        self.values = {m: np.mean([s[m] for s in self.by_seed], axis=0) for m in MEASURES}

    def _over_seeds(self, name: str) -> Floats:
        found: Floats = np.mean([np.array(r["rows"][name], dtype=np.float64) for r in self.runs], axis=0)
        return found

    def mean(self, measure: str, where: NDArray[Any]) -> float:
        """Over some of the scored events; NaN over none."""
        return float(self.values[measure][where].mean()) if where.any() else float("nan")

    def column(self, name: str, kind: type) -> NDArray[Any]:
        """A column of the first run, of the reported events only."""
        found: NDArray[Any] = np.array(self.rows[name], dtype=kind)[self.reported]
        return found

    def repeats(self) -> Floats:
        """Ranks [n, seeds] of the repeats of the reported windows."""
        found = np.array([run["repeats"] for run in self.runs], dtype=np.float64)
        windows, ranks = np.moveaxis(found.reshape(len(self.runs), -1, 2), -1, 0)
        ranks = ranks[:, windows[0] > self.tuning].T
        return ranks

    def matrix(self, name: str = "matrix") -> Floats | None:
        """R [versions, windows, measures] averaged over seeds; None without versions."""
        kept = [np.array(r[name], dtype=np.float64) for r in self.runs if r[name] is not None]
        found: Floats | None = np.mean(kept, axis=0) if kept else None
        return found

    def increments(self) -> Floats:
        """Mean seconds, steps and tokens [3] of everything after the bootstrap."""
        costs = [np.array(r["costs"][1:], dtype=np.float64).reshape(-1, 3).sum(axis=0) for r in self.runs]
        found: Floats = np.mean(costs, axis=0)
        return found
