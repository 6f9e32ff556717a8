"""What the scorer is given of a reader, and how its ranking becomes a list: for arms that measure what a
feature of a request costs or gains, with the model that the default arm has learned."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streamrec.catalogue import Entry, Vectors
from streamrec.evaluation.arm import Floats, Moment
from streamrec.model.features import Stated
from streamrec.model.words import title_tokens
from streamrec.scoring.batch import Reader
from streamrec.scoring.calibrate import Mix
from streamrec.scoring.choose import WIDE, Caps, choose

PLACES = 10
ANY = 1.01  # cosine that no two texts have: nothing is a duplicate


@dataclass(frozen=True)
class Shown:
    """`reads`: only so many newest reads are known, None: all. `titles`, `tags`: the reader says to like what
    the titles, or tags, of so many newest reads say, put into `prompt`; 0: says nothing. `weight`: of
    what they say, see Stated.
    `diversity`, `calibration`: of the list. `duplicate`: cosine at which two articles are one; `per_topic`:
    how many articles of one first tag it may hold, 0: any number."""

    reads: int | None = None
    titles: int = 0
    tags: int = 0
    prompt: str = "{interests}"
    weight: float = 0.0
    diversity: float = 0.0
    calibration: float = 0.0
    duplicate: float = ANY
    per_topic: int = 0

    @property
    def lists(self) -> bool:
        """Whether another list is shown than the best articles: its scores are places, no logits."""
        return bool(self.diversity or self.calibration or self.per_topic) or self.duplicate != ANY

    def reader(self, moment: Moment, encode: Callable[[str], Vectors]) -> Reader:
        """The reader as the scorer may know them."""
        history = moment.history if self.reads is None else moment.history[: self.reads]
        said = ", ".join(dict.fromkeys([
            *(e.title for e in _read(moment, self.titles) if e.title),
            *(tag for e in _read(moment, self.tags) for tag in e.tags),
        ]))
        if not said:
            return Reader(history)
        text = self.prompt.replace("{interests}", said)
        return Reader(history, Stated(encode(text), title_tokens(said), text, self.weight))

    def listed(self, moment: Moment, scores: Floats) -> Floats:
        """Scores [N] whose best PLACES are the list that would be shown."""
        if not self.lists:
            return scores
        rows = np.flatnonzero(moment.eligible[: len(scores)])
        rows = rows[np.argsort(-scores[rows], kind="stable")[:WIDE]]
        articles = moment.state.articles
        vectors, entries = articles.vectors[rows].astype(np.float32), [articles.entries[i] for i in rows]
        read = [articles.entries[i] for r in moment.history if (i := articles.index.get(r.item)) is not None]
        mix = Mix(read, entries, self.calibration) if self.calibration else None
        caps = Caps(0, self.per_topic)
        at = choose(scores[rows], vectors, entries, PLACES, self.diversity, caps, self.duplicate, mix=mix)
        listed = scores.copy()
        listed[rows[at]] = scores.max() + np.arange(len(at), 0, -1)
        return listed


def _read(moment: Moment, n: int) -> list[Entry]:
    """The newest n reads: what would be on the lips of who likes them."""
    index, entries = moment.state.articles.index, moment.state.articles.entries
    return [entries[index[r.item]] for r in moment.history[:n] if r.item in index]
