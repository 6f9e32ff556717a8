"""How often the gate errs, on models that were really trained and small holdouts."""

import copy

import numpy as np
import pytest
import torch
from synthetic_stream import rows
from test_fine_tune import Stream, prior

from streamrec.config import Trainer
from streamrec.learning.examples import empty
from streamrec.learning.fine_tune import fine_tune
from streamrec.learning.gate import Compared, Sets, ndcg, verdict
from streamrec.learning.packed import scores

HOLDOUT, ANCHORS, DRAWS = 50, 100, 40


def moved(net, size):
    """The same network, each weight moved by `size` of its tensor's spread."""
    generator, twin = torch.Generator().manual_seed(0), copy.deepcopy(net)
    with torch.no_grad():
        for p in twin.parameters():
            if p.numel() > 1:
                p.add_(size * p.std() * torch.randn(p.shape, generator=generator))
    return twin


@pytest.fixture(scope="module")
def models():
    stream = Stream()
    both = stream.examples(rows(2500, list(stream.articles), readers=200))
    new, asked = both.take(range(1500)), both.take(range(1500, 2500))
    before = prior(new)
    after = copy.deepcopy(before)
    fine_tune(after, new, empty(20, 1), stream.base, Trainer(), first=True, seed=0)
    nets = {"prior": before, "trained": after, "same": moved(after, 1e-3), "hurt": moved(after, 0.5)}
    return {name: ndcg(scores(net, asked, stream.base), asked.target) for name, net in nets.items()}


@pytest.mark.parametrize(("old", "new", "least", "most"), [
    ("prior", "trained", 0.9, 1.0),  # a good one is nearly always published
    ("trained", "same", 0.9, 1.0),  # so is one that changed nothing that can be seen
    ("trained", "hurt", 0.0, 0.1),  # a bad one nearly never
])
def test_error_rates_on_few_rows(models, old, new, least, most):
    rng, published = np.random.default_rng(0), 0
    for seed in range(DRAWS):
        at = rng.choice(len(models[old]), HOLDOUT + ANCHORS, replace=False)
        halves = [Compared(models[old][i], models[new][i]) for i in (at[:HOLDOUT], at[HOLDOUT:])]
        published += verdict(Sets(*halves), Trainer(), seed).publish
    gain = float((models[new] - models[old]).mean())
    print(f"{old} -> {new}: true change {gain:+.4f}, {published} of {DRAWS} published")
    assert least <= published / DRAWS <= most
