"""Which of the rehearsal rows an increment sees again, and how often. What is kept is the reservoir's
choice, a uniform one; this is the trainer's, anew for each fit.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from streamrec.learning.examples import Examples
from streamrec.learning.packed import scores
from streamrec.model.network import Recommender

How = Literal["uniform", "recent", "strata", "loss"]
HALVES = 4  # half-lives between the newest and the oldest row
Floats = NDArray[np.float64]


def recalled(
    rows: Examples, how: How, parent: Recommender, base: NDArray[np.float16], topics: Sequence[str], seed: int
) -> Examples:
    """As many rows, drawn with replacement by `weights`; as they are if uniform."""
    if how == "uniform" or not len(rows):
        return rows
    chances = weights(rows, how, parent, base, topics)
    drawn = np.random.default_rng(seed).choice(len(rows), len(rows), p=chances / chances.sum())
    return rows.take(sorted(drawn.tolist()))


def weights(
    rows: Examples, how: How, parent: Recommender, base: NDArray[np.float16], topics: Sequence[str]
) -> Floats:
    """Weights [n]. recent: fading with age; strata: each topic weighs the same, `topics` [N] by article;
    loss: the parent's loss, so what it is about to forget comes most (as in MIR, Aljundi et al. 2019)."""
    if how == "recent":
        span = max(float(rows.ts.max() - rows.ts.min()), 1.0)
        faded: Floats = np.exp2(-HALVES * (rows.ts.max() - rows.ts) / span)
        return faded
    if how == "strata":
        read = [topics[i] for i in rows.cand[np.arange(len(rows)), rows.target]]
        often = Counter(read)
        return np.array([1 / often[topic] for topic in read])
    logits = torch.from_numpy(scores(parent, rows, base))
    loss = F.cross_entropy(logits, torch.from_numpy(rows.target), reduction="none")
    found: Floats = np.maximum(loss.double().numpy(), 1e-6)
    return found
