"""The training step through the text encoder: each article of a batch is encoded once.

GRAM (Yang et al., NAACL 2022): the recommender sees the vectors as a leaf, its backward leaves one
gradient per distinct article, and that is sent through the encoder in micro-batches of similar
length. The sum is the same gradient as encoding every text in place. With `limit` only so many
articles get a gradient; the others take their last known vector as a constant (SpeedyFeed's
cache, Xiao et al., KDD 2022), which is refreshed whenever an article is encoded.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrec import logs
from streamrec.learning.examples import Examples
from streamrec.model.tuned import TunedEncoder

log = logs.get("fine_tune_text")
AFFORDABLE = 32  # articles with gradient a step: about half a second of one CPU core at 96 tokens
# Tokens x learning layers that go through the encoder at once, at about 40 kB each with their graph.
MICRO = {"cpu": 2**13, "cuda": 2**18}
Ints = NDArray[np.integer]
Part = list[tuple[int, Tensor]]  # row of the batch's vectors, and what the encoder starts from


class Gram:
    """A batch's text vectors, for `OverExamples`, and their gradient's way into the encoder.

    Per step: `choose(rows)`, the network's forward (which calls this object) and its backward,
    then `backward()`. `base` [N, d]: vectors before training. `limit`: articles with gradient per
    step, None: all. `micro_tokens`: padded tokens encoded at once; when CUDA memory is full it
    halves by itself.
    """

    def __init__(
        self, encoder: TunedEncoder, texts: Sequence[str], examples: Examples,
        base: NDArray[np.float16], *, limit: int | None, seed: int, micro_tokens: int | None = None,
    ) -> None:
        self.encoder, self.texts = encoder, texts
        self.micro_tokens = micro_tokens or MICRO[encoder.device.type] // encoder.layers
        self._examples, self._limit, self._rng = examples, limit, np.random.default_rng(seed)
        self._table = torch.tensor(base, device=encoder.device)  # a copy: it is refreshed
        blank = np.array([not text.strip() for text in texts], dtype=bool)
        self._learns = base.any(axis=1) & ~blank
        self._said = False

    def choose(self, rows: Tensor) -> None:
        """Which articles of example numbers `rows` [B] get a gradient."""
        at, e = rows.cpu().numpy(), self._examples
        read, shown = e.hist[at], e.cand[at]
        kinds = [shown[np.arange(len(at)), e.target[at]], read[:, 0], np.append(read, shown)]
        kinds = [k[(k >= 0) & self._learns[k]] for k in kinds]
        self._chosen = torch.from_numpy(pick(kinds, self._limit, self._rng))

    def __call__(self, distinct: Tensor) -> Tensor:
        """Phase 1: vectors [U, d] of articles `distinct` [U] as a leaf. The encoder's graph is kept
        for phase 3 only if all of it fits at once."""
        at = torch.isin(distinct.cpu(), self._chosen).nonzero()[:, 0]
        states = self.encoder.lower([self.texts[i] for i in distinct.cpu()[at].tolist()])
        self._todo = sorted(zip(at.tolist(), states, strict=True), key=lambda t: -len(t[1]))
        self._kept: dict[int, Tensor] = {}  # by first row of its part
        self._keep = sum(len(state) for _, state in self._todo) <= self.micro_tokens
        self.leaf = self._table[distinct].float()
        self._in_parts(self._encode)
        self._table[distinct[at]] = self.leaf[at].to(self._table.dtype)
        return self.leaf.requires_grad_()

    def _encode(self, part: Part) -> None:
        with torch.set_grad_enabled(self._keep):
            vectors = self.encoder.forward_tokens([state for _, state in part])
        self.leaf[[row for row, _ in part]] = vectors.detach()
        if self._keep:
            self._kept[part[0][0]] = vectors

    def backward(self) -> None:
        """Phase 3: add the encoder's gradients; call after the loss's backward."""
        if self.leaf.grad is not None:
            self._in_parts(partial(self._send, self.leaf.grad))

    def _send(self, gradient: Tensor, part: Part) -> None:
        rows, params = [row for row, _ in part], self.encoder.parameters()
        vectors = self._kept.pop(rows[0], None)
        if vectors is None:
            vectors = self.encoder.forward_tokens([state for _, state in part])
        # Not .backward(): when memory runs out in the middle, nothing of this part has been added.
        found = torch.autograd.grad(vectors, params, gradient[rows], allow_unused=True)
        for p, grad in zip(params, found, strict=True):
            if grad is not None:
                p.grad = grad if p.grad is None else p.grad.add_(grad)

    def _in_parts(self, work: Callable[[Part], None]) -> None:
        """`work` on all articles, longest first, in parts that fit; smaller ones if they do not."""
        start = 0
        while start < len(self._todo):
            part = self._todo[start : start + self._fitting(start)]
            try:
                work(part)
            except torch.cuda.OutOfMemoryError:
                if len(part) == 1:
                    raise
            else:
                start += len(part)
                continue
            self._shrink(part)  # not above: the error would keep the memory alive

    def _fitting(self, start: int) -> int:
        """How many articles from `start` go together: in memory, and little padding."""
        longest = len(self._todo[start][1])
        most = min(max(self.micro_tokens // longest, 1), len(self._todo) - start)
        return next((n for n in range(1, most) if 2 * len(self._todo[start + n][1]) < longest), most)

    def _shrink(self, part: Part) -> None:
        self.micro_tokens = max(len(part[0][1]) * len(part) // 2, 1)
        self._keep = False
        self._kept.clear()
        torch.cuda.empty_cache()
        if not self._said:
            log.warning("GPU memory is full: smaller micro-batches, same batch",
                        micro_tokens=self.micro_tokens)
        self._said = True


def pick(kinds: Sequence[Ints], limit: int | None, rng: np.random.Generator) -> Ints:
    """At most `limit` distinct articles of `kinds` (positives, newest reads, everything of the
    batch): half, a quarter and the rest of it from each, at random; what one leaves free the
    others take. Only positives would let all vectors drift together."""
    distinct: list[Ints] = []
    for kind in kinds:
        left = np.setdiff1d(kind, np.concatenate(distinct)) if distinct else np.unique(kind)
        distinct.append(rng.permutation(left))
    if limit is None:
        return np.concatenate(distinct)
    shares = (limit // 2, limit // 4, limit - limit // 2 - limit // 4)
    first = [k[:n] for k, n in zip(distinct, shares, strict=True)]
    rest = [k[n:] for k, n in zip(distinct, shares, strict=True)]
    return np.concatenate([*first, *rest])[:limit]
