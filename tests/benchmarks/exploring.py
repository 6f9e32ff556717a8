"""`make bench-explore`: ways to give new articles their early impressions, on the synthetic site, which
clicks on what it is shown: the scorer, the counters and the bound are those that run in production.

All begin with the same visits under the shipped policy, of which one first model is trained; what is counted
comes after. Each seed is another site, the same one for every policy, so what is compared are pairs.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.special import stdtrit

from streamrec.config import Settings
from streamrec.evaluation.vectors import VectorCache
from streamrec.model.encoder import article_text
from streamrec.model.network import Recommender
from tests.benchmarks.exploring_policies import POLICIES
from tests.benchmarks.exploring_site import Encode, Run, Sizes

Figures = dict[str, float]
EARLY, ENOUGH = 1000, 20  # visits that are an article's first, impressions that try it out
CACHE = Path(os.environ.get("STREAMREC_HOME", "build")) / "evaluate"
COLUMNS = {
    "clicks": ("clicks a visit", 4), "second": ("of the second half", 4), "last": ("of the last place", 4),
    "tried": (f"best tenth with {ENOUGH} impressions in {EARLY:,} visits", 2),
    "sample": ("sample that counts", 3), "ms": ("ms a list", 2), "share_ms": ("of these, for the chances", 3),
}


def compare(seed: int, names: list[str], sizes: Sizes, encode: Encode, dim: int) -> dict[str, Figures]:
    """The figures of some policies on one site."""
    first: Recommender | None = None
    found = {}
    for name in names:
        started = time.monotonic()
        run = Run(name, sizes.world(seed), sizes, encode, dim)
        first = run.go(first)
        found[name] = figures(run)
        told = " ".join(f"{k} {v:.4f}" for k, v in found[name].items())
        print(f"seed {seed}, {name}: {time.monotonic() - started:.0f} s: {told}", file=sys.stderr, flush=True)
    return found


def figures(run: Run) -> Figures:
    """Of `sample`: the weight of each impression that explored is one over its propensity."""
    deserved, weights = np.array(run.found["clicks"]), 1 / np.array(run.found["propensity"] or [np.nan])
    return {
        "clicks": float(deserved.mean()), "second": float(deserved[len(deserved) // 2 :].mean()),
        "last": float(np.mean(run.found["last"])), "tried": tried(run),
        "sample": float(weights.sum() ** 2 / (weights**2).sum() / len(weights)),
        "ms": float(np.median(run.found["ms"])),
        "share_ms": float(np.median(run.found["share_ms"] or [0.0])),
    }


def tried(run: Run) -> float:
    """Share of the truly best tenth of what is new that readers were soon shown."""
    world, total, some = run.world, run.sizes.total, run.world.readers[::5]
    came = {a.item_id: int(np.ceil(a.released_at * total)) for a in world.articles}
    new = [i for i, k in came.items() if run.sizes.warm <= k <= total - EARLY]
    worth = {i: sum(world.relevance(r, [i], came[i] / total)[0] for r in some) for i in new}
    best = sorted(new, key=lambda i: -worth[i])[: len(new) // 10]
    soon = [sum(k < came[i] + EARLY for k in run.shown[i]) for i in best]
    return float(np.mean([n >= ENOUGH for n in soon])) if soon else float("nan")


def table(runs: list[dict[str, Figures]]) -> str:
    """Markdown: means, and the difference to what is shipped with its 95 % interval over the seeds."""
    lines = ["| policy | " + " | ".join(title for title, _ in COLUMNS.values()) + " |",
             "|---" * (len(COLUMNS) + 1) + "|"]
    for name in runs[0]:
        cells = [_cell(runs, name, of, digits) for of, (_, digits) in COLUMNS.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(runs: list[dict[str, Figures]], name: str, of: str, digits: int) -> str:
    if of.endswith("ms"):  # what else the machine does in one run blurs means
        return f"{np.median([run[name][of] for run in runs]):.{digits}f}"
    mean = np.mean([run[name][of] for run in runs])
    if np.isnan(mean) or name == "shipped" or "shipped" not in runs[0]:
        return "-" if np.isnan(mean) else f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({_lead([run[name][of] - run['shipped'][of] for run in runs], digits)})"


def _lead(differences: list[float], digits: int) -> str:
    n, mean = len(differences), np.mean(differences)
    if n < 2:
        return f"{mean:+.{digits}f}"
    half = stdtrit(n - 1, 0.975) * np.std(differences, ddof=1) / n**0.5
    return f"{mean:+.{digits}f} [{mean - half:+.{digits}f}, {mean + half:+.{digits}f}]"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="sites")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--policies", default=",".join(POLICIES), help="which, with commas")
    parser.add_argument("--visits", type=int, default=Sizes().visits, help="that are counted, of each run")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sizes, runs = Sizes(visits=given.visits), []
    vectors = VectorCache(CACHE, Settings().encoder)
    for seed in range(given.first, given.first + given.seeds):
        vectors.load([article_text(a.title, a.body) for a in sizes.world(seed).articles])
        runs.append(compare(seed, given.policies.split(","), sizes, vectors.encode, vectors.dim))
    print(table(runs))


if __name__ == "__main__":
    main(sys.argv[1:])
