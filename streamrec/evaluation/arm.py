"""What is compared: an arm scores the live catalogue for a reader at a moment, and may learn."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from streamrec.events import Article, Feedback
from streamrec.replay import Read, Row
from streamrec.scoring import ServingState

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]


class Moment(NamedTuple):
    """The instant before an event: nothing in it knows the event, or anything later.

    `state` holds articles and counters in rows 0..N-1; `history` is newest first; `eligible` [N]
    are the articles published by then that this reader has neither read nor dismissed.
    """

    user: str
    t: float  # epoch s
    history: Sequence[Read]
    state: ServingState
    eligible: Bools


class Cost(NamedTuple):
    """What a `learn` took: seconds on this machine, optimizer steps, and the tokens that went
    forward and backward through a text encoder or, without one, articles through a tower."""

    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0


class Arm(Protocol):
    """One way of recommending. Everything an arm knows comes through `observe` and `learn`."""

    def announce(self, article: Article) -> None:
        """An article is published; the state of later moments has it too."""

    def observe(self, event: Feedback) -> None:
        """An event has happened; it was scored before."""

    def scores(self, moment: Moment) -> Floats:
        """Scores [N] of the rows of `moment.state`; those not eligible are ignored."""

    def among(self, moment: Moment, rows: Rows, scored: Floats) -> Floats:
        """Scores [n] of a few rows [n], as comparable with each other as the arm can make them: of a slate
        that was shown, whatever place it has in the whole catalogue. `scored` [N]: what `scores` gave."""

    def learn(self, rows: Sequence[Row]) -> Cost:
        """A window has ended (the first: the bootstrap); `rows` are its training rows, oldest
        first, without those held out for the matrix R."""


class Truth(Protocol):
    """Who knows what readers want: of a simulated site."""

    def score(self, user: str, t: float, items: list[str]) -> list[float]:
        """How much each of some articles appeals to a reader at time t (epoch s), in [0, 1]."""


class Recommender(Protocol):
    """The protocol of an outside system: two methods. See docs/benchmark.md for an example. With a third,
    `score(user, t, items) -> list[float]`, it is asked about slates that were shown; without, a slate is in
    the order of its list, and what is not on that list is all the same."""

    def observe(self, event: Feedback) -> None:
        """An event has happened."""

    def recommend(self, user: str, t: float, n: int) -> list[str]:
        """Up to n article ids, best first, at time t (epoch s)."""
