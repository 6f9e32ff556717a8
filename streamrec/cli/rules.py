"""`streamrec rules`: boost, bury, pin and block, on a compacted topic."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from streamrec.events import Rule
    from streamrec.wiring import Parts

app = typer.Typer(no_args_is_help=True, help="Editors' rules: boost, bury, pin, block.\n\n"
                  "Example: [bold]streamrec rules put rules.json[/]")


@app.command(help="Put the rules of a JSON file in force, within a second. A file with a mistake is refused "
             "whole.\n\n"
             'A rule: {"rule_id": "launch", "action": "boost", "match": {"tags": ["kafka"]}, "factor": 3, '
             '"until": "2026-12-31T00:00:00Z"}. Actions: boost and bury (odds times or by factor), pin '
             "(match.item_ids at position), block. match: tags, source, domain, lang, item_ids.\n\n"
             "Example: [bold]streamrec rules put rules.json[/]")
def put(file: Path = typer.Argument(..., metavar="FILE")) -> None:
    """See help."""
    import time

    from streamrec.operate.rules import read
    found = read(file, time.time())
    with _parts() as parts:
        _publish(parts, found, [])
    typer.echo(f"{len(found)} rules published: {', '.join(r.rule_id for r in found)}")


@app.command(help="End rules.\n\nExample: [bold]streamrec rules delete launch[/]")
def delete(rule_ids: list[str] = typer.Argument(..., metavar="ID…")) -> None:
    """See help."""
    from streamrec.operate.rules import known
    with _parts() as parts:
        known(rule_ids, [r.rule_id for r in parts.rules.all()])
        _publish(parts, [], rule_ids)
    typer.echo(f"{len(rule_ids)} rules ended")


@app.command("list", help="The rules as scorers know them.\n\nExample: [bold]streamrec rules list[/]")
def list_rules(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """See help."""
    import json

    import msgspec

    from streamrec.cli.show import rows_table
    with _parts() as parts:
        rules = [msgspec.to_builtins(r) for r in parts.rules.all()]
    if as_json:
        typer.echo(json.dumps(rules))
        return
    rows_table([
        {"rule": r["rule_id"], "action": r["action"],
         "match": ", ".join(f"{k} {v}" for k, v in r["match"].items() if v),
         "since": r["since"] or "-", "until": r["until"] or "-"}
        for r in rules
    ], "no rules: `streamrec rules put FILE`")


def _parts() -> "closing[Parts]":
    from streamrec import config, logs
    from streamrec.wiring import Parts
    logs.setup("error", "rules")
    return closing(Parts(config.load()))


def _publish(parts: "Parts", put: "list[Rule]", remove: list[str]) -> None:
    from streamrec.operate.rules import publish
    with closing(parts.broker.publisher()) as publisher:
        publish(publisher, parts.names.topic("rules"), put, remove)
