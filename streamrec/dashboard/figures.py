"""From what is watched to what is drawn: pure functions of beats, increments and reports."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from streamrec.dashboard.address import path
from streamrec.drift.pulse import BINS
from streamrec.drift.remembered import Increments
from streamrec.events import ASKED, DriftReport
from streamrec.registry import VersionRecord

Beats = Sequence[Mapping[str, Any]]
Rollbacks = Sequence[Mapping[str, Any]]  # as `streamrec status` tells them
SPAN_S, RATE_S = 10.0, 60.0  # of a rate per second, of a click rate
FEW = 20  # slates that a click rate is told of
SIGMAS = 5.0
GAP_S = 15.0  # between two beats: nobody counted there
SOON_S = 120.0  # in which scorers take a version up
WHOSE = {"drift": "upon the alarm", "time": "by the timer", "rows": "by the number of new rows"}
Rates = dict[str, list[tuple[float, float | None]]]


def per_second(beats: Beats, name: str, span_s: float = SPAN_S) -> float | None:
    """How many a second lately; None before the first beat."""
    if not beats:
        return None
    since = beats[-1]["at"] - span_s
    return float(sum(b.get(name, 0) for b in beats if b["at"] > since) / span_s)


def click_rates(beats: Beats, span_s: float = RATE_S) -> Rates:
    """Share of slates clicked over the last `span_s`, at each beat, by policy. None: it is not known there,
    as beats are missing or saw too few slates; a line through it would be made up."""
    found: Rates = defaultdict(list)
    for policy in sorted({p for b in beats for p in b["slates"]}):
        start, shown, clicked, last = 0, 0, 0, None
        for b in beats:
            n, k = b["slates"].get(policy, (0, 0))
            shown, clicked = shown + n, clicked + k
            while beats[start]["at"] <= b["at"] - span_s:
                n, k = beats[start]["slates"].get(policy, (0, 0))
                shown, clicked, start = shown - n, clicked - k, start + 1
            if last is not None and b["at"] - last > GAP_S:
                found[policy].append((last, None))
            found[policy].append((b["at"], clicked / shown if shown >= FEW else None))
            last = b["at"]
    return {p: points for p, points in found.items() if any(x is not None for _, x in points)}


def behind(beats: Beats) -> list[str]:
    """Controls whose slates were clicked more often than the live model's, by more than chance would have it,
    over all beats."""
    totals = {p: [sum(b["slates"].get(p, (0, 0))[i] for b in beats) for i in (0, 1)]
              for p in {p for b in beats for p in b["slates"]}}
    live = totals.pop("live", [0, 0])
    return [p for p, control in sorted(totals.items())
            if min(control[0], live[0]) >= FEW and _above(control, live)]


def _above(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether of (shown, clicked) a's share lies above b's by many standard errors of one share of both: it
    is looked at all day, and one reader's clicks are alike."""
    (n, k), (m, j) = a, b
    both = (k + j) / (n + m)
    return bool(k / n - j / m > SIGMAS * (both * (1 - both) * (1 / n + 1 / m)) ** 0.5)


def delays_ms(beats: Beats) -> tuple[int, int] | None:
    """p50 and p99 from a click to a list that knows it, of the newest beat that saw any; of none if that is
    long ago."""
    lately = (b["delays_ms"] for b in reversed(beats) if b["at"] >= beats[-1]["at"] - RATE_S)
    found = next((d for d in lately if d), None)
    return (found[0], found[1]) if found else None


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
    """Something that happened. `lane`: alarm, update or swap; `link`: a path of ours; `refused`: an update
    that came to nothing."""

    at: float
    lane: str
    text: str
    link: str = path("models")
    refused: bool = False


def timeline(
    reports: Sequence[DriftReport], increments: Increments, beats: Beats, records: Sequence[VersionRecord],
    rollbacks: Rollbacks = (),
) -> list[Mark]:
    """Alarms, updates and swaps on one axis, oldest first."""
    alarms = [
        Mark(r.generated_at, "alarm", f"{f.detector}: {f.detail}", path("drift", r.report_id))
        for r in reports for f in r.findings if f.alarm
    ]
    updates = [
        Mark(q["at"], "update", f"version {q['version']} published ({q['trigger']}), {q['rows']} rows"
             if q["published"] else f"refused ({q['trigger']}): {q['reason']}", refused=not q["published"])
        for q in increments
    ]
    return sorted(alarms + updates + _swaps(beats, records, rollbacks))


def done_about(report: DriftReport, increments: Increments) -> str:
    """What a report did, and what became of an update that it asked for, or could not ask for yet: the next
    one answers it, and whose that was is told."""
    action = report.action
    if not action or action.startswith("none"):
        return action
    after = next((q for q in increments if q["at"] > report.generated_at), None)
    if after is None:
        return f"{action}; none since"
    whose = WHOSE.get(after["trigger"], after["trigger"])
    became = f"version {after['version']} published, {whose}" if after["published"] else \
        f"refused, {after['reason']} ({whose})"
    return f"{action}: {became}" if action == ASKED else f"{action}; since then: {became}"


def _swaps(beats: Beats, records: Sequence[VersionRecord], rollbacks: Rollbacks) -> list[Mark]:
    """As beats saw them, to the second; beats are kept for minutes only, so what is older is taken from the
    versions and the rollbacks, which scorers take up as they come."""
    seen = [(b["at"], b["version"]) for before, b in zip(beats, beats[1:], strict=False)
            if b["version"] != before["version"]]
    since = beats[0]["at"] if beats else float("inf")
    told = [(r.created_at, r.version, "version {} published, and taken up") for r in records]
    told += [(r["at"], r["version"], "rolled back to version {}") for r in rollbacks]
    older = [Mark(begun, "swap", what.format(version)) for begun, version, what in told
             if begun < since and not any(v == version and 0 <= at - begun < SOON_S for at, v in seen)]
    return older + [Mark(at, "swap", f"version {v} serves") for at, v in seen]


def serves(facts: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether what is to serve does, in a sentence."""
    serving, refused = facts.get("serving"), facts.get("serving_refused")
    if refused:
        instead = f"version {serving} answers" if serving else "popularity and text answer"
        return False, (f"Version {refused['version']} is to serve and was refused, {instead}: "
                       f"{refused['why']}.")
    return (True, f"Version {serving} serves.") if serving else (None, "No version serves yet.")


def parent_of(increment: Mapping[str, Any], records: Sequence[VersionRecord], current: str | None) -> str:
    """The version that an increment went on from. Of a refused one no record tells: it is the one published
    before, unless a rollback may have come between, which shows in what the next one went on from."""
    at = increment["at"]
    known = {r.version: r.parent for r in records}
    if increment["version"] in known:
        return known[increment["version"]] or "-"
    before = next((r.version for r in reversed(records) if r.created_at <= at), None)
    later = next((r.parent for r in records if r.created_at > at), current)
    return before if before and before == later else "-"


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
