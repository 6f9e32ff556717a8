"""`streamrec drift`: what the monitor has reported."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from streamrec.events import DriftReport

app = typer.Typer(no_args_is_help=True, help="Drift reports: list, show, report.\n\n"
                  "Example: [bold]streamrec drift list[/]")


@app.command("list", help="All reports that the topic still keeps, oldest first.\n\n"
             "Example: [bold]streamrec drift list --alarms[/]")
def list_reports(
    alarms: bool = typer.Option(False, "--alarms", help="Only those with an alarm."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON lines."),
) -> None:
    """See help."""
    from streamrec.cli.show import rows_table
    from streamrec.events import encode
    from streamrec.operate.drift import alarmed, row
    found = [r for r in _reports() if not alarms or alarmed(r)]
    if as_json:
        for report in found:
            typer.echo(encode(report).decode())
        return
    rows_table([row(r) for r in found], "no report yet: is `streamrec monitor` running?", whole="report")


@app.command(help="One report: in full its alarms and what lies above a threshold without one, and a line "
             "for each other detector.\n\n"
             "Example: [bold]streamrec drift show last-alarm[/]")
def show(
    report_id: str = typer.Argument("last", help="An id of `drift list`, last, or last-alarm."),
    full: bool = typer.Option(False, "--full", help="Each detector in full: how sure, windows, since."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """See help."""
    from streamrec.cli.show import findings_in_full, findings_in_short
    from streamrec.drift.contract import above
    from streamrec.events import encode
    from streamrec.operate.drift import one, quality, row
    report = one(_reports(), report_id)
    if as_json:
        typer.echo(encode(report).decode())
        return
    for name, value in row(report).items():
        typer.echo(f"{name:8} {value}")
    for line in quality(report):
        typer.echo(line)
    told = [f for f in report.findings if full or f.alarm or above(f)]
    for line in findings_in_full(told):
        typer.echo(line)
    if quiet := [f for f in report.findings if f not in told]:
        typer.echo("")
        for line in findings_in_short(quiet):
            typer.echo(line)


@app.command(help="Write all reports as one self-contained page: a timeline, the statistics, each alarm.\n\n"
             "Example: [bold]streamrec drift report --html drift.html[/]")
def report(html: Path = typer.Option(..., "--html", metavar="FILE", help="Where to write it.")) -> None:
    """See help."""
    from streamrec.errors import SetupError
    from streamrec.operate.drift_page import page
    found = _reports()
    try:
        html.write_text(page(found))
    except OSError as error:
        raise SetupError(f"{html} cannot be written: {error.strerror}") from None
    typer.echo(f"{len(found)} reports written to {html}")


def _reports() -> "list[DriftReport]":
    from streamrec import config, logs
    from streamrec.operate.drift import reports
    from streamrec.wiring import Parts
    logs.setup("error", "drift")
    parts = Parts(config.load())
    try:
        return reports(parts.broker, parts.names.topic("drift-reports"))
    finally:
        parts.close()
