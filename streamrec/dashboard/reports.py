"""Drift reports: the newest of what the topic keeps, and each in full."""

from nicegui import ui

from streamrec.dashboard import figures
from streamrec.dashboard.address import link
from streamrec.dashboard.figures import age, number
from streamrec.dashboard.frame import card, every, frame, judged, say
from streamrec.dashboard.parts import Table
from streamrec.dashboard.site import Site
from streamrec.drift.contract import above
from streamrec.drift.said import when
from streamrec.events import DriftReport, Finding
from streamrec.operate.drift import amount, interval, p_value, saw
from streamrec.operate.drift_page import measured

MOST = 100


def page(site: Site) -> None:
    """The list: of alarms, unless all are asked for."""
    with frame(site, "drift"), card("Reports, newest first", wide=True):
        every_one = ui.switch("reports without an alarm, too")
        table = Table(["report", "when", "alarms", "model", "events", "done about it"],
                      "No report yet.")

        def look() -> None:
            now, reports = site.clock.now(), site.reports.seen.value
            alarms = [r for r in reports if r.trigger == "alarm"]
            quiet = "No alarm" if reports and not every_one.value else "No report"
            table.empty(f"{quiet} yet: the monitor reports each period, and at once on an alarm.")
            table.show([
                ((r.report_id, link("drift", r.report_id)), f"{age(now - r.generated_at)} ago",
                 ", ".join(f.detector for f in r.findings if f.alarm) or "-", r.model_version,
                 number(r.events), figures.done_about(r, site.quality.seen.value) or "-")
                for r in (reports if every_one.value else alarms)[: -MOST - 1 : -1]
            ])
        every_one.on_value_change(look)
        every(look)


def one(site: Site, report_id: str) -> None:
    """A report."""
    with frame(site, "drift"):
        found = next((r for r in site.reports.seen.value if r.report_id == report_id), None)
        if found is None:
            with card("No such report"):
                ui.label(f"None of the newest is {report_id}: see `streamrec drift list`.").classes("quiet")
            return
        _head(found, site)
        for finding in sorted(found.findings, key=lambda f: not f.alarm):
            if finding.alarm:
                _alarm(finding)
        with card("All detectors", wide=True):
            head = ["detector", "watches", "value", "threshold", "p-value", "95 % interval", "values",
                    "newest since", "what it saw"]
            Table(head, "").show([
                (f.detector + (" (alarm)" if f.alarm else ""), f.kind or "-", number(f.value, 4),
                 number(f.threshold, 4), p_value(f), interval(f), number(f.samples), _when(f.first_seen),
                 saw(f))
                for f in found.findings
            ])


def _head(r: DriftReport, site: Site) -> None:
    alarms = [f.detector for f in r.findings if f.alarm]
    with judged(f"Report {r.report_id}", wide=True) as verdict:
        told = f"Alarm: {', '.join(alarms)}." if alarms else "No alarm."
        high = ", ".join(f.detector for f in r.findings if above(f))
        say(verdict, not alarms, told + (f" Above its threshold without one: {high}; why is told below."
                                         if high else ""))
        Table(["", ""], "").show([
            ("made at", _when(r.generated_at)), ("model that served", r.model_version),
            ("events since the last report", number(r.events)),
            ("done about it", figures.done_about(r, site.quality.seen.value) or "nothing"),
        ])
        Table(["measure", "now", "before"], "Nothing was measured yet.").show(
            [(name, number(now, 4), number(before, 4)) for name, now, before in measured(r)])


def _alarm(f: Finding) -> None:
    with judged(f"{f.detector}: {f.severity}", wide=True) as verdict:
        say(verdict, False, f.detail)
        Table(["", ""], "").show([
            ("watches", f.kind or "-"), ("statistic", number(f.value, 4)),
            ("threshold", number(f.threshold, 4)),
            ("p-value", p_value(f)), ("95 % interval", interval(f)), ("compared", f.reference),
            ("with", f.current), ("since", _when(f.first_seen)),
        ])
        if f.contributors:
            Table(["what", "before", "now", "examples"], "").show([
                (f"{c.kind}: {c.name}", amount(c.before, f.detector), amount(c.after, f.detector),
                 "; ".join(c.examples)) for c in f.contributors
            ])


def _when(at: float | None) -> str:
    return "-" if at is None else f"{when(at)} UTC"
