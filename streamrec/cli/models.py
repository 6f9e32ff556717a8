"""`streamrec models`: versions, one version, what changed between two, and back to an older one."""

import time
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from streamrec.registry import Registry

app = typer.Typer(no_args_is_help=True, help="Model versions: list, show, diff, rollback.\n\n"
                  "Example: [bold]streamrec models list[/]")


@app.command("list", help="Published versions, oldest first; * serves. Of each, NDCG@10 of what served "
             "before and of itself: on new rows, not learned yet, and on old ones, kept of all eras.\n\n"
             "Example: [bold]streamrec models list[/]")
def list_versions(
    as_json: bool = typer.Option(False, "--json", help="Print JSON, with all figures."),
) -> None:
    """See help."""
    import json

    import msgspec

    from streamrec.cli.show import rows_table
    from streamrec.operate.models import row
    registry = _registry()
    current = registry.current().version
    records = registry.pointers.records()
    if as_json:
        typer.echo(json.dumps([{**msgspec.to_builtins(r), "serving": r.version == current} for r in records]))
        return
    rows_table([row(r, current, time.time()) for r in records],
               "no version is published yet: `streamrec status` shows how many rows wait")
    if records:
        typer.echo("new rows, old rows: NDCG@10 before and after; `--json` has all figures")


@app.command(help="The manifest of one version.\n\nExample: [bold]streamrec models show 3[/]")
def show(version: str) -> None:
    """See help."""
    import json

    from streamrec.errors import NotFound
    registry = _registry()
    try:
        found = registry.load("versions", version)
    except NotFound:
        registry.require(version)
        raise
    typer.echo(json.dumps(found.manifest, indent=2))


@app.command(help="What changed between two versions, for some recent readers: lists kept, topics and "
             "articles that gain and lose places, what is forgotten of each era.\n\n"
             "Example: [bold]streamrec models diff 3 4[/]")
def diff(
    older: str, newer: str,
    readers: int = typer.Option(100, min=1, max=2000, help="Whose lists are compared."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """See help."""
    from streamrec import config, logs, wiring
    from streamrec.cli.show import rows_table
    from streamrec.events import encode
    settings = config.load()
    logs.setup("error", "models")
    found = wiring.diff(settings, older, newer, readers)
    if as_json:
        typer.echo(encode(found).decode())
        return
    typer.echo(f"{found.readers} readers keep {found.overlap:.1f} of {found.n} articles")
    rows_table([{"topic": t.name, "share of places before": f"{100 * t.before:.1f} %",
                 "after": f"{100 * t.after:.1f} %"} for t in found.topics], "no topic moved")
    rows_table([{"article": a.title or a.name, "lists before": f"{a.before:.0f}", "after": f"{a.after:.0f}"}
                for a in found.articles], "no article moved")
    rows_table([{"rows of era": e.name, "NDCG@10 before": f"{e.before:.3f}", "after": f"{e.after:.3f}"}
                for e in found.eras], "no era that both versions were asked about")


@app.command(help="Serve an older version again: the whole bundle, at once.\n\n"
             "Example: [bold]streamrec models rollback 3[/]")
def rollback(version: str) -> None:
    """See help."""
    from streamrec import config, logs, wiring
    settings = config.load()
    logs.setup("error", "models")
    moved = wiring.rollback(settings, version)
    typer.echo(f"version {version} serves" + ("; the next increment starts from it" if moved else " already"))


def _registry() -> "Registry":
    from streamrec import config, logs
    from streamrec.wiring import Parts
    settings = config.load()
    logs.setup("error", "models")
    return Parts(settings).registry
