"""`streamrec evaluate`: predict-then-learn over a log, against the arms a site would have instead."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from streamrec.evaluation.evaluate import Request

app = typer.Typer()


@app.command(help="Test, then train, window after window over a log folder, and compare the arms.\n\n"
             "DIR holds articles.jsonl[.gz] and events.jsonl[.gz] (or .csv). The log's first 30 % is the "
             "bootstrap; the rest is cut into windows. What was interrupted goes on where it stopped.\n\n"
             "Example: [bold]streamrec evaluate my-log --arms replay,naive,popular --html page.html[/]")
def evaluate(
    folder: Path = typer.Argument(..., metavar="DIR"),
    arms: str = typer.Option("", help="Comma-separated; none: all of them. See docs/benchmark.md."),
    seeds: int = typer.Option(5, min=1, help="Runs of each arm that chance has a part in."),
    windows: int = typer.Option(10, min=3, help="Windows after the bootstrap; the first two are for tuning."),
    sample: int = typer.Option(6000, min=0, help="First reads that are scored; 0: all of them."),
    lang: str = typer.Option("", help="Only articles of this language, and events about them."),
    with_text: bool = typer.Option(False, "--with-text", help="Only articles that have a text."),
    limit: int | None = typer.Option(None, min=1, help="Only the first events of the log."),
    outside: list[str] = typer.Option(
        [], metavar="NAME=MODULE:FACTORY", help="An outside system; may be given several times."),
    truth: str = typer.Option(
        "", metavar="MODULE:FACTORY", help="Who knows what readers want, to judge lists by."),
    jobs: int = typer.Option(1, min=1, help="Runs side by side; more than one blurs the seconds."),
    as_json: Path | None = typer.Option(None, "--json", metavar="FILE", help="Write the results."),
    html: Path | None = typer.Option(None, "--html", metavar="FILE", help="Write one page with pictures."),
) -> None:
    """See help."""
    from streamrec import config, datasets
    from streamrec.evaluation import arms as known
    from streamrec.evaluation.evaluate import Request, check
    from streamrec.evaluation.schedule import Protocol
    for file in (as_json, html):
        datasets.check_writable(file)
    settings = config.load()
    others = known.parse_outside(outside)
    names = tuple(a.strip() for a in arms.split(",") if a.strip()) or (*known.names(), *others)
    request = Request(
        folder, (*names, *(o for o in others if o not in names)), seeds,
        Protocol(windows=windows, sample=sample), lang, with_text, limit, jobs, others,
        truth, settings.home_dir / "evaluations",
    )
    check(request)
    _show(_run(request, settings), request, as_json, html)


@app.command(help="Write the demo's synthetic site as a log folder, whose truth is known.\n\n"
             "Example: [bold]streamrec simulate site-log[/] && "
             "[bold]streamrec evaluate site-log --truth streamrec.demo.oracle:Oracle[/]")
def simulate(
    folder: Path = typer.Argument(..., metavar="DIR"),
    visits: int = typer.Option(30_000, min=100, help="Visits of readers; one in five brings a click."),
    articles: int = typer.Option(2000, min=50, help="Articles, most of them there from the start."),
    readers: int = typer.Option(500, min=10, help="Readers, a tenth of them new on the way."),
    seasons: int = typer.Option(1, min=1, help="How often a topic goes quiet and returns."),
    seed: int = typer.Option(7, min=0, help="Of everything."),
) -> None:
    """See help."""
    from rich.progress import Progress

    from streamrec.demo.log import simulate as simulated
    from streamrec.demo.world import WorldConfig
    config = WorldConfig(seed=seed, articles=articles, readers=readers, seasons=seasons)
    with Progress() as bar:
        task = bar.add_task("simulating", total=visits)
        n = simulated(folder, config, visits, lambda done, of: bar.update(task, completed=done))
        bar.update(task, completed=visits)
    typer.echo(f"{folder}: {articles} articles, {n} events")


def _run(request: "Request", settings: Any) -> dict[str, Any]:
    from streamrec.evaluation.evaluate import evaluate as evaluated
    from streamrec.evaluation.evaluate import prepare
    from streamrec.evaluation.results import results
    from streamrec.evaluation.schedule import plan
    with _bar() as bar:
        texts = bar.add_task("encoding texts")
        log = prepare(request, settings, lambda n, of: bar.update(texts, completed=n, total=of))
        bar.update(texts, completed=1, total=1)
        task = bar.add_task("running arms")
        runs = evaluated(request, settings, lambda what, n, of: bar.update(
            task, description=what, completed=n, total=of))
    return results(runs, log, plan(log, request.protocol), request.protocol.tuning)


def _bar() -> "Progress":
    """Says how much time is left, however long a step takes: rich would forget those of over 30 s."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left:"),
               TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), speed_estimate_period=1e9)


def _show(found: dict[str, Any], request: "Request", as_json: Path | None, html: Path | None) -> None:
    import json

    from rich.console import Console

    from streamrec.evaluation.page import page
    from streamrec.evaluation.report import table
    found |= _about(request)
    console = Console()
    console.print(table(found, console.width))
    if as_json:
        as_json.write_text(json.dumps(_finite(found), indent=1, allow_nan=False))
        typer.echo(f"wrote {as_json}", err=True)
    if html:
        html.write_text(page(found), encoding="utf-8")
        typer.echo(f"wrote {html}", err=True)


def _finite(found: Any) -> Any:
    """JSON has no NaN: what is not known is null."""
    if isinstance(found, dict):
        return {k: _finite(v) for k, v in found.items()}
    if isinstance(found, list | tuple):
        return [_finite(v) for v in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


def _about(request: "Request") -> dict[str, Any]:
    """How the figures came about."""
    import os
    import sys
    from dataclasses import asdict
    from datetime import UTC, datetime

    import torch

    from streamrec import __version__
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    words = [a if a != str(request.folder) else request.folder.name for a in sys.argv[1:]]
    return {
        "command": " ".join(["streamrec", *words]), "streamrec": __version__,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"device": device, "cores": os.cpu_count()},
        "settings": {"seeds": request.seeds, **asdict(request.protocol), "jobs": request.jobs},
    }
