"""Increments that train the text encoder too: what `increment` asks of it, and how it is done."""

from collections.abc import Callable, Sequence
from typing import Protocol

from streamrec.config import Trainer
from streamrec.learning import optimizer as adam
from streamrec.learning.examples import Examples
from streamrec.learning.fine_tune import Base, FitResult
from streamrec.learning.fine_tune_text import fine_tune_text
from streamrec.model.network import Recommender
from streamrec.model.tuned import TunedEncoder


class Tuning(Protocol):
    """A text encoder that learns with the model. The features keep the frozen encoder's vectors."""

    def vectors(self, ids: Sequence[str], base: Base) -> Base:
        """Text vectors [N, d] of the articles `ids` [N] as the encoder stands; `base` are those of
        the frozen one."""

    def fit(
        self, net: Recommender, new: Examples, rehearsal: Examples, ids: Sequence[str], base: Base,
        settings: Trainer, *, optimizer_state: adam.State | None, first: bool, seed: int,
    ) -> FitResult:
        """Fit `net` and the encoder in place; `base` [N, d] are the vectors as they stood before."""

    def undo(self) -> None:
        """Forget the last fit: its model was refused."""


class EncoderTuning:
    """See Tuning. `text_of` gives an article's text; `step_cap` holds for each fit, as a step costs
    half a second on a CPU."""

    def __init__(
        self, encoder: TunedEncoder, text_of: Callable[[str], str], step_cap: int | None = None,
        gradient_articles: int | None = None,
    ) -> None:
        self.encoder, self._text_of = encoder, text_of
        self._cap, self._gradient_articles = step_cap, gradient_articles
        self._before: dict[str, bytes] | None = None
        self.fitted = False

    def vectors(self, ids: Sequence[str], base: Base) -> Base:
        """See Tuning."""
        return self.encoder.encode([self._text_of(i) for i in ids]) if self.fitted else base

    def fit(
        self, net: Recommender, new: Examples, rehearsal: Examples, ids: Sequence[str], base: Base,
        settings: Trainer, *, optimizer_state: adam.State | None, first: bool, seed: int,
    ) -> FitResult:
        """See Tuning."""
        self._before, self.fitted = self.encoder.trainable_state(), True
        return fine_tune_text(
            net, self.encoder, [self._text_of(i) for i in ids], new, rehearsal, base, settings,
            first=first, seed=seed, optimizer_state=optimizer_state, step_cap=self._cap,
            gradient_articles=self._gradient_articles,
        )

    def undo(self) -> None:
        """See Tuning."""
        if self._before is not None:
            self.encoder.load_state(self._before)
