"""Commands that run: `up` and one for each process."""

import threading

import typer

app = typer.Typer()
RUN = "\n\nExample: [bold]streamrec {0}[/]  (what a container runs; settings come from STREAMREC_*)"


def _run(name: str) -> None:
    from streamrec import config, logs, wiring
    from streamrec.errors import StreamrecError
    from streamrec.processes import stop_on_signals
    logs.setup("info", name)  # before the settings: what is wrong with them is a line of the log, too
    stop = threading.Event()
    stop_on_signals(stop)
    try:
        settings = config.load()
        logs.setup(settings.log_level, name)
        wiring.run(name, settings, stop)
    except StreamrecError as error:
        logs.get(__name__).critical("ended", why=str(error))
        raise typer.Exit(2) from None


@app.command(help="Collect feedback from Kafka into the replay buffer." + RUN.format("collect"))
def collect() -> None:
    """See help."""
    _run("collect")


@app.command(help="Keep the catalogue: articles become vectors." + RUN.format("catalogue"))
def catalogue() -> None:
    """See help."""
    _run("catalogue")


@app.command(help="Answer requests for recommendations." + RUN.format("score"))
def score() -> None:
    """See help."""
    _run("score")


@app.command(help="Fine-tune on what is new, with rehearsal, and publish." + RUN.format("train"))
def train() -> None:
    """See help."""
    _run("train")


@app.command(help="Watch for drift and publish reports." + RUN.format("monitor"))
def monitor() -> None:
    """See help."""
    _run("monitor")


@app.command(help="Serve HTTP: recommendations, feedback and articles." + RUN.format("web"))
def web() -> None:
    """See help."""
    _run("web")


@app.command(hidden=True, help="The fitting child of `train`: JSON lines on stdin and stdout.\n\n"
             "Example: [bold]streamrec train[/]  starts it")
def learn() -> None:
    """See help."""
    _run("learn")


@app.command(help="Run everything on this machine: servers, topics and all processes.\n\n"
             "Starts its own Kafka and Redis unless STREAMREC_KAFKA__BOOTSTRAP_SERVERS and "
             "STREAMREC_REDIS__URL name yours. Ctrl-C stops it all, in order.\n\n"
             "Example: [bold]streamrec up[/]   then   [bold]streamrec replay DIR --speed max[/]")
def up() -> None:
    """See help."""
    from streamrec import config, logs
    from streamrec.processes import stop_on_signals
    from streamrec.supervisor import Supervisor
    settings = config.load()
    logs.setup("warning", "up")
    stop = threading.Event()
    stop_on_signals(stop)
    supervisor = Supervisor(settings, lambda text: typer.echo(text, err=True))
    supervisor.start()
    typer.echo("up; `streamrec status` shows how it is, Ctrl-C stops it", err=True)
    try:
        supervisor.run(stop)
    finally:
        typer.echo("stopping …", err=True)
        supervisor.stop()


@app.command(help="Show how everything is: lag, buffer, model, gate, drift.\n\n"
             "Example: [bold]streamrec status --json | jq .model[/]")
def status(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """See help. Exit code 3 when nothing answers, 2 when the settings are wrong."""
    import json

    from streamrec import config, logs, wiring
    from streamrec.errors import RetryLater, ServerUnreachable
    logs.setup("critical", "status")
    try:
        found = wiring.status(wiring.Parts(config.load()))
    except (ServerUnreachable, RetryLater) as error:
        typer.echo(f"streamrec: nothing is up: {error}", err=True)
        raise typer.Exit(3) from None
    if as_json:
        typer.echo(json.dumps(found))
        return
    from streamrec.cli.show import status_table
    status_table(found)


@app.command(help="Show every setting: its variable, its value now, what it means.\n\n"
             "Example: [bold]streamrec settings | grep TRAINER[/]")
def settings(
    markdown: bool = typer.Option(False, "--markdown", help="The defaults, as README's table."),
) -> None:
    """See help."""
    from streamrec import config
    rows = config.table(None if markdown else config.load())
    if markdown:
        typer.echo("| variable | default | meaning |\n|---|---|---|")
    for variable, value, meaning in rows:
        line = f"| `{variable}` | `{value or '(empty)'}` | {meaning} |"
        typer.echo(line if markdown else f"{variable}={value}  # {meaning}")
