"""`streamrec topics`: created on purpose, never by accident."""

import typer

app = typer.Typer(no_args_is_help=True, help="Topics: create them.\n\n"
                  "Example: [bold]streamrec topics create[/]")


@app.callback()
def _group() -> None:
    """Keeps `create` a command of its own."""


@app.command(help="Create the missing topics with partitions, retention and compaction.\n\n"
             "Example: [bold]STREAMREC_KAFKA__PARTITIONS=12 streamrec topics create[/]")
def create() -> None:
    """See help."""
    from streamrec import config, logs, wiring
    from streamrec.cli.show import rows_table
    logs.setup("error", "topics")
    settings = config.load()
    made = set(wiring.create_topics(settings))
    rows_table([
        {"topic": s.name, "partitions": s.partitions, "new": "created" if s.name in made else "was there",
         "settings": ", ".join(f"{k}={v}" for k, v in s.configs.items())}
        for s in wiring.topic_specs(settings)
    ], "no topics")
