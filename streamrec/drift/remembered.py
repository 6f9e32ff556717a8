"""What is remembered: the matrix R of the increments that the trainer told of, and forgetting."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from streamrec.events import ModelDiff, Moved

Increments = Sequence[Mapping[str, Any]]  # see schedulers/quality.py
ROWS = COLUMNS = 12  # of the matrix R
SAID = 3  # of its cells


class Matrix(NamedTuple):
    """NDCG@10 of each version (rows) on rows of each era (columns); None: not measured."""

    versions: list[str]
    eras: list[str]
    cells: list[list[float | None]]


def remembered(increments: Increments) -> Matrix:
    """The matrix R of the newest versions; neighbouring eras are put together where there are many."""
    published = [q for q in increments if q["published"] and q["eras"]][-ROWS:]
    names = list(dict.fromkeys(era for q in published for era, _, _ in q["eras"]))
    size = max(1, -(-len(names) // COLUMNS))
    groups = [names[i : i + size] for i in range(0, len(names), size)]
    titles = [g[0] if len(g) == 1 else f"{g[0]}-{g[-1]}" for g in groups]
    cells = [[_mean_over({e: (n, x) for e, n, x in q["eras"]}, g) for g in groups] for q in published]
    return Matrix([q["version"] for q in published], titles, cells)


def so_far(m: Matrix) -> str:
    """What is known, and what is missing, where nobody can tell yet what was forgotten."""
    known = [f"version {v} on era {era} {x:.3f}" for v, row in zip(m.versions, m.cells, strict=True)
             for era, x in zip(m.eras, row, strict=True) if x is not None]
    if not known:
        return "Not known yet: no version was measured on an earlier era."
    return (f"Known so far: {', '.join(known[-SAID:])}. What is forgotten is known once a later version was "
            "measured on the same era.")


def with_eras(diff: ModelDiff, increments: Increments) -> ModelDiff:
    """The diff with NDCG@10 of both versions on rows of the eras that both were asked about; those lost most
    come first."""
    known = {q["version"]: {e: x for e, _, x in q["eras"]} for q in increments if q["published"]}
    before, after = known.get(diff.older, {}), known.get(diff.newer, {})
    found = [Moved(name=e, before=before[e], after=after[e]) for e in before if e in after]
    return replace(diff, eras=sorted(found, key=lambda m: m.after - m.before))


def _mean_over(eras: Mapping[str, tuple[int, float]], group: Sequence[str]) -> float | None:
    there = [eras[e] for e in group if e in eras]
    total = sum(n for n, _ in there)
    return round(sum(n * x for n, x in there) / total, 3) if total else None


def forgetting(increments: Increments) -> float | None:
    """NDCG@10 lost on each era since the best version before the last one (Chaudhry et al. 2018), mean over
    the rows kept of all eras; None with fewer than two versions on any of them."""
    published = [{era: (n, x) for era, n, x in q["eras"]} for q in increments if q["published"] and q["eras"]]
    if not published:
        return None
    last, lost, rows = published[-1], 0.0, 0
    for era, (n, now) in last.items():
        before = [q[era][1] for q in published[:-1] if era in q]
        if before:
            lost, rows = lost + n * (max(before) - now), rows + n
    return lost / rows if rows else None
