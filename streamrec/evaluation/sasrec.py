"""A nightly retrain: self-attention over article ids (SASRec, Kang & McAuley 2018), from scratch.

Trained by sampled softmax instead of their binary loss, which is what made it lose to later models
(Klenitskiy & Vasilev 2023). An id says nothing of an article that came after the training, so
those rank last, by popularity: the limit of every id model on a site of new articles.
"""

import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from math import log

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamrec.evaluation.arm import Cost, Floats, Moment
from streamrec.evaluation.heuristics import Doubles, Heuristic, Numbers, fallback
from streamrec.events import Feedback
from streamrec.replay import Row

LENGTH, DIM, BLOCKS, HEADS, DROPOUT = 50, 64, 2, 2, 0.2
BATCH, NEGATIVES, RATE, EPOCHS, PATIENCE, HELD_OUT = 32, 256, 5e-3, 25, 5, 0.05
PAD = 0  # article n has id n + 1


class SasRecNet(nn.Module):
    """Readers as the last article's place in a causal transformer, articles as its embeddings."""

    def __init__(self, articles: int) -> None:
        super().__init__()
        self.items = nn.Embedding(articles + 1, DIM, padding_idx=PAD)
        self.places = nn.Embedding(LENGTH, DIM)
        for table in (self.items, self.places):
            nn.init.normal_(table.weight, std=DIM**-0.5)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(DIM, HEADS, DIM, DROPOUT, batch_first=True, norm_first=True)
            for _ in range(BLOCKS)
        )
        self.norm, self.dropout = nn.LayerNorm(DIM), nn.Dropout(DROPOUT)

    def forward(self, reads: Tensor) -> Tensor:
        """Ids [B, L], oldest first, padded on the right -> states [B, L, DIM] after each read."""
        x = self.dropout(self.items(reads) * DIM**0.5 + self.places.weight[: reads.shape[1]])
        future = torch.ones(reads.shape[1], reads.shape[1], dtype=torch.bool).triu(1)
        for block in self.blocks:
            x = block(x, src_mask=future)
        states: Tensor = self.norm(x)
        return states


class Sequences:
    """What every reader read, cut into pieces: inputs, targets [S, LENGTH] and which of the
    targets are held out: about the last 5 % of each reader's."""

    def __init__(self, readers: Sequence[Sequence[int]], rng: np.random.Generator) -> None:
        inputs, targets, held = [], [], []
        for ids in readers:
            last = len(ids) - int(len(ids) * HELD_OUT + rng.random())  # short ones by chance
            for start in range(0, len(ids) - 1, LENGTH):
                piece = list(ids[start : start + LENGTH + 1])
                fill = [PAD] * (LENGTH + 1 - len(piece))
                inputs.append([*piece[:-1], *fill])
                targets.append([*piece[1:], *fill])
                held.append([start + 1 + k >= last for k in range(LENGTH)])
        self.inputs, self.targets = torch.tensor(inputs), torch.tensor(targets)
        self.held = torch.tensor(held) & (self.targets != PAD)
        self.fit = ~self.held & (self.targets != PAD)
        self.lengths = (self.targets != PAD).sum(1)

    def batches(self, rng: np.random.Generator) -> Iterator[Tensor]:
        """Rows of batches of about equal lengths, in random order."""
        order = np.lexsort((rng.random(len(self.lengths)), self.lengths.numpy()))
        cuts = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        for k in rng.permutation(len(cuts)):
            yield torch.from_numpy(cuts[k])


class Training:
    """One training from scratch; deterministic by seed."""

    def __init__(self, readers: Sequence[Sequence[int]], articles: int, seed: int) -> None:
        self.rng, self.articles, self.steps, self.tokens = np.random.default_rng(seed), articles, 0, 0
        self.data = Sequences(readers, self.rng)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = SasRecNet(articles)
            self._fit()
        self.net.eval()

    def _fit(self) -> None:
        """Until the held-out rank has not improved for PATIENCE epochs; the best epoch's weights.
        Not the held-out loss: where articles are read a few times each it is least before anything
        is learned, and the ranking still improves tenfold."""
        optimizer = torch.optim.Adam(self.net.parameters(), lr=RATE, betas=(0.9, 0.98))
        best, at, weights = -1.0, 0, self.net.state_dict()
        for epoch in range(EPOCHS):
            for rows in self.data.batches(self.rng):
                self._step(rows, optimizer)
            rank = self._held_out_rank()
            if rank > best or not self.data.held.any():
                best, at, weights = rank, epoch, deepcopy(self.net.state_dict())
            if epoch - at >= PATIENCE:
                break
        self.net.load_state_dict(weights)

    def _step(self, rows: Tensor, optimizer: torch.optim.Optimizer) -> None:
        self.net.train()
        n = int(self.data.lengths[rows].max())
        fit = self.data.fit[rows, :n]
        if not fit.any():
            return
        states = self.net(self.data.inputs[rows, :n])[fit]
        loss = self._loss(states, self.data.targets[rows, :n][fit])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        optimizer.step()
        self.steps += 1
        self.tokens += int(fit.sum())

    def _loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """Softmax of each target against articles drawn uniformly for the whole batch."""
        drawn = torch.from_numpy(self.rng.integers(1, self.articles + 1, NEGATIVES))
        logits = states @ self.net.items(drawn).T
        logits = logits.masked_fill(drawn == targets[:, None], -torch.inf)
        own = (states * self.net.items(targets)).sum(1, keepdim=True)
        return F.cross_entropy(torch.cat([own, logits], 1), torch.zeros(len(targets), dtype=torch.long))

    @torch.no_grad()
    def _held_out_rank(self) -> float:
        """Mean reciprocal rank among all articles; 0 where nothing is held out."""
        self.net.eval()
        total, n = 0.0, 0
        for rows in torch.split(torch.nonzero(self.data.held.any(1))[:, 0], 4 * BATCH):
            held = self.data.held[rows]
            logits = self.net(self.data.inputs[rows])[held] @ self.net.items.weight[1:].T
            own = logits.gather(1, self.data.targets[rows][held][:, None] - 1)
            total += float((1.0 / (logits >= own).sum(1)).sum())
            n += int(held.sum())
        return total / max(n, 1)


class SasRec(Heuristic):
    """See the module. `popularity`: weight on the logits of ln(hot reads), which lets articles of
    after the training in, at the mean logit: the usual way to put such a model on a news site."""

    def __init__(self, seed: int, popularity: float = 0.0) -> None:
        self._seed, self._popularity, self._popular = seed, popularity, fallback()
        self._numbers, self._readers = Numbers(), dict[str, list[int]]()
        self._net: SasRecNet | None = None
        self._items: Floats = np.zeros((0, DIM), np.float32)

    def observe(self, event: Feedback) -> None:
        """See Arm."""
        self._popular.observe(event)

    def learn(self, rows: Sequence[Row]) -> Cost:
        """See Arm: from scratch, on all rows so far. Tokens are articles through the network."""
        began = time.perf_counter()
        for row in rows:
            self._readers.setdefault(row.user, []).append(self._numbers.add(row.item) + 1)
        readers = [ids for ids in self._readers.values() if len(ids) > 1]
        if not readers:
            return Cost(time.perf_counter() - began)
        done = Training(readers, len(self._numbers.ids), self._seed)
        self._net, self._items = done.net, done.net.items.weight[1:].detach().numpy()
        return Cost(time.perf_counter() - began, done.steps, done.tokens)

    def scores(self, moment: Moment) -> Floats:
        """See Arm. A reader without reads that the training knew gets what is popular."""
        of, known = self._numbers.of, len(self._items)
        reads = [of.get(r.item, known) for r in moment.history if r.kind != "dismiss"]
        reads = [n + 1 for n in reads if n < known][:LENGTH]
        if not reads or self._net is None:
            return self._popular.scores(moment)
        logits = self._items @ self._state(self._net, reads[::-1])
        found = self._numbers.spread(logits.astype(np.float64), moment.state.articles, np.nan)
        return self._with_new(found, float(logits.min()), float(logits.mean()), moment)

    @staticmethod
    @torch.inference_mode()
    def _state(net: SasRecNet, reads: list[int]) -> Floats:
        state: Floats = net(torch.tensor([reads]))[0, -1].numpy()
        return state

    def _with_new(self, found: Doubles, lowest: float, mean: float, moment: Moment) -> Floats:
        """The scores, where the logits of new articles are NaN."""
        if self._popularity:
            hot = self._popularity * log(2.0) * self._popular.log_reads(moment)
            return np.asarray(np.where(np.isnan(found), mean, found) + hot, np.float32)
        placed = np.where(np.isnan(found), lowest - 1.0, found)
        return np.asarray(placed + self._popular.tie_break(moment), np.float32)
