"""Increments that train the text encoder too: what `increment` asks of it, and how it is done."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from streamrec.config import Settings, Trainer
from streamrec.errors import SetupError
from streamrec.learning import optimizer as adam
from streamrec.learning.examples import Examples
from streamrec.learning.fine_tune import Base, FitResult, device_of, fine_tune
from streamrec.learning.fine_tune_text import fine_tune_text
from streamrec.learning.text_step import AFFORDABLE
from streamrec.model import tuned_files
from streamrec.model.network import Recommender
from streamrec.model.tuned import TunedEncoder

CPU_STEPS = 100  # of a fit on a CPU, where a step takes half a second


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
    """See Tuning. `text_of` gives an article's text; `step_cap` holds for each fit. Each text is
    encoded once for each state of the encoder."""

    def __init__(
        self, encoder: TunedEncoder, text_of: Callable[[str], str], step_cap: int | None = None,
        gradient_articles: int | None = None,
    ) -> None:
        self.encoder, self._text_of = encoder, text_of
        self._cap, self._gradient_articles = step_cap, gradient_articles
        self._untrained = self._at = self._before = encoder.trainable_state()
        self._known: dict[str, Base] = {}
        self._known_before = self._known
        self.learns, self.fitted = True, False

    def start(self, state: Mapping[str, bytes] | None, learns: bool = True) -> None:
        """Go on from a version's `trainable_state`, or from the untrained encoder; `learns` false:
        leave it as it is, and train the rest only. Raises CorruptArtefact."""
        self.learns, self.fitted = learns, state is not None
        wanted = self._untrained if state is None else {n: state[n] for n in self._untrained if n in state}
        if wanted != self._at:
            self.encoder.load_state(wanted)
            self._at, self._known = wanted, {}

    def vectors(self, ids: Sequence[str], base: Base) -> Base:
        """See Tuning."""
        if not self.fitted:
            return base
        texts = [self._text_of(i) for i in ids]
        missing = list(dict.fromkeys(t for t in texts if t.strip() and t not in self._known))
        self._known.update(zip(missing, self.encoder.encode(missing), strict=True))
        none = np.zeros(self.encoder.dim, np.float16)
        return np.stack([self._known.get(t, none) for t in texts]) if texts else base

    def fit(
        self, net: Recommender, new: Examples, rehearsal: Examples, ids: Sequence[str], base: Base,
        settings: Trainer, *, optimizer_state: adam.State | None, first: bool, seed: int,
    ) -> FitResult:
        """See Tuning."""
        self._before, self._known_before = self._at, self._known
        if not self.learns:
            return fine_tune(net, new, rehearsal, base, settings, optimizer_state=optimizer_state,
                             first=first, seed=seed)
        fit = fine_tune_text(
            net, self.encoder, [self._text_of(i) for i in ids], new, rehearsal, base, settings,
            first=first, seed=seed, optimizer_state=optimizer_state, step_cap=self._cap,
            gradient_articles=self._gradient_articles,
        )
        self.fitted, self._at, self._known = True, self.encoder.trainable_state(), {}
        return fit

    def undo(self) -> None:
        """See Tuning."""
        if self._at is not self._before:
            self.encoder.load_state(self._before)
            self._at, self._known = self._before, self._known_before

    def state_files(self) -> dict[str, bytes]:
        """What the encoder has learned, as a version's files; none if it never learned."""
        return dict(self._at) if self.fitted else {}


def encoder_tuning(encoder: TunedEncoder, text_of: Callable[[str], str]) -> EncoderTuning:
    """With fewer and larger steps where the encoder is on a CPU."""
    if encoder.device.type == "cuda":
        return EncoderTuning(encoder, text_of)
    return EncoderTuning(encoder, text_of, CPU_STEPS, AFFORDABLE)


class Tunings:
    """The tuning of each increment, going on from what the version before had learned."""

    def __init__(self, settings: Settings, text_of: Callable[[str], str]) -> None:
        self._s, self._text_of = settings, text_of
        self._made: dict[str, EncoderTuning] = {}

    def of(self, parent: Mapping[str, bytes] | None) -> EncoderTuning | None:
        """For an increment on top of a version with these files; None: only the head learns, and no
        encoder ever did. Raises SetupError if the setting and the version do not go together,
        CorruptArtefact."""
        mode = train_mode(self._s)
        tuned = parent if parent and tuned_files.is_among(parent) else None
        of_parent = tuned_files.identity_of(tuned)["mode"] if tuned else mode
        if of_parent == "head":
            return None
        if mode not in ("head", of_parent):
            raise SetupError(
                f"the version that serves has an encoder trained by {of_parent}, which {mode} cannot go on "
                f"from: set STREAMREC_MODEL__TRAIN={of_parent} or head, or roll back to a version without one"
            )
        kind = of_parent if tuned is None else repr(sorted(tuned_files.identity_of(tuned).items()))
        if kind not in self._made:
            self._made = {kind: encoder_tuning(self._encoder(of_parent, tuned), self._text_of)}
        self._made[kind].start(tuned, learns=mode != "head")
        return self._made[kind]

    def _encoder(self, mode: str, tuned: Mapping[str, bytes] | None) -> TunedEncoder:
        device, layers = str(device_of(self._s.trainer.device)), None
        if tuned:  # a version trained elsewhere may have more or fewer layers than suit this device
            layers = tuned_files.identity_of(tuned)["layers"]
        return TunedEncoder(self._s.encoder, mode, device, lora_layers=layers, seed=self._s.trainer.seed)


def train_mode(settings: Settings) -> str:
    """What of the encoder learns; `auto` is LoRA on a GPU. On a CPU it is the head alone: there an
    encoder's step takes a hundred times a head's, for no gain that the logs show."""
    if settings.model.train != "auto":
        return settings.model.train
    return "lora" if device_of(settings.trainer.device).type == "cuda" else "head"
