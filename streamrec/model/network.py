"""The recommender network: text where there are no counts, counts where there are.

score = reader . article / temperature + weights . features + a small MLP of the features,
all features standardised; the MLP's last layer starts at zero.
An article is its cached text vector through a head that starts as the identity; a reader is
attention over the articles they read last (as in NRMS, Wu et al. 2019, with one learned query),
so there is no user table to grow. The untrained network already ranks sensibly.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamrec.config import Model
from streamrec.model.features import FEATURES, PARTS

CLAMP = 6.0  # standard deviations: an outlier may not outvote the text
# Weights before any training: read more is better, older is worse; the others are 0.
PRIOR = {"popular_short": 0.5, "popular_middle": 0.3, "popular_long": 0.2, "popular_ever": 0.1,
         "age": -0.2, "co_read": 0.3}
HIDDEN = (64, 32)
TEMPERATURE = 0.1


class Recommender(nn.Module):
    """Scores articles for readers. Shapes: B readers, H reads, C candidates, F features, d dims."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, history: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dim, self.history, self.dropout = dim, history, dropout
        self.head = nn.Linear(dim, dim, bias=False)  # no bias: no text stays the zero vector
        self.reader = nn.Linear(dim, dim, bias=False)
        nn.init.eye_(self.head.weight)
        nn.init.eye_(self.reader.weight)
        self.query = nn.Parameter(torch.zeros(dim))
        self.recency = nn.Parameter(-0.15 * torch.arange(history, dtype=torch.float32))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(TEMPERATURE)))
        self.weights = nn.Parameter(torch.tensor([PRIOR.get(f, 0.0) for f in FEATURES]))
        self.interplay = _mlp(len(FEATURES))
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("std", torch.ones(len(FEATURES)))

    @classmethod
    def initial(cls, dim: int, settings: Model) -> "Recommender":
        """The untrained prior for text vectors of `dim`."""
        return cls(dim, settings.history, settings.dropout).eval()

    @torch.no_grad()
    def standardise(self, feats: Tensor) -> None:
        """Fix mean and deviation from feats [n, F] of the first window; NaN is left out."""
        known = ~torch.isnan(feats)
        n = known.sum(0).clamp(min=1)
        mean = torch.where(known, feats, 0.0).sum(0) / n
        var = torch.where(known, (feats - mean) ** 2, 0.0).sum(0) / n
        # A feature that never varied must not explode when it first does.
        self.mean.copy_(mean)
        self.std.copy_(torch.where(var > 1e-6, var.sqrt(), 1.0))

    def standardised(self, feats: Tensor) -> Tensor:
        """Raw features [..., F] as deviations within +-6; NaN (unknown) becomes 0, the average."""
        scaled = (feats - self.mean) / self.std
        return torch.nan_to_num(scaled, nan=0.0).clamp(-CLAMP, CLAMP)

    def linear(self, feats: Tensor, at: slice) -> Tensor:
        """[n]: what the features at some places [n, k], raw, add by their linear weights."""
        scaled = torch.nan_to_num((feats - self.mean[at]) / self.std[at], nan=0.0)
        return scaled.clamp(-CLAMP, CLAMP) @ self.weights[at]

    def articles(self, base: Tensor) -> Tensor:
        """Text vectors [N, d] -> unit article vectors [N, d]; a zero vector stays zero."""
        weight = self.head.weight
        # One mask of dimensions for the whole batch: as good here, and free.
        kept = F.dropout(weight.new_ones(self.dim), self.dropout, self.training)
        return F.normalize(base.to(weight.dtype) @ (weight * kept).T, dim=-1)

    def readers(self, hist: Tensor, mask: Tensor) -> Tensor:
        """Article vectors [B, H, d] of the last reads, newest first, and mask [B, H] (True: real)
        -> reader vectors [B, d]; a reader without history gets the zero vector."""
        attention = self._attention(hist @ self.query, mask)
        found: Tensor = self.reader((attention[:, None] @ hist)[:, 0])
        return found

    def _attention(self, salience: Tensor, mask: Tensor) -> Tensor:
        scores = salience + self.recency[: mask.shape[1]]
        return torch.softmax(scores.masked_fill(~mask, -1e9), dim=1) * mask

    def parts(self, dots: Tensor, feats: Tensor) -> dict[str, Tensor]:
        """The additive parts [...] of each score that explain it: popularity, freshness, co_read and
        content; the rest is what the features do together. Takes dots of reader and article [...],
        feats [..., F]."""
        scaled = self.standardised(feats)
        weighted = scaled * self.weights
        found = {name: weighted[..., at].sum(-1) for name, at in PARTS.items()}
        found["content"] = found["content"] + dots / self.temperature()
        return found

    def temperature(self) -> Tensor:
        """Within [0.02, 1]."""
        return self.log_temperature.clamp(math.log(0.02), 0.0).exp()

    def score(self, readers: Tensor, articles: Tensor, feats: Tensor) -> Tensor:
        """Scores [B, C]: the sum of `parts`, and what the features do together."""
        return self.combine(_dots(readers, articles), feats)

    def combine(self, dots: Tensor, feats: Tensor) -> Tensor:
        """Scores [...] from dots of reader and article [...] and features [..., F]."""
        scaled = self.standardised(feats)
        together: Tensor = self.interplay(scaled)[..., 0]
        return dots / self.temperature() + scaled @ self.weights + together

    def forward(
        self, base: Tensor, hist: Tensor, mask: Tensor, cand: Tensor, feats: Tensor
    ) -> Tensor:
        """Logits [B, C]. `hist` [B, H] and `cand` [B, C] are rows of `base` [U, d], which holds
        each distinct article once: it is encoded once, not B*C times (GRAM, Yang et al. 2022).

        The same sums as `readers` and `score`, by matrix products over [B, U]: gathering vectors
        to [B, C, d] first would take twice the time of everything else.
        """
        articles = self.articles(base)
        attention = self._attention((articles @ self.query)[hist], mask)
        spread = attention.new_zeros(len(hist), len(base)).scatter_add(1, hist, attention)
        readers = self.reader(spread.to(articles.dtype) @ articles)
        return self.combine((readers @ articles.T).gather(1, cand), feats)


def _mlp(inputs: int) -> nn.Sequential:
    """Features -> one number, zero before any training."""
    sizes = (inputs, *HIDDEN)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same prior every time
        layers = [m for a, b in zip(sizes, sizes[1:], strict=False) for m in (nn.Linear(a, b), nn.ReLU())]
    last = nn.Linear(sizes[-1], 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


def _dots(readers: Tensor, articles: Tensor) -> Tensor:
    """[B, C] from readers [B, d] and articles [C, d] or [B, C, d]."""
    if articles.dim() == 2:
        return readers @ articles.T
    return (articles @ readers[:, :, None])[..., 0]
