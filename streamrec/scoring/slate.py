"""From scores to a slate: what is eligible, what is best, what is explored, and why."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamrec.events import Policy, RankedItem
from streamrec.scoring.batch import Batch, Bools, Floats
from streamrec.scoring.state import ServingState

EXPLORE_POOL = 100  # newest eligible articles that an exploring place draws from


class Ask(NamedTuple):
    """One reader's wish."""

    user: str
    n: int
    policy: Policy = "live"


class Ranked(NamedTuple):
    """One answer: which version made it, from which state of the reader."""

    version: str
    items: list[RankedItem]
    state_at: float | None
    error: str | None


class Slates:
    """Makes slates. The last places explore: each article of the pool is drawn with the same
    chance, which is its propensity; the other places are certain."""

    def __init__(self, state: ServingState, explore: float, seed: int) -> None:
        self._articles, self._explore = state.articles, explore
        self._rng = np.random.default_rng(seed)

    def slate(self, batch: Batch, b: int, scores: Floats, eligible: Bools, ask: Ask) -> Ranked:
        """The answer to reader b of a batch, whose scores [N] and eligible articles are given."""
        history, mask = batch.histories[b], eligible[: len(scores)]
        explore = 0 if batch.popularity else int(round(self._explore * ask.n))
        top = _top(np.where(mask, scores, -np.inf), ask.n - explore, int(mask.sum()))
        drawn, propensity = self._explored(mask, top, explore)
        reasons = batch.reasons(b, top) + ["explores what is new"] * len(drawn)
        chances = [1.0] * len(top) + [propensity] * len(drawn)
        items = self._items([*top, *drawn], scores, chances, reasons)
        return Ranked(
            "popularity" if batch.popularity else batch.served.version, items,
            max((r.ts for r in history), default=None),
            None if items else "no article is live that this reader has not read",
        )

    def _explored(
        self, mask: Bools, taken: Sequence[int], k: int
    ) -> tuple[list[int], float]:
        """k rows drawn evenly from the newest eligible ones not `taken`, and the chance of each
        to stand at its rank."""
        mask = mask.copy()
        mask[list(taken)] = False
        pool = np.flatnonzero(mask)
        if not len(pool) or not k:
            return [], 1.0
        newest = pool[np.argsort(-self._articles.published[pool], kind="stable")[:EXPLORE_POOL]]
        drawn = self._rng.choice(newest, min(k, len(newest)), replace=False)
        return [int(i) for i in drawn], 1.0 / len(newest)

    def _items(
        self, rows: Sequence[int], scores: Floats, chances: Sequence[float], reasons: Sequence[str]
    ) -> list[RankedItem]:
        entries = self._articles.entries
        return [
            RankedItem(
                item_id=entries[i].item_id, title=entries[i].title, rank=k + 1,
                score=float(scores[i]), propensity=chances[k], reason=reasons[k],
            )
            for k, i in enumerate(rows)
        ]


def _top(scores: Floats, n: int, eligible: int) -> list[int]:
    k = min(n, eligible)
    if k <= 0:
        return []
    best = np.argpartition(-scores, k - 1)[:k]
    return [int(i) for i in best[np.argsort(-scores[best], kind="stable")]]
