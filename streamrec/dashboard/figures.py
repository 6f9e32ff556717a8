"""From what is watched to what is drawn: pure functions of beats, increments and reports."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from streamrec.events import DriftReport

Beats = Sequence[Mapping[str, Any]]
Increments = Sequence[Mapping[str, Any]]
SPAN_S, RATE_S = 10.0, 60.0  # of a rate per second, of a click rate
FEW = 20  # slates that a click rate is told of
ROWS = COLUMNS = 12  # of the matrix R that are drawn


def per_second(beats: Beats, name: str, span_s: float = SPAN_S) -> float | None:
    """How many a second lately; None before the first beat."""
    if not beats:
        return None
    since = beats[-1]["at"] - span_s
    return float(sum(b.get(name, 0) for b in beats if b["at"] > since) / span_s)


def click_rates(beats: Beats, span_s: float = RATE_S) -> dict[str, list[tuple[float, float]]]:
    """Share of slates clicked over the last `span_s`, at each beat, by policy."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for policy in sorted({p for b in beats for p in b["slates"]}):
        start, shown, clicked = 0, 0, 0
        for b in beats:
            n, k = b["slates"].get(policy, (0, 0))
            shown, clicked = shown + n, clicked + k
            while beats[start]["at"] <= b["at"] - span_s:
                n, k = beats[start]["slates"].get(policy, (0, 0))
                shown, clicked, start = shown - n, clicked - k, start + 1
            if shown >= FEW:
                found[policy].append((b["at"], clicked / shown))
    return dict(found)


def delays_ms(beats: Beats) -> tuple[int, int] | None:
    """p50 and p99 from a click to a list that knows it, of the newest beat that saw any."""
    for b in reversed(beats):
        if b["delays_ms"]:
            return b["delays_ms"][0], b["delays_ms"][1]
    return None


class Bin(NamedTuple):
    """Places of clicked slates that the model gave about the same chance."""

    predicted: float
    clicked: float
    places: int


def calibration(beats: Beats) -> list[Bin]:
    """What the model said of places of clicked slates, and what came of them."""
    sums = [[0.0, 0.0, 0.0] for _ in range(10)]
    for b in beats:
        for total, new in zip(sums, b["bins"], strict=False):
            for k in range(3):
                total[k] += new[k]
    return [Bin(p / n, k / n, int(n)) for n, p, k in sums if n >= FEW]


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


class Mark(NamedTuple):
    """Something that happened. `lane`: alarm, update, swap or rollback."""

    at: float
    lane: str
    text: str
    link: str = ""


def timeline(reports: Sequence[DriftReport], increments: Increments, beats: Beats) -> list[Mark]:
    """Alarms, updates and swaps on one axis, oldest first."""
    marks = [
        Mark(r.generated_at, "alarm", f"{f.detector}: {f.detail}", f"drift/{r.report_id}")
        for r in reports for f in r.findings if f.alarm
    ]
    marks += [
        Mark(q["at"], "update", f"version {q['version']} published ({q['trigger']}), {q['rows']} rows"
             if q["published"] else f"refused ({q['trigger']}): {q['reason']}", "models")
        for q in increments
    ]
    for before, b in zip(beats, beats[1:], strict=False):
        if b["version"] != before["version"]:
            marks.append(Mark(b["at"], "swap", f"version {b['version']} serves", "models"))
    return sorted(marks)


def age(seconds: float | None) -> str:
    """A span of time for people."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}" if seconds >= 10 * size else f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def number(x: float | None, digits: int = 0) -> str:
    """A number for people; nothing known is a dash."""
    return "-" if x is None else f"{x:,.{digits}f}"
