"""An increment that trains the encoder too: judged with its own vectors, and undone when refused."""

import numpy as np
import pytest
from synthetic_stream import START, rows
from text_stream import ENCODER, base_vectors, texts

from streamrec.config import Settings
from streamrec.learning.gate import Verdict
from streamrec.learning.increment import Known, increment
from streamrec.learning.state import TrainerState
from streamrec.learning.tuning import EncoderTuning
from streamrec.model.tuned import TunedEncoder

TEXTS = dict(zip((f"a{i}" for i in range(60)), texts(60), strict=True))
IDS = list(TEXTS)


@pytest.fixture(scope="module")
def articles():
    vectors = base_vectors(list(TEXTS.values()))
    return {a: Known(v, START - 1000.0) for a, v in zip(IDS, vectors, strict=True)}


def learned(articles, tuning, **trainer):
    settings = Settings()
    settings = settings.model_copy(update={"trainer": settings.trainer.model_copy(update=trainer)})
    window = rows(300, IDS, partitions=1)
    return increment(
        state=TrainerState.empty(settings.buffer), parent=None, optimizer=None, window=window,
        reservoir=[w.row for w in window], articles=articles, settings=settings, dim=384, encoder="test",
        now=0.0, seed=1, tuning=tuning,
    )


def test_an_encoder_learns_with_its_model_and_a_refusal_undoes_it(articles, monkeypatch):
    base = np.stack([articles[a].vector for a in IDS])
    encoder = TunedEncoder(ENCODER, "top:1")
    tuning = EncoderTuning(encoder, TEXTS.__getitem__, step_cap=6, gradient_articles=16)
    assert tuning.vectors(IDS, base) is base  # nothing was learned yet
    first = tuning.encoder.version()
    published = learned(articles, tuning, gate=False)
    kept = tuning.encoder.version()
    assert published.verdict.publish and published.metrics["steps"] == 6 and kept != first
    untrained = TunedEncoder(ENCODER, "top:1").encode([TEXTS[i] for i in IDS])
    assert np.abs(tuning.vectors(IDS, base).astype(float) - untrained).max() > 1e-3
    monkeypatch.setattr("streamrec.learning.increment.verdict", lambda *a, **k: Verdict(False, "worse", {}))
    refused = learned(articles, tuning)
    assert not refused.model_files and tuning.encoder.version() == kept
