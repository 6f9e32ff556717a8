"""Losses against values worked by hand."""

from math import exp, log

import numpy as np
import pytest
import torch

from streamrec.config import Model
from streamrec.learning.examples import blank, concat
from streamrec.learning.packed import DWELL, LOSSES, OverExamples, mse
from streamrec.model.network import Recommender

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.0, -torch.inf]])  # the second row has two candidates
TARGETS, SECONDS = torch.tensor([0, 1]), torch.tensor([180.0, -1.0])  # 3 minutes; not known


def sigmoid(x):
    return 1 / (1 + exp(-x))


def by_hand(loss):
    if loss == "softmax":
        return [log(1 + exp(-2) + exp(-3)), log(1 + exp(-0.5))]
    if loss == "bce":
        return [-log(sigmoid(2)) - (log(sigmoid(0)) + log(sigmoid(1))) / 2,
                -log(sigmoid(1)) - log(sigmoid(-0.5))]
    over = sigmoid(2.0 - -0.5)  # the average of the others; the second row's dwell is not known
    first, second = by_hand("softmax")
    return [first + DWELL * (over - 0.75) ** 2, second]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_the_one_worked_by_hand(loss):
    found = LOSSES[loss](LOGITS, TARGETS, SECONDS)
    assert found.item() == pytest.approx(sum(by_hand(loss)) / 2, rel=1e-5)


def test_by_dwell_an_article_read_long_is_pushed_up_and_one_left_at_once_down():
    logits = torch.zeros(2, 2, requires_grad=True)
    mse(logits, torch.tensor([0, 0]), torch.tensor([600.0, 0.0])).backward()
    long, short = logits.grad[:, 0].tolist()
    assert long < 0 < short


def test_an_example_is_asked_for_with_its_own_dwell():
    """Wherever it stands in a batch, and after examples were joined and taken apart."""
    made = blank(3, 1, 2)
    made.cand[:] = [0, 1]
    some = concat([made.take([0, 1]), made.take([2])])
    some.dwell[:] = [600.0, -1.0, 0.0]
    net, base = Recommender.initial(2, Model()), np.zeros((2, 2), np.float16)
    over = OverExamples(net, some, base, torch.device("cpu"), loss="mse")
    losses = [over.loss(over(torch.tensor([r])), torch.tensor([0])).item() for r in (0, 1, 2)]
    alike = log(2)  # both candidates score the same
    expected = [alike + DWELL * (0.5 - 600 / 660) ** 2, alike, alike + DWELL * 0.5**2]
    assert losses == pytest.approx(expected, rel=1e-5)
