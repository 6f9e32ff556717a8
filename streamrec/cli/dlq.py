"""`streamrec dlq`: look at dead letters, send them back."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from streamrec.config import Settings

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, replay.\n\n"
                  "Example: [bold]streamrec dlq list[/]")


@app.command("list", help="Dead letters with their time (UTC), origin and reason.\n\n"
             "Example: [bold]streamrec dlq list --json[/]")
def list_letters(as_json: bool = typer.Option(False, "--json", help="Print JSON lines.")) -> None:
    """See help."""
    import json

    from streamrec.cli.show import rows_table
    from streamrec.drift.said import when
    from streamrec.wiring import letters
    found = letters(_settings())
    if as_json:
        for letter in found:
            typer.echo(json.dumps(letter))
        return
    rows_table([
        {"place": f["place"], "at": when(f["at"]), "from": f"{f['topic']} {f['partition']}/{f['offset']}",
         "why": f["message"], "value": f["value"][:60]} for f in found
    ], "no dead letters", whole="place")


@app.command(help="Send dead letters back to their topics, byte for byte.\n\n"
             "It helps where streamrec takes them by now: after an upgrade, or when a time that lay over a "
             "day ahead has come. One that fails again is a new dead letter: mend the producer, and let "
             "it send the message anew. What was sent back before is not sent again, unless you name its "
             "place.\n\n"
             "Example: [bold]streamrec dlq replay[/]  or only one:  "
             "[bold]streamrec dlq replay streamrec.feedback.v1.dlq/0/17[/]")
def replay(
    places: list[str] = typer.Argument(None, help="Places as `list` shows them; none: all not replayed yet."),
) -> None:
    """See help."""
    from streamrec.wiring import replay_letters
    typer.echo(f"sent {replay_letters(_settings(), set(places or []))} back")


def _settings() -> "Settings":
    from streamrec import config, logs
    logs.setup("error", "dlq")
    return config.load()
