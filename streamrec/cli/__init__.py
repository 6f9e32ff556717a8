"""The command line: parses, calls wiring, nothing else."""

import sys

import typer

from streamrec import __version__
from streamrec.cli import dlq, drift, evaluate, models, processes, rules, site, topics
from streamrec.errors import StreamrecError

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False,
    help="streamrec: publish clicks to Kafka, get recommendations back; it learns as it goes.\n\n"
    "Start with [bold]streamrec demo[/], or [bold]streamrec up[/] and publish your own events.\n\n"
    "Example: [bold]streamrec demo[/]",
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"streamrec {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True,
                                 help="Print the version and exit."),
) -> None:
    """See the Typer above."""


for module in (processes, site, evaluate):
    app.registered_commands += module.app.registered_commands
app.add_typer(models.app, name="models")
app.add_typer(drift.app, name="drift")
app.add_typer(rules.app, name="rules")
app.add_typer(topics.app, name="topics")
app.add_typer(dlq.app, name="dlq")


def main() -> None:
    """Run; an error of ours is one sentence and exit code 2."""
    try:
        app()
    except StreamrecError as error:
        typer.echo(f"streamrec: {error}", err=True)
        sys.exit(2)
