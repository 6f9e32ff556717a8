"""Every command says what it does, with an example."""

from collections.abc import Iterator

import click
import pytest
import typer
from typer.testing import CliRunner

from streamrec.cli import app


def walk(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    """This command and all below it, as words."""
    yield path
    for name, sub in getattr(command, "commands", {}).items():
        yield from walk(sub, *path, name)


@pytest.mark.parametrize("words", list(walk(typer.main.get_command(app))), ids=" ".join)
def test_every_help_shows_an_example(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output and "streamrec" in shown.output
