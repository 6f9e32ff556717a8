"""Arms that learn: production's own increments and scorer, with one thing changed at a time."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from streamrec.catalogue import LiveArticles, Vectors
from streamrec.config import Settings, Trainer
from streamrec.errors import SetupError
from streamrec.evaluation.arm import Cost, Floats, Moment, Rows
from streamrec.evaluation.shown import Shown
from streamrec.evaluation.site import Site
from streamrec.evaluation.tuned import TunedNow
from streamrec.events import Article, Feedback
from streamrec.learning.fine_tune import device_of, warm
from streamrec.learning.increment import Outcome, held_of, increment, known_articles, no_plugins
from streamrec.learning.state import TrainerState
from streamrec.learning.tuning import EncoderTuning, encoder_tuning, train_mode
from streamrec.model.bundle import from_files
from streamrec.model.encoder import TextEncoder, article_text
from streamrec.model.network import Recommender
from streamrec.replay import Row, WindowRow
from streamrec.scoring import Served
from streamrec.scoring.batch import Batch, Reader

EVERY_STEP = 1_000_000  # a retrain is not cut short
CACHE_MB = 1000  # for the lower layers' output of a whole log


@dataclass(frozen=True)
class How:
    """What is different from production. `memory`: rehearsal rows; `restart`: a new model from all
    rows so far at every window, from the prior or on top of the last model; `trainer`: settings."""

    memory: Literal["reservoir", "none", "recent"] = "reservoir"
    restart: Literal["no", "scratch", "warm"] = "no"
    frozen: bool = False
    gate: bool = False
    recent: int = 3  # windows
    regulariser: str = ""
    strength: float = 1.0
    train: str | None = None  # what of the encoder learns, see model.tuned; None: what the settings say
    shown: Shown = Shown()
    trainer: dict[str, Any] = field(default_factory=dict)

    def mode(self, settings: Settings) -> str:
        """What of the encoder learns. Regularisers know the head alone. Raises SetupError."""
        return self.train or ("head" if self.regulariser else train_mode(settings))

    def settings(self, base: Trainer, seed: int) -> Trainer:
        """The trainer's settings of this arm."""
        more: dict[str, Any] = {"gate": self.gate, "seed": seed, **self.trainer}
        if self.memory == "none" or self.restart != "no":
            more["rehearsal_share"] = 0.0
        if self.restart != "no":
            more |= {"max_steps": EVERY_STEP}
        return base.model_copy(update=more)


class Learned:
    """See streamrec.evaluation.arm.Arm."""

    def __init__(self, how: How, site: Site, seed: int, fingerprint: str) -> None:
        s = site.settings
        self.how, self.site, self._fingerprint = how, site, fingerprint
        self._s: Settings = s.model_copy(update={"trainer": how.settings(s.trainer, seed)})
        dim = site.state.articles.dim
        self.versions = [Served("0", Recommender.initial(dim, s.model))]
        self.published = self.refused = 0
        self._state = TrainerState.empty(s.buffer)
        self._optimizer: dict[str, bytes] | None = None
        self._windows: list[list[WindowRow]] = []
        self._regulariser = _regulariser(how)
        self._texts: dict[str, str] = {}
        self._encoder: TextEncoder | None = None  # of what readers say to like
        mode = how.mode(s)
        self._tuning = _tuning(mode, s, seed, self._text_of) if mode != "head" else None

    @property
    def live(self) -> Served:
        """The version that answers."""
        return self.versions[-1]

    def over(self, articles: LiveArticles) -> list[Served]:
        """All versions, one that stands several times once, with no vector of this walk: another one has
        the same articles in rows of its own."""
        fresh = {id(v): v.over(articles) if isinstance(v, TunedNow) else Served(v.version, v.net)
                 for v in self.versions}
        return [fresh[id(v)] for v in self.versions]

    def announce(self, article: Article) -> None:
        """See Arm; the site's catalogue has the rest."""
        if self._tuning:
            self._texts[article.item_id] = article_text(article.title, article.body)

    def observe(self, event: Feedback) -> None:
        """Nothing to do: the site's buffer has it."""

    def scores(self, moment: Moment) -> Floats:
        """See Arm."""
        shown = self.how.shown
        found = scores(moment, self.live, self._s.scorer.rerank, shown.reader(moment, self._encoded))
        return shown.listed(moment, found)

    def among(self, moment: Moment, rows: Rows, scored: Floats) -> Floats:
        """See Arm: the full score, which the whole catalogue's best alone have."""
        return among(moment, self.live, rows, self.how.shown.reader(moment, self._encoded))

    def _encoded(self, text: str) -> Vectors:
        """The vector [d] of what a reader says; the encoder is loaded for the first."""
        if self._encoder is None:
            self._encoder = TextEncoder(self._s.encoder)
        return self._encoder.encode([text]).reshape(-1)

    def learn(self, rows: Sequence[Row]) -> Cost:
        """See Arm."""
        done = sum(map(len, self._windows))
        self._windows.append([WindowRow(0, done + n, row) for n, row in enumerate(rows, 1)])
        self.versions.append(self.live)
        if self.how.frozen and self._state.fitted:
            return Cost()
        started = time.monotonic()
        outcome = self._increment()
        self._take(outcome)
        steps = int(outcome.metrics.get("steps", 0))
        tokens = outcome.metrics.get("tokens", self._articles_seen(outcome.metrics))
        return Cost(time.monotonic() - started, steps, int(tokens))

    def _articles_seen(self, metrics: Mapping[str, float]) -> float:
        """By the tower in a fit of the head alone."""
        width = self._s.model.history + 1 + self._s.trainer.slate + self._s.trainer.negatives
        rehearsed = 1 / (1 - self._s.trainer.rehearsal_share)
        return metrics["rows_new"] * metrics.get("passes", 0.0) * rehearsed * width

    def _increment(self) -> Outcome:
        live = self.site.state.articles
        every = [w for rows in self._windows for w in rows]
        again, settings = self.how.restart != "no", self._s
        if again:
            settings = _held_back(settings, len(self._windows[-1]), len(every))
        state = TrainerState.empty(self._s.buffer) if again else self._state
        fitted = self._state.fitted and self.how.restart != "scratch"
        since = state.cursor.get(0, 0)
        if self._tuning:
            self._tuning.start(self.live.state if isinstance(self.live, TunedNow) else None)
        return increment(
            state=state, parent=self.live.net if fitted else None,
            optimizer=None if again else self._optimizer, window=[w for w in every if w.ordinal > since],
            reservoir=self._memory(), settings=settings,
            articles=known_articles(live, np.flatnonzero(live.live)),
            dim=self.site.state.articles.dim, encoder=self._fingerprint, now=self.site.clock.now(),
            seed=self._s.trainer.seed + len(self._windows), plugins=self._regulariser,
            tuning=self._tuning,
        )

    def _memory(self) -> list[Row]:
        """The rows that may be rehearsed: those that were ever learned, of the reservoir or lately."""
        if self.how.memory == "recent":
            return [w.row for rows in self._windows[-self.how.recent :] for w in rows]
        known = {w.row.event_id for rows in self._windows for w in rows}
        return [r for r in self.site.buffer.reservoir() if r.event_id in known]

    def _take(self, o: Outcome) -> None:
        self._state = TrainerState.from_files(o.state_files, self._s.buffer)
        if not o.verdict.publish:
            self.refused += 1
            return
        self.published += 1
        self._optimizer = o.optimizer_files
        net, _ = from_files(o.model_files)
        name = str(len(self.versions))
        self.versions[-1] = TunedNow(
            name, net, self.site.state.articles, self._tuning, self._text_of
        ) if self._tuning else Served(name, net)

    def _text_of(self, item: str) -> str:
        return self._texts.get(item, "")


def _held_back(settings: Settings, newest: int, every: int) -> Settings:
    """With as many rows kept from a fit over all of them as an increment keeps of the newest window: their
    share of all would be most of that window in the end."""
    held = {"holdout": held_of(newest, settings.trainer) / max(every, 1), "min_holdout": 1}
    return settings.model_copy(update={"trainer": settings.trainer.model_copy(update=held)})


@torch.no_grad()
def scores(moment: Moment, served: Served, rerank: int, reader: Reader | None = None) -> Floats:
    """What production's scorer gives each article [N] under a version; `reader`: as another."""
    _cover(served, moment)
    batch = Batch(moment.state, served, [reader or Reader(moment.history)], False, rerank)
    found = batch.scores([moment.eligible])[0]
    return np.asarray(found, np.float32)


@torch.no_grad()
def among(moment: Moment, served: Served, rows: Rows, reader: Reader | None = None) -> Floats:
    """The full scores [n] of a few rows [n] under a version."""
    _cover(served, moment)
    places = np.argsort(rows)
    asked, found = rows[places], np.empty(len(rows), np.float32)
    batch = Batch(moment.state, served, [reader or Reader(moment.history)], False, len(rows), only=asked)
    found[places] = batch.full([asked])[0]
    return found


def _cover(served: Served, moment: Moment) -> None:
    articles = moment.state.articles
    if served.covered_at != articles.cursor or served.rows < len(articles):
        served.cover(articles.vectors, articles.changed_since(served.covered_at))
        served.covered_at = articles.cursor


def _tuning(mode: str, settings: Settings, seed: int, text_of: Callable[[str], str]) -> EncoderTuning:
    """An encoder that learns, on the trainer's device."""
    from streamrec.model.tuned import TunedEncoder
    device = str(device_of(settings.trainer.device))
    roomy = settings.encoder.model_copy(update={"cache_mb": CACHE_MB})
    return encoder_tuning(TunedEncoder(roomy, mode, device, seed=seed), text_of)


def _regulariser(how: How) -> Any:
    if not how.regulariser:
        return no_plugins
    warm()  # what Avalanche says when it is imported is not for people
    from streamrec.learning.regularisers import REGULARISERS
    if how.regulariser not in REGULARISERS:
        raise SetupError(f"no regulariser {how.regulariser!r}: choose of {sorted(REGULARISERS)}")
    return REGULARISERS[how.regulariser](how.strength)
