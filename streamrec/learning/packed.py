"""Examples as tensors, and the network over them: example numbers in, logits out."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from streamrec.events import well_read
from streamrec.learning.examples import PAD, Examples
from streamrec.model.network import Recommender

DWELL = 4.0  # weight of how long an article was read: one left at once is pushed down, though it was chosen
Report = Callable[[Tensor], None]  # the loss of a step
Vectors = Callable[[Tensor], Tensor]  # distinct article numbers [U] -> text vectors [U, d]


def softmax(logits: Tensor, targets: Tensor, dwell: Tensor) -> Tensor:
    """Cross-entropy over each row's candidates: who was chosen among these."""
    return F.cross_entropy(logits, targets)


def bce(logits: Tensor, targets: Tensor, dwell: Tensor) -> Tensor:
    """Binary cross-entropy of each candidate by itself, all of a row together weighing as much as the
    one chosen: whether this would be chosen."""
    shown = torch.isfinite(logits)
    chosen = F.one_hot(targets, logits.shape[1]).bool()
    finite = logits.masked_fill(~shown, 0.0)
    each = F.binary_cross_entropy_with_logits(finite, chosen.float(), reduction="none")
    others = shown & ~chosen
    against = (each * others).sum(1) / others.sum(1).clamp(min=1)
    return ((each * chosen).sum(1) + against).mean()


def mse(logits: Tensor, targets: Tensor, dwell: Tensor) -> Tensor:
    """`softmax`, and the squared error of the one chosen to how well it was read (`well_read`),
    for the rows of known dwell [B] (seconds): of the sigmoid of what it has over the average of the
    others. Alone, a squared error learns no ranking: it is flat where logQ has moved the logits."""
    others = torch.isfinite(logits) & ~F.one_hot(targets, logits.shape[1]).bool()
    average = logits.masked_fill(~others, 0.0).sum(1) / others.sum(1).clamp(min=1)
    over = torch.sigmoid(logits.gather(1, targets[:, None])[:, 0] - average)
    worth: Tensor = well_read(dwell.clamp(min=0))
    error = (dwell >= 0).float() * (over - worth) ** 2
    return F.cross_entropy(logits, targets) + DWELL * error.mean()


LOSSES = {"softmax": softmax, "bce": bce, "mse": mse}


class OverExamples(nn.Module):
    """The recommender over numbered examples; their data stays outside the parameters.

    `vectors`: where a batch's text vectors come from, if not from `base` [N, d]; `loss`: see LOSSES."""

    def __init__(
        self, net: Recommender, examples: Examples, base: NDArray[np.float16], device: torch.device,
        vectors: Vectors | None = None, loss: str = "softmax",
    ) -> None:
        super().__init__()
        self._loss = loss
        self.net, self.device = net.to(device), device
        # A read without a text vector says nothing about taste: attention may not see it.
        has_text = np.append(base.any(axis=1), False)
        hist = examples.hist[:, : net.history]  # rows kept from wider settings
        self._hist = torch.from_numpy(np.where(has_text[hist], hist, PAD))
        self._cand = torch.from_numpy(examples.cand)
        self._feats, self._logq = torch.from_numpy(examples.feats), torch.from_numpy(examples.logq)
        self.targets, self._dwell = torch.from_numpy(examples.target), torch.from_numpy(examples.dwell)
        self._asked = torch.zeros(0, dtype=torch.long)  # the examples of the last forward
        self._vectors = vectors or _rows_of(torch.from_numpy(base).to(device))

    def under(self, net: Recommender, rows: Tensor) -> Tensor:
        """What `forward` would answer with another network in place of ours."""
        own, self.net = self.net, net.to(self.device)
        try:
            logits: Tensor = self(rows)
            return logits
        finally:
            self.net = own

    def forward(self, rows: Tensor, correct: bool = True) -> Tensor:
        """Logits [B, C] of examples `rows` [B]; empty slots -inf; logQ-corrected if `correct`."""
        at = self._asked = rows.cpu()
        hist, cand = self._hist[at].to(self.device).long(), self._cand[at].to(self.device).long()
        feats = self._feats[at].to(self.device).float()
        # Each distinct article of the batch goes through the head once.
        distinct, where = torch.unique(torch.cat([hist, cand], 1).clamp(min=0), return_inverse=True)
        base, h = self._vectors(distinct), hist.shape[1]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.net(base, where[:, :h], hist != PAD, where[:, h:], feats).float()
        if correct:
            logits = logits - self._logq[at].to(self.device)
        masked: Tensor = logits.masked_fill(cand == PAD, -torch.inf)
        return masked

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of the last forward's logits [B, C], -inf in empty slots, and target slots [B]."""
        return LOSSES[self._loss](logits, targets, self._dwell[self._asked].to(logits.device))


def _rows_of(base: Tensor) -> Vectors:
    return lambda distinct: base[distinct].float()


@torch.inference_mode()
def scores(
    net: Recommender, examples: Examples, base: NDArray[np.float16], batch: int = 256
) -> NDArray[np.float32]:
    """Serving scores [R, C] (no logQ, no dropout), -inf in empty slots, computed on the CPU."""
    over = OverExamples(net, examples, base, torch.device("cpu")).eval()
    rows = torch.arange(len(examples))
    parts = [over(rows[i : i + batch], correct=False) for i in range(0, len(rows), batch)]
    if not len(examples):
        return np.zeros(examples.cand.shape, dtype=np.float32)
    found: NDArray[np.float32] = torch.cat(parts).numpy()
    return found
