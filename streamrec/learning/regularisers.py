"""Ways of not forgetting other than rehearsal alone, as Avalanche plugins: for comparison, and for
streams where one of them pays. A factory keeps what must outlive an increment.

In a batch, example numbers below `new` are the window's, the others rehearsal.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from avalanche.training.plugins import EWCPlugin, SupervisedPlugin
from torch import Tensor

from streamrec.learning.examples import Examples
from streamrec.learning.packed import OverExamples
from streamrec.model.network import Recommender

Factory = Callable[[Recommender, Examples, Examples], Sequence[Any]]


def _rehearsed(strategy: Any, new: int) -> Tensor:
    """Which rows [B] of the batch are rehearsal."""
    mask: Tensor = strategy.mbatch[0] >= new
    return mask


class Distil(SupervisedPlugin):  # type: ignore[misc]
    """Adds strength * KL(parent || model) on the rehearsal rows (Hinton et al. 2015; as ADER, Mi et al.
    2020, uses it for increments)."""

    def __init__(self, parent: Recommender, new: int, strength: float) -> None:
        super().__init__()
        self._parent, self._new, self._strength = parent, new, strength

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Avalanche's hook: `strategy.loss` may grow."""
        old = _rehearsed(strategy, self._new)
        if not old.any():
            return
        rows, logits = strategy.mbatch[0][old], strategy.mb_output[old]
        with torch.no_grad():
            teacher = strategy.model.under(self._parent, rows)
        strategy.loss = strategy.loss + self._strength * _kl(teacher, logits)


def _kl(teacher: Tensor, logits: Tensor) -> Tensor:
    real = torch.isfinite(logits)
    p, log_q = F.softmax(teacher, dim=1), F.log_softmax(logits, dim=1)
    log_p = F.log_softmax(teacher, dim=1)
    difference = torch.where(real, p * (log_p - torch.where(real, log_q, 0.0)), 0.0)
    return torch.nan_to_num(difference).sum(dim=1).mean()


class DarkExperience(SupervisedPlugin):  # type: ignore[misc]
    """DER++ (Buzzega et al. 2020): adds strength * MSE to the logits that each rehearsal row had
    when it was learned; the cross-entropy on the same rows is rehearsal's own."""

    def __init__(self, stored: dict[str, Tensor], new: Examples, old: Examples, strength: float) -> None:
        super().__init__()
        self._stored, self._strength = stored, strength
        self._ids, self._new = (*new.event_ids, *old.event_ids), len(new)

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Avalanche's hook: `strategy.loss` may grow."""
        rows = strategy.mbatch[0].tolist()
        at = [b for b, r in enumerate(rows) if r >= self._new and self._ids[r] in self._stored]
        if not at:
            return
        wanted = torch.stack([_wide(self._stored[self._ids[rows[b]]], strategy.mb_output) for b in at])
        logits = strategy.mb_output[at]
        real = torch.isfinite(logits) & torch.isfinite(wanted)
        error = F.mse_loss(_centred(logits, real), _centred(wanted, real), reduction="sum") / real.sum()
        strategy.loss = strategy.loss + self._strength * error

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Avalanche's hook: remember the logits of the rows just learned."""
        with torch.no_grad():
            strategy.model.eval()
            for start in range(0, self._new, 256):
                rows = torch.arange(start, min(start + 256, self._new))
                for r, logits in zip(rows.tolist(), strategy.model(rows).cpu(), strict=True):
                    self._stored[self._ids[r]] = logits
            strategy.model.train()


def _wide(stored: Tensor, like: Tensor) -> Tensor:
    padded = like.new_full((like.shape[1],), -torch.inf)
    n = min(len(stored), len(padded))
    padded[:n] = stored[:n].to(like.device)
    return padded


def _centred(logits: Tensor, real: Tensor) -> Tensor:
    """Softmax knows logits only up to a constant of their row."""
    kept = torch.where(real, logits, 0.0)
    mean = kept.sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(real, kept - mean, 0.0)


class AGem(SupervisedPlugin):  # type: ignore[misc]
    """A-GEM (Chaudhry et al. 2019): a gradient that would raise the loss on rehearsal rows is
    projected until it no longer does. Its batches hold window rows only."""

    def __init__(self, new: int, old: int, batch: int) -> None:
        super().__init__()
        self._new, self._old, self._batch = new, old, batch

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Avalanche's hook: gradients may change."""
        if not self._old:
            return
        model: OverExamples = strategy.model
        params = [p for p in model.parameters() if p.grad is not None]
        now = [p.grad for p in params if p.grad is not None]
        rows = self._new + torch.randint(self._old, (min(self._batch, self._old),))
        past = torch.autograd.grad(model.loss(model(rows), model.targets[rows].to(model.device)), params)
        dot = torch.stack([(a * b).sum() for a, b in zip(now, past, strict=True)]).sum()
        if dot < 0:
            scale = dot / torch.stack([(b * b).sum() for b in past]).sum()
            for a, b in zip(now, past, strict=True):
                a -= scale * b


def _distil(strength: float) -> Factory:
    return lambda parent, new, old: [Distil(parent, len(new), strength)]


def _der(strength: float) -> Factory:
    stored: dict[str, Tensor] = {}
    return lambda parent, new, old: [DarkExperience(stored, new, old, strength)]


def _agem(strength: float) -> Factory:
    return lambda parent, new, old: [AGem(len(new), len(old), int(strength))]


class _Ewc(EWCPlugin):  # type: ignore[misc]
    """Avalanche's online EWC (Kirkpatrick et al. 2017; Schwarz et al. 2018), over strategies that
    each count their experiences from 0."""

    done = 0

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Avalanche's hook: this is not the first experience."""
        strategy.clock.train_exp_counter = self.done

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Avalanche's hook: importances of the rows just learned."""
        super().after_training_exp(strategy, **kwargs)
        self.done += 1


def _ewc(strength: float) -> Factory:
    plugin = _Ewc(ewc_lambda=strength, mode="online", decay_factor=0.9)
    return lambda parent, new, old: [plugin]


REGULARISERS: dict[str, Callable[[float], Factory]] = {
    "kd": _distil, "der": _der, "a-gem": _agem, "ewc": _ewc,
}
