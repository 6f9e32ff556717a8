"""Early stopping: an increment goes on pass after pass while rows that it does not learn get better.

Each pass ends with rates of nothing, so each is a model that could be published, and the number of passes is
how hard an increment learns: the rows held out for the gate choose it anew each time. (Prechelt 1998, "Early
stopping - but when?", with a patience of one pass.)
"""

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from avalanche.training.plugins import SupervisedPlugin
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamrec.learning.examples import Examples
from streamrec.learning.packed import scores
from streamrec.model.network import Recommender


class _Pass(NamedTuple):
    loss: float
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]


class EarlyStopping(SupervisedPlugin):  # type: ignore[misc]
    """Keeps the best pass by the cross-entropy of `tail`, and stops after the first that is no better."""

    def __init__(self, net: Recommender, tail: Examples, base: NDArray[np.float16]) -> None:
        super().__init__()
        self._net, self._tail, self._base = net, tail, base
        self._best: _Pass | None = None

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Avalanche calls this after each pass."""
        loss = self._loss()
        if self._best is not None and not loss < self._best.loss:
            strategy.stop_training()
        else:
            self._best = _Pass(loss, copy.deepcopy(self._net.state_dict()),
                               copy.deepcopy(strategy.optimizer.state_dict()))

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """At the end, before other plugins look: back to the best pass."""
        if self._best is not None:
            self._net.load_state_dict(self._best.weights)
            strategy.optimizer.load_state_dict(self._best.optimizer)

    def _loss(self) -> float:
        device, learning = next(self._net.parameters()).device, self._net.training
        logits = torch.from_numpy(scores(self._net.eval(), self._tail, self._base))
        self._net.train(learning).to(device)
        return F.cross_entropy(logits, torch.from_numpy(self._tail.target)).item()
