"""What an increment sees again is drawn as the setting says."""

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from synthetic_stream import DIM, articles, rows

from streamrec.config import Buffer, Settings, Trainer
from streamrec.learning.examples import Examples
from streamrec.learning.increment import increment
from streamrec.learning.packed import scores
from streamrec.learning.recall import recalled, weights
from streamrec.learning.state import TrainerState
from streamrec.model import bundle


@pytest.fixture(scope="module")
def learned():
    """A model, its rehearsal rows, and the text vectors of the articles by index."""
    stream = rows(900, list(articles()))
    out = increment(
        state=TrainerState.empty(Buffer()), parent=None, optimizer=None, window=stream,
        reservoir=[w.row for w in stream], articles=articles(), settings=Settings(trainer=Trainer()), dim=DIM,
        encoder="test", now=0.0, seed=0,
    )
    state, known = TrainerState.from_files(out.state_files, Buffer()), articles()
    base = np.stack([known[i].vector if i in known else np.zeros(DIM) for i in state.counters.ids])
    return bundle.from_files(out.model_files)[0], state.examples, base.astype(np.float16)


def drawn(learned, how: str, topics=()) -> Examples:
    net, kept, base = learned
    return recalled(kept, how, net, base, topics, seed=1)


def test_uniformly_each_row_comes_as_it_is(learned) -> None:
    assert drawn(learned, "uniform") is learned[1]


def test_recent_rows_come_most_often_and_old_ones_still_do(learned) -> None:
    kept, again = learned[1], drawn(learned, "recent")
    assert len(again) == len(kept) and again.ts.mean() > kept.ts.mean()
    oldest = kept.ts < np.quantile(kept.ts, 0.25)
    assert 0 < np.isin(again.ts, kept.ts[oldest]).mean() < 0.15


def test_each_topic_comes_alike_however_seldom_it_is_read(learned) -> None:
    kept = learned[1]
    read = kept.cand[np.arange(len(kept)), kept.target]
    rare = set(np.unique(read)[:2].tolist())
    topics = ["rare" if i in rare else "often" for i in range(len(learned[2]))]
    again = drawn(learned, "strata", topics)
    shares = Counter(topics[i] for i in again.cand[np.arange(len(again)), again.target])
    assert shares["rare"] / len(again) == pytest.approx(0.5, abs=0.08)


def test_what_the_model_is_worst_at_comes_most_often(learned) -> None:
    net, kept, base = learned
    logits = torch.from_numpy(scores(net, kept, base))
    loss = F.cross_entropy(logits, torch.from_numpy(kept.target), reduction="none").numpy()
    assert weights(kept, "loss", net, base, ()) == pytest.approx(np.maximum(loss, 1e-6), rel=1e-4)
    again = drawn(learned, "loss")
    by_id = dict(zip(kept.event_ids, loss, strict=True))
    expected = (loss**2).sum() / loss.sum()  # of rows drawn by their loss
    assert np.mean([by_id[i] for i in again.event_ids]) == pytest.approx(expected, rel=0.02)
    assert expected > 1.05 * loss.mean()


@pytest.mark.parametrize("how", ["recent", "strata", "loss"])
def test_an_increment_learns_with_each(how: str) -> None:
    stream, state = rows(1200, list(articles())), TrainerState.empty(Buffer())
    net = adam = None
    for until in (600, 1200):
        waiting = [w for w in stream[:until] if w.ordinal > state.cursor.get(w.partition, 0)]
        out = increment(
            state=state, parent=net, optimizer=adam, window=waiting,
            reservoir=[w.row for w in stream[:until]], articles=articles(),
            settings=Settings(trainer=Trainer(rehearsal=how, gate=False)), dim=DIM, encoder="test", now=0.0,
            seed=0,
        )
        state = TrainerState.from_files(out.state_files, Buffer())
        net, adam = bundle.from_files(out.model_files)[0], out.optimizer_files
    assert out.metrics["rows_rehearsal"] > 300 and out.verdict.publish
