"""`python -m tests.benchmarks.gate`: how often the gate errs, on whole increments as they are shipped.

A stream with a known truth: after a first model, increments of 400 rows. Good ones are real rows; null
ones learn reshuffled labels (in each row to be learned any article stands for the one chosen, at random;
the rows that the gate holds out are true); unchanged ones compare a model with itself. The gate sees
what it sees in production: 80 held-out rows and anchors.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import argparse
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.benchmarks.servers import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests" / "learning"))
from synthetic_stream import DIM, articles, rows  # type: ignore[import-not-found]

from streamrec.config import Settings
from streamrec.learning.gate import Compared, Sets, verdict
from streamrec.learning.increment import increment, split
from streamrec.learning.state import TrainerState
from streamrec.model.bundle import from_files
from streamrec.replay import WindowRow

FIRST, ROWS, SEASON = 1500, 400, 4  # increments from one first model, so that each is a young one's


@dataclass
class Learner:
    """A model and what it carries."""

    state: TrainerState
    net: Any = None
    optimizer: Any = None

    def learn(self, window: list[WindowRow], seed: int) -> tuple[bool, float]:
        """One increment; whether it was published, and by how much its NDCG@10 on the held-out rows,
        which are true, is above its parent's."""
        settings = Settings()
        o = increment(
            state=self.state, parent=self.net, optimizer=self.optimizer, window=window,
            reservoir=[w.row for w in window], articles=ARTICLES, settings=settings, dim=DIM,
            encoder="gate", now=0.0, seed=seed,
        )
        self.state = TrainerState.from_files(o.state_files, settings.buffer)
        if o.verdict.publish:
            self.net, self.optimizer = from_files(o.model_files)[0], o.optimizer_files
        found = o.verdict.metrics
        change = found.get("holdout_ndcg_new", 0.0) - found.get("holdout_ndcg_old", 0.0)
        return o.verdict.publish, change


ARTICLES = articles()


def stream(seed: int, n: int) -> list[WindowRow]:
    """n rows of one stream, numbered from 1 in their only partition."""
    made = rows(n, list(ARTICLES), readers=200, partitions=1, seed=seed)
    return [WindowRow(0, k, w.row) for k, w in enumerate(made, 1)]


def reshuffled(window: list[WindowRow], seed: int) -> list[WindowRow]:
    """The same readers and times; what they chose is chance in the rows to be learned."""
    taken, held = split(window, Settings().trainer)
    items = np.random.default_rng(seed).choice(list(ARTICLES), len(taken))
    chance = [WindowRow(w.partition, w.ordinal, replace(w.row, item=str(i)))
              for w, i in zip(taken, items, strict=True)]
    return [*chance, *held]


def published(kind: str, of: int) -> tuple[int, float]:
    """How many of `of` increments of a kind were published, and the mean change of NDCG@10 of all."""
    count, total = 0, 0.0
    learner, seen = Learner(TrainerState.empty(Settings().buffer)), list[WindowRow]()
    for n in track(range(of), f"{kind:12}", console=Console(stderr=True)):
        k = n % SEASON
        if k == 0:
            seen = stream(n, FIRST + SEASON * ROWS)
            learner = Learner(TrainerState.empty(Settings().buffer))
            learner.learn(seen[:FIRST], n)
        since = learner.state.cursor.get(0, 0)
        window = seen[since : FIRST + (k + 1) * ROWS]
        good, change = learner.learn(reshuffled(window, n) if kind == "null" else window, n)
        count, total = count + good, total + change
    return count, total / of


def unchanged(of: int) -> int:
    """A model against itself: the gate can only be wrong by refusing."""
    rng = np.random.default_rng(0)
    same = [rng.random(80) for _ in range(of)]
    trainer = Settings().trainer
    return sum(verdict(Sets(Compared(a, a), Compared(a, a)), trainer, n).publish for n, a in enumerate(same))


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=200, help="of each kind (default: 200)")
    n = parser.parse_args().updates
    table = Table("updates", "of", "published", "refused", "mean change of NDCG@10")
    counted = {kind: published(kind, n) for kind in ("good", "null")} | {"unchanged": (unchanged(n), 0.0)}
    for kind, (got, change) in counted.items():
        table.add_row(kind, str(n), str(got), str(n - got), f"{change:+.4f}")
    Console().print(table)


if __name__ == "__main__":
    main()
