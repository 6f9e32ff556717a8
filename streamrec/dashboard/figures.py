"""From what is watched to what is drawn: pure functions of beats, increments and reports."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from streamrec.drift.pulse import BINS
from streamrec.drift.remembered import Increments
from streamrec.events import DriftReport

Beats = Sequence[Mapping[str, Any]]
SPAN_S, RATE_S = 10.0, 60.0  # of a rate per second, of a click rate
FEW = 20  # slates that a click rate is told of


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
    sums = [[0.0, 0.0, 0.0] for _ in range(BINS)]
    for b in beats:
        for total, new in zip(sums, b["bins"], strict=False):
            for k in range(3):
                total[k] += new[k]
    return [Bin(p / n, k / n, int(n)) for n, p, k in sums if n >= FEW]


class Mark(NamedTuple):
    """Something that happened. `lane`: alarm, update or swap."""

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
