"""What the monitor sees, as Prometheus metrics."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamrec.drift.contract import Detector
from streamrec.drift.pulse import Pulse
from streamrec.drift.remembered import Increments, forgetting
from streamrec.events import DriftReport
from streamrec.metrics import (
    ALARMS,
    CLICK_TO_LIST,
    CLICK_TO_MODEL,
    CLICKED,
    DRIFT,
    FORGOTTEN,
    INCREMENTS,
    QUALITY,
    REPORTS,
    SLATES,
)


def start(detectors: Iterable[Detector]) -> None:
    """All series are there from the start: a first step from nothing is no increase to Prometheus."""
    for d in detectors:
        ALARMS.labels(d.name, d.kind)
    for verdict in ("published", "refused"):
        for trigger in ("rows", "time", "drift"):
            INCREMENTS.labels(verdict, trigger)


def beat(pulse: Pulse) -> None:
    """What happened since the last beat."""
    for delay in pulse.delays:
        CLICK_TO_LIST.observe(delay)
    for policy, (shown, clicked) in pulse.slates.items():
        SLATES.labels(policy).inc(shown)
        CLICKED.labels(policy).inc(clicked)


def increments(new: Sequence[Mapping[str, Any]], known: Increments) -> None:
    """Increments not told of yet, and all that are known."""
    for q in new:
        INCREMENTS.labels("published" if q["published"] else "refused", q["trigger"]).inc()
        if q["published"]:  # what the gate refused serves nobody
            CLICK_TO_MODEL.observe(q["behind_s"])
    for arm, found in (known[-1]["ndcg"] if known else {}).items():
        QUALITY.labels(arm).set(found[0])
    lost = forgetting(known)
    if lost is not None:
        FORGOTTEN.set(lost)


def report(found: DriftReport) -> None:
    """A report that is out."""
    REPORTS.inc()
    for f in found.findings:
        if f.alarm:
            ALARMS.labels(f.detector, f.kind or "").inc()
        if f.value is not None and f.threshold:
            DRIFT.labels(f.detector).set(f.value / f.threshold)
