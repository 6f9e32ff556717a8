"""What the monitor has reported: read back from the topic, as long as that keeps it."""

import time
from typing import Any

from streamrec.broker import Broker
from streamrec.drift.formulas import seconds
from streamrec.drift.said import duration, when
from streamrec.errors import InvalidMessage, NotFound
from streamrec.events import Contributor, DriftReport, Finding, decode
from streamrec.operate import topic_log


def reports(broker: Broker, topic: str) -> list[DriftReport]:
    """All reports that the topic keeps, oldest first."""
    found: list[DriftReport] = []
    for record in topic_log.whole(broker, [topic]):
        try:
            found.append(decode(DriftReport, record.value, time.time()))
        except InvalidMessage:
            continue  # no report: somebody else wrote it
    return sorted(found, key=lambda r: r.generated_at)


def one(found: list[DriftReport], report_id: str) -> DriftReport:
    """The report of an id, `last`, or `last-alarm`: the last with an alarm. Raises NotFound."""
    if not found:
        raise NotFound("there is no drift report yet: see that `streamrec monitor` runs (`streamrec up` "
                       "starts it); it reports each STREAMREC_MONITOR__PERIOD_S seconds, and upon alarms")
    if report_id == "last-alarm" and not any(map(alarmed, found)):
        raise NotFound("no drift report that is kept has an alarm; see `streamrec drift list`")
    for report in reversed(found):
        if report_id in (report.report_id, "last") or (report_id == "last-alarm" and alarmed(report)):
            return report
    raise NotFound(f"no drift report {report_id}; see `streamrec drift list`")


def alarmed(report: DriftReport) -> bool:
    """Whether a detector of it has raised an alarm."""
    return any(f.alarm for f in report.findings)


def row(report: DriftReport) -> dict[str, Any]:
    """A report as a line of a table."""
    alarms = [f.detector for f in report.findings if f.alarm]
    return {
        "report": report.report_id, "at": when(report.generated_at), "alarms": ", ".join(alarms) or "-",
        "model": report.model_version, "events": report.events, "action": report.action or "-",
    }


def told(c: Contributor, detector: str = "") -> str:
    """What moved, in a line; of a detector whose means are no shares, by its name."""
    examples = f" ({'; '.join(c.examples)})" if c.examples else ""
    return f"{c.kind} {c.name}: {amount(c.before, detector)} to {amount(c.after, detector)}{examples}"


def amount(mean: float, detector: str = "") -> str:
    """A contributor's mean, for people."""
    return duration(seconds(mean)) if detector == "dwell" else f"{100 * mean:.1f} %"


def saw(f: Finding) -> str:
    """What it saw; with too few values, since when it counts them."""
    return f"{f.detail}, {f.reference}" if f.value is None and f.reference else f.detail


def number(x: float | None) -> str:
    """A statistic, for people."""
    return "-" if x is None else f"{x:.4f}"


def since(f: Finding) -> str:
    """When what was found began."""
    return "-" if f.first_seen is None else when(f.first_seen)


def p_value(f: Finding) -> str:
    """How sure it is."""
    return "-" if f.p_value is None else "< 0.0001" if f.p_value < 1e-4 else f"{f.p_value:.4f}"


def interval(f: Finding) -> str:
    """Its 95 % interval."""
    return "-" if f.interval is None else f"{f.interval[0]:.4f} to {f.interval[1]:.4f}"


def how_sure(f: Finding) -> str:
    """P-value and 95 % interval, as far as the detector has them."""
    found = [f"p {p_value(f)}"] if f.p_value is not None else []
    found += [interval(f)] if f.interval is not None else []
    return ", ".join(found) or "-"


def quality(report: DriftReport) -> list[str]:
    """Click rate and NDCG@10 of the served model and its controls, now and before: see events.DriftReport."""
    found = []
    for name, value in sorted(report.quality.items()):
        if not name.endswith("_before"):
            old = report.quality.get(f"{name}_before")
            before = "" if old is None else f" (before: {old:.3f})"
            found.append(f"{name.replace('_', ' ')}: {value:.3f}{before}")
    return found
