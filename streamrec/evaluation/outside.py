"""Any outside system as an arm, through two methods: `observe` and `recommend`."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np

from streamrec.errors import SetupError
from streamrec.evaluation.arm import Floats, Moment, Recommender, Rows
from streamrec.evaluation.heuristics import Heuristic
from streamrec.events import Feedback

ASKED = 100  # articles: enough places for what the reader has read already, and for NDCG at any depth


class Outside(Heuristic):
    """The outside system's list as scores: rank order, and -inf for what it does not name. Ids it
    names that are unknown, or not eligible, are skipped; of an id named twice the first counts.
    What it does wrong is a SetupError with its `name` and the method."""

    def __init__(self, recommender: Recommender, name: str) -> None:
        self._recommender, self._name = recommender, name
        self._score: Callable[[str, float, list[str]], list[float]] | None = getattr(
            recommender, "score", None)

    def observe(self, event: Feedback) -> None:
        """See Arm."""
        with self._blamed("observe"):
            self._recommender.observe(event)

    def scores(self, moment: Moment) -> Floats:
        """See Arm. The best has ASKED, the next one less, and so on."""
        index = moment.state.articles.index
        found = np.full(len(moment.state.articles), -np.inf, np.float32)
        for rank, item in enumerate(dict.fromkeys(self._named(moment))):
            row = index.get(item)
            if row is not None and moment.eligible[row]:
                found[row] = ASKED - rank
        return found

    def _named(self, moment: Moment) -> list[str]:
        with self._blamed("recommend"):
            given = self._recommender.recommend(moment.user, moment.t, ASKED)
            if isinstance(given, str):
                raise TypeError("it gave one text, not several article ids")
            named = list(islice(given, ASKED))
            if wrong := [item for item in named if not isinstance(item, str)]:
                raise TypeError(f"it gave {wrong[0]!r:.60}, which is no article id")
        return named

    def among(self, moment: Moment, rows: Rows, scored: Floats) -> Floats:
        """See Arm."""
        if self._score is None:
            return super().among(moment, rows, scored)
        items = [moment.state.articles.entries[i].item_id for i in rows]
        with self._blamed("score"):
            found = np.asarray(self._score(moment.user, moment.t, items), np.float32)
            if found.shape != (len(items),):
                raise ValueError(f"it gave scores of shape {found.shape} for {len(items)} articles")
        return found

    @contextmanager
    def _blamed(self, method: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise SetupError(f"the arm {self._name} made a mistake in {method}(): {told(error)}; mend it and "
                             "go on, the other arms' finished runs are kept") from error


def told(error: Exception) -> str:
    """An error of somebody else's code in one line: its kind, what it says, and where it came from."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    place = "" if at.filename == __file__ else f" ({at.filename}:{at.lineno})"
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
