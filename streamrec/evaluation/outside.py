"""Any outside system as an arm, through two methods: `observe` and `recommend`."""

import numpy as np

from streamrec.evaluation.arm import Floats, Moment, Recommender, Rows
from streamrec.evaluation.heuristics import Heuristic
from streamrec.events import Feedback

ASKED = 100  # articles: enough places for what the reader has read already, and for NDCG at any depth


class Outside(Heuristic):
    """The outside system's list as scores: rank order, and -inf for what it does not name. Ids it
    names that are unknown, or not eligible, are skipped; of an id named twice the first counts."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._score = getattr(recommender, "score", None)

    def observe(self, event: Feedback) -> None:
        """See Arm."""
        self._recommender.observe(event)

    def scores(self, moment: Moment) -> Floats:
        """See Arm. The best has ASKED, the next one less, and so on."""
        index = moment.state.articles.index
        found = np.full(len(moment.state.articles), -np.inf, np.float32)
        named = self._recommender.recommend(moment.user, moment.t, ASKED)[:ASKED]
        for rank, item in enumerate(dict.fromkeys(named)):
            row = index.get(item)
            if row is not None and moment.eligible[row]:
                found[row] = ASKED - rank
        return found

    def among(self, moment: Moment, rows: Rows, scored: Floats) -> Floats:
        """See Arm."""
        if self._score is None:
            return super().among(moment, rows, scored)
        items = [moment.state.articles.entries[i].item_id for i in rows]
        return np.asarray(self._score(moment.user, moment.t, items), np.float32)
