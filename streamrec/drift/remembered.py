"""What is remembered: the matrix R of the increments that the trainer told of, and forgetting."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Increments = Sequence[Mapping[str, Any]]  # see schedulers/quality.py
ROWS = COLUMNS = 12  # of the matrix R


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


def _mean_over(eras: Mapping[str, tuple[int, float]], group: Sequence[str]) -> float | None:
    there = [eras[e] for e in group if e in eras]
    total = sum(n for n, _ in there)
    return round(sum(n * x for n, x in there) / total, 3) if total else None


def forgetting(m: Matrix) -> float | None:
    """Mean over eras of the best NDCG@10 that any version had there minus the last version's (Chaudhry et
    al. 2018); None with fewer than two versions on any era."""
    lost = []
    for k in range(len(m.eras)):
        of = [row[k] for row in m.cells if row[k] is not None]
        if len(of) > 1 and m.cells[-1][k] is not None:
            lost.append(max(x for x in of[:-1] if x is not None) - (of[-1] or 0.0))
    return sum(lost) / len(lost) if lost else None
