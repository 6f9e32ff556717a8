"""An evaluation as a whole: variants chosen on the tuning windows, then every arm over all windows.

The work is cut into units of one arm, variant and seed, each kept in a file as soon as it is done:
what was interrupted goes on where it stopped, and says the same as if it had not been.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.config import Settings
from streamrec.errors import SetupError
from streamrec.evaluation import arms, log, unit
from streamrec.evaluation.learned import Learned
from streamrec.evaluation.matrix import matrix
from streamrec.evaluation.metrics import ndcg
from streamrec.evaluation.schedule import Protocol, plan
from streamrec.evaluation.side_by_side import side_by_side
from streamrec.evaluation.site import Site
from streamrec.evaluation.store import Done, Kept, Run, code_of, folder_name, write
from streamrec.evaluation.vectors import VectorCache

Say = Callable[[str, float, float], None]  # what is done, units done, units in all
HEAVY = {  # of a heuristic's time
    "retrain": 12.0, "retrain-warm": 8.0, "sasrec": 8.0, "top:1": 40.0, "lora": 40.0, "lora-naive": 40.0,
}
LEARNED = 4.0


@dataclass(frozen=True)
class Request:
    """What is to be evaluated."""

    folder: Path
    arms: tuple[str, ...]
    seeds: int = 5
    protocol: Protocol = Protocol()
    lang: str = ""
    with_text: bool = False
    limit: int | None = None
    jobs: int = 1
    outside: dict[str, str] = field(default_factory=dict)
    truth: str = ""  # place of a Truth
    cache: Path = Path("evaluations")


Unit = tuple[Run, ...]  # what one process does: heuristics share a walk through the log


def _weight(u: Unit) -> float:
    """A unit's expected time, in walks of a heuristic: one at least."""
    return max(1.0, sum((0.3 if r.until is not None else 1.0) * HEAVY.get(
        r.arm, LEARNED if arms.learns(r.arm) else 0.1) for r in u))


def evaluate(
    request: Request, settings: Settings, say: Say = lambda *_: None
) -> dict[tuple[str, str, int], Done]:
    """Runs of every arm with its chosen variant, by (arm, variant, seed). Raises SetupError."""
    families = {name: arms.variants(name, request.outside) for name in request.arms}
    folder = request.cache / folder_name(request.folder, _asked(request), settings)
    kept = Kept(folder, {name: code_of(place) for name, place in request.outside.items()})
    first = _tuning(families, request)
    last_seeds = {n: _seeds(n, request.seeds) for n in families}
    guess = [(Run(n, "", s, None),) for n in families if not _shared(n, request) for s in last_seeds[n]]
    total, done = sum(map(_weight, [*first, *guess])), 0.0
    for u in _run(first, request, settings, kept):
        done += _weight(u)
        say(f"chose among {u[0].arm}", done, total)
    chosen = {n: _best(n, vs, kept, request) for n, vs in families.items()}
    runs = [Run(n, chosen[n], s, None) for n in families for s in last_seeds[n]]
    for u in _run([(r,) for r in runs], request, settings, kept):
        done += 0.0 if _shared(u[0].arm, request) else _weight(u)
        say(f"{u[0].arm}, seed {u[0].seed}", done, total)
    return {(r.arm, r.variant, r.seed): kept.read(r) or {} for r in runs}


def _tuning(families: dict[str, list[str]], request: Request) -> list[Unit]:
    """First all heuristics over all windows in one walk; then the learners' variants over the tuning
    windows, one at a time."""
    walk = [Run(n, v, 0, None) for n, vs in families.items() if _shared(n, request) for v in vs]
    learners = [n for n, vs in families.items() if not _shared(n, request) and len(vs) > 1]
    alone = [(Run(n, v, 0, request.protocol.tuning),) for n in learners for v in families[n]]
    return [*([tuple(walk)] if walk else []), *alone]


def _shared(name: str, request: Request) -> bool:
    """Arms so cheap that all their variants walk through the log together. An outside system is none of
    them: its mistake would cost the others their work."""
    return not arms.learns(name) and name not in HEAVY and name not in request.outside


def _seeds(name: str, seeds: int) -> range:
    """What chance has no part in runs once."""
    return range(seeds if arms.learns(name) or name == "sasrec" else 1)


def _best(name: str, variants: list[str], kept: Kept, request: Request) -> str:
    """The variant with the best NDCG@10 on the tuning windows, or AUC where slates were logged."""
    if len(variants) == 1:
        return variants[0]
    tuning = request.protocol.tuning
    until = None if _shared(name, request) else tuning

    def quality(variant: str) -> float:
        rows = (kept.read(Run(name, variant, 0, until)) or {})["rows"]
        early = np.array(rows["window"]) <= tuning
        aucs = np.array(rows["auc"], dtype=np.float64)[early]
        if not np.isnan(aucs).all():
            return float(np.nanmean(aucs))
        return float(ndcg(np.array(rows["rank"], dtype=np.float64)[early]).mean())

    return max(variants, key=quality)


def _run(units: list[Unit], request: Request, settings: Settings, kept: Kept) -> Iterator[Unit]:
    """Run what is not there yet, a process a unit so that memory is measured; yields each."""
    missing = {u: tuple(r for r in u if kept.read(r) is None) for u in units}
    yield from (u for u, runs in missing.items() if not runs)
    tasks = ((u, (runs, request, settings, kept)) for u, runs in missing.items() if runs)
    yield from side_by_side(work, tasks, request.jobs)


def work(runs: Unit, request: Request, settings: Settings, kept: Kept) -> None:
    """One unit, in its own process. Each run is written as soon as it is complete."""
    import torch
    torch.set_num_threads(1)  # small matrices: more threads are slower, and units run side by side
    read = log.read(request.folder, lang=request.lang, with_text=request.with_text, limit=request.limit)
    vectors = _vectors(read, request, settings)
    schedule, fingerprint = plan(read, request.protocol), vectors.fingerprint
    site = Site(settings, vectors.encode, vectors.dim)
    of = request.outside, request.folder
    made = [arms.build(r.arm, r.variant, r.seed, site, fingerprint, *of) for r in runs]
    truth = arms.truth(request.truth, request.folder)
    records = unit.run(read, schedule, site, made, runs[0].until, truth)
    for r, arm, record in zip(runs, made, records, strict=True):
        if isinstance(arm, Learned) and r.until is None:
            again = Site(settings, vectors.encode, vectors.dim)
            rerank = settings.scorer.rerank
            record.matrix, record.matrix_dormant = matrix(read, schedule, again, arm, rerank)
        write(kept.file(r), record, site)


def prepare(request: Request, settings: Settings, progress: Callable[[int, int], None]) -> log.Log:
    """Read the log and encode its texts, which every unit needs. Raises SetupError."""
    read = log.read(request.folder, lang=request.lang, with_text=request.with_text, limit=request.limit)
    plan(read, request.protocol)
    _vectors(read, request, settings, progress)
    return read


def _vectors(
    read: log.Log, request: Request, settings: Settings, progress: Callable[[int, int], None] | None = None
) -> VectorCache:
    vectors = VectorCache(request.cache, settings.encoder)
    vectors.load([read.text(i) for i in read.articles], progress)
    return vectors


def _asked(request: Request) -> dict[str, Any]:
    """What of a request changes the result of every arm."""
    apart = ("arms", "seeds", "jobs", "cache", "outside")
    return {k: v for k, v in asdict(request).items() if k not in apart}


def check(request: Request) -> None:
    """Raises SetupError for what can be seen to be wrong before any work."""
    if not request.arms:
        raise SetupError("no arms: leave --arms out for all of them")
    for name in request.arms:
        arms.variants(name, request.outside)
    arms.truth(request.truth, request.folder)
