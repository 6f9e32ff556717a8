"""Drift reports as one page that asks nobody for anything: no script, no font, no picture from elsewhere."""

from collections.abc import Sequence
from html import escape

from streamrec.drift.said import when
from streamrec.events import DriftReport, Finding
from streamrec.operate.drift import how_sure, number, since, told

WIDTH, LANE, LEFT = 900, 70, 120
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #68707a; --line: #2f6fb3; --alarm: #b3261e;
  --edge: #d9dde2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --quiet: #9aa4af; --line: #7fb2ea;
  --alarm: #ff8a80; --edge: #343b43; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); }
svg { width: 100%; height: auto; } text { font-size: 13px; fill: var(--ink); }
.axis { stroke: var(--quiet); } .value { stroke: var(--line); fill: none; stroke-width: 2; }
.limit { stroke: var(--quiet); stroke-dasharray: 4 4; fill: none; } .alarm { fill: var(--alarm); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .8rem .3rem 0;
  vertical-align: top; overflow-wrap: break-word; border-bottom: 1px solid var(--edge); }
th { white-space: nowrap; } td { font-variant-numeric: tabular-nums; } td > div { max-width: 32rem; }
small, summary { color: var(--quiet); }
summary { cursor: pointer; font-size: smaller; } .scroll { overflow-x: auto; }
@media (max-width: 800px) { .scroll svg { min-width: 700px; }
  table, tbody { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--edge); }
  td { display: grid; grid-template-columns: 7rem minmax(0, 1fr); gap: .6rem; border: 0; padding: .1rem 0;
    overflow-wrap: anywhere; }
  td::before { content: attr(data-label); color: var(--quiet); } }
"""
# What a report measured, in words; `_before` at the end of a name: see events.DriftReport.
MEASURED = {
    "click_rate": "clicks per slate of the live model",
    "calibration_error": "calibration error of the live model", "ndcg_live": "NDCG@10 of the live model",
    "ndcg_frozen": "NDCG@10 of the frozen first model", "ndcg_popularity": "NDCG@10 of popularity",
    "ndcg_new": "NDCG@10 of the new model",
}


def page(reports: Sequence[DriftReport]) -> str:
    """The page; reports oldest first."""
    if not reports:
        body = "<p>No report yet. The monitor reports each period, and at once on an alarm.</p>"
    else:
        body = _summary(reports) + _timeline(reports) + _alarms(reports) + _now(reports[-1])
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width, initial-scale=1"><title>streamrec drift</title>'
            f"<style>{STYLE}</style><h1>Drift</h1>{body}</html>")


def _summary(reports: Sequence[DriftReport]) -> str:
    alarms = sum(r.trigger == "alarm" for r in reports)
    return (f"<p>{len(reports)} reports from {when(reports[0].generated_at)} to "
            f"{when(reports[-1].generated_at)} UTC, {alarms} with an alarm.</p>")


def _timeline(reports: Sequence[DriftReport]) -> str:
    """One lane a detector: its statistic over its threshold, and a mark at each alarm."""
    names = list(dict.fromkeys(f.detector for r in reports for f in r.findings))
    lanes = "".join(_lane(n, name, reports) for n, name in enumerate(names))
    height = LANE * len(names) + 24
    ends = f'<text x="{LEFT}" y="{height - 6}">{when(reports[0].generated_at)}</text>' \
           f'<text x="{WIDTH}" y="{height - 6}" text-anchor="end">{when(reports[-1].generated_at)}</text>'
    return (f'<h2>Statistic over its threshold</h2><div class="scroll" tabindex="0" role="region" '
            f'aria-label="timeline"><svg viewBox="0 0 {WIDTH} {height}" role="img" '
            f'aria-label="timeline of each detector">{lanes}{ends}</svg></div>'
            "<p><small>Dashed: the threshold. Dots: alarms. A gap: not enough data.</small></p>")


def _lane(n: int, name: str, reports: Sequence[DriftReport]) -> str:
    start, end = reports[0].generated_at, reports[-1].generated_at
    base, points, marks = LANE * (n + 1), [], ""
    for report in reports:
        x = LEFT + (WIDTH - LEFT) * (report.generated_at - start) / max(end - start, 1e-9)
        found = next((f for f in report.findings if f.detector == name), None)
        if found is None or (share := _share(found)) is None:
            continue
        y = base - 25 * min(max(share, 0.0), 2.0)
        points.append(f"{x:.1f},{y:.1f}")
        if found.alarm:
            marks += f'<circle class="alarm" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(found.detail)}' \
                     "</title></circle>"
    return (f'<text x="0" y="{base - 10}">{escape(name)}</text>'
            f'<line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{base}" y2="{base}"/>'
            f'<line class="limit" x1="{LEFT}" x2="{WIDTH}" y1="{base - 25}" y2="{base - 25}"/>'
            f'<polyline class="value" points="{" ".join(points)}"/>{marks}')


def _share(finding: Finding) -> float | None:
    return None if finding.value is None or not finding.threshold else finding.value / finding.threshold


def _alarms(reports: Sequence[DriftReport]) -> str:
    rows = [
        (when(r.generated_at), f"{escape(f.detector)}<br><small>{f.severity}</small>",
         escape(f.detail) + _contributors(f) + _numbers(f, r), since(f), escape(how_sure(f)),
         escape(r.model_version), escape(r.action))
        for r in reversed(reports) for f in r.findings if f.alarm
    ]
    head = ["at", "detector", "what moved", "since", "how sure", "model", "action"]
    return "<h2>Alarms</h2>" + (_table(head, rows) if rows else "<p>None.</p>")


def _contributors(f: Finding) -> str:
    if not f.contributors:
        return ""
    moved = "<br>".join(escape(told(c, f.detector)) for c in f.contributors)
    summary = f"<summary>{len(f.contributors)} that moved most</summary>"
    return f"<details>{summary}<small>{moved}</small></details>"


def _numbers(f: Finding, report: DriftReport) -> str:
    """What else an alarm's own report says, a line each."""
    said = [("watches", f.kind or "-"), ("value", number(f.value)), ("threshold", number(f.threshold)),
            ("divergence", number(f.divergence)), ("samples", str(f.samples)),
            ("reference", f.reference), ("current", f.current),
            *((name, f"{number(now)} (before: {number(before)})") for name, now, before in measured(report)),
            ("report", f"{report.report_id}, {report.events} events")]
    lines = "<br>".join(f"{escape(name)}: {escape(told)}" for name, told in said)
    return f"<details><summary>numbers, windows and quality</summary><small>{lines}</small></details>"


def _now(report: DriftReport) -> str:
    rows = [
        (escape(f.detector), number(f.value), number(f.threshold), escape(how_sure(f)), str(f.samples),
         escape(f.reference), escape(f.current), escape(f.detail)) for f in report.findings
    ]
    head = ["detector", "value", "threshold", "how sure", "samples", "reference", "current", "detail"]
    worth = [(escape(name), number(now), number(before)) for name, now, before in measured(report)]
    return (f"<h2>The last report</h2><p>{when(report.generated_at)} UTC, model "
            f"{escape(report.model_version)}, {report.events} events.</p>"
            + (_table(["measure", "now", "before"], worth) if worth else "")
            + _table(head, rows))


def measured(report: DriftReport) -> list[tuple[str, float, float | None]]:
    """What the lists were worth: name in words, now, and before."""
    return [(MEASURED.get(name, name.replace("_", " ")), now, report.quality.get(f"{name}_before"))
            for name, now in sorted(report.quality.items()) if not name.endswith("_before")]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of HTML. Each cell names its column and holds one element: on a narrow screen a row is a block."""
    names = "".join(f"<th scope=col>{h}" for h in head)
    body = "".join("<tr>" + "".join(f'<td data-label="{h}"><div>{cell}</div>'
                                    for h, cell in zip(head, row, strict=True)) for row in rows)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="table"><table>' \
           f"<thead><tr>{names}</thead><tbody>{body}</tbody></table></div>"
