"""`streamrec rules`: boost, bury, pin and block, on a compacted topic."""

from collections.abc import Sequence
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
             "(match.item_ids at position), block. match: tags, source, domain, lang, item_ids. Of what no "
             "live article has you are warned: it may come later.\n\n"
             "Example: [bold]streamrec rules put rules.json[/]")
def put(file: Path = typer.Argument(..., metavar="FILE")) -> None:
    """See help."""
    import time

    from streamrec.operate.rules import read
    found = read(file, time.time())
    with _parts() as parts:
        _publish(parts, found, [])
        typer.echo(f"{_number(found)} published: {', '.join(r.rule_id for r in found)}")
        _warn(parts, found, time.time())


@app.command(help="End rules.\n\nExample: [bold]streamrec rules delete launch[/]")
def delete(rule_ids: list[str] = typer.Argument(..., metavar="ID…")) -> None:
    """See help."""
    from streamrec.operate.rules import known
    with _parts() as parts:
        known(rule_ids, [r.rule_id for r in parts.rules.all()])
        _publish(parts, [], rule_ids)
    typer.echo(f"{_number(rule_ids)} ended")


@app.command("list", help="The rules as scorers know them; as JSON, for `put` to take again.\n\n"
             "Example: [bold]streamrec rules list[/]")
def list_rules(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """See help."""
    import json
    import time

    from streamrec.cli.show import rows_table
    from streamrec.operate.rules import row, shown
    with _parts() as parts:
        rules = parts.rules.all()
    if as_json:
        typer.echo(json.dumps([shown(r) for r in rules]))
        return
    rows_table([row(r, time.time()) for r in rules], "no rules: `streamrec rules put FILE`", whole="rule")


def _parts() -> "closing[Parts]":
    from streamrec import config, logs
    from streamrec.wiring import Parts
    logs.setup("error", "rules")
    return closing(Parts(config.load()))


def _number(rules: Sequence[object]) -> str:
    return "1 rule" if len(rules) == 1 else f"{len(rules)} rules"


def _warn(parts: "Parts", rules: "list[Rule]", now: float) -> None:
    """They are published already: what cannot be looked up is no failure."""
    from streamrec.errors import StreamrecError
    from streamrec.operate.rules_idle import idle
    try:
        said = idle(rules, parts.catalogue(1), now)
    except StreamrecError as error:
        said = [f"whether articles fit was not looked up: {error}"]
    for why in said:
        typer.echo(f"warning: {why}", err=True)


def _publish(parts: "Parts", put: "list[Rule]", remove: list[str]) -> None:
    from streamrec.operate.rules import publish
    with closing(parts.broker.publisher()) as publisher:
        publish(publisher, parts.names.topic("rules"), put, remove)
