"""The oracle of a simulated log: ranks by the truth that only the site knows."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from streamrec.demo.log import DAYS, START, load
from streamrec.events import Feedback


class Oracle:
    """See streamrec.evaluation.arm.Recommender. What remains between it and 1 is chance: which of the
    articles that a reader wants they are shown, and open."""

    def __init__(self, folder: Path) -> None:
        self._world = load(folder)
        self._read: dict[str, set[str]] = defaultdict(set)

    def observe(self, event: Feedback) -> None:
        """See Recommender."""
        if event.item_id:
            self._read[event.user_id].add(event.item_id)

    def recommend(self, user: str, t: float, n: int) -> list[str]:
        """See Recommender."""
        progress = _progress(t)
        items = [i for i in self._world.released(progress) if i not in self._read[user]]
        appeal = self._world.relevance(user, items, progress)
        return [items[i] for i in np.argsort(-appeal, kind="stable")[:n]]

    def score(self, user: str, t: float, items: list[str]) -> list[float]:
        """See Recommender."""
        found: list[float] = self._world.relevance(user, items, _progress(t)).tolist()
        return found


def _progress(t: float) -> float:
    return (t - START) / DAYS / 86_400.0
