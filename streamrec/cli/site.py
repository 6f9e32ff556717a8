"""Commands of a site's side: replay a log, ask for recommendations, print schemas, the demo."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from streamrec.events import Request
    from streamrec.wiring import Parts

app = typer.Typer()


@app.command(help="Publish a log folder to the topics, in time order.\n\n"
             "DIR holds articles.jsonl[.gz] and events.jsonl[.gz] (or .csv), in UTF-8.\n\n"
             "An event has event_id, user_id, item_id, type and ts, and may have event_value (seconds read) "
             "and impression (the articles shown). Types are impression, click, read, like and dismiss; "
             "others' words are taken too: view and edit as click, answer, create and ask as read, bookmark, "
             "follow and comment as like, dislike, hide and skip as dismiss.\n\n"
             "An article has item_id, and may have title, body, published_at, tags, lang, url, source and "
             "domain.\n\n"
             "Times are epoch seconds or 2025-01-31T12:00:00Z; lists in a CSV are a|b. A row that cannot be "
             "used is named with its line, and nothing is published.\n\n"
             "Example: [bold]streamrec replay my-log --speed 3600[/]  plays an hour in a second")
def replay(
    folder: Path = typer.Argument(..., metavar="DIR"),
    speed: str = typer.Option("max", help="How many times faster than it happened, or max."),
    limit: int | None = typer.Option(None, min=1, help="Stop after this many events."),
    announce_unknown: bool = typer.Option(
        True, help="Announce articles that only events name, with an empty text; it replaces what a site "
        "knows of them: not for a part of a log."),
) -> None:
    """See help."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from streamrec import config, datasets, logs
    from streamrec.operate.replay import publish_log, to_publish
    from streamrec.wiring import Parts
    logs.setup("error", "replay")
    factor = _speed(speed)
    stream = list(datasets.in_time_order(folder, announce_unknown))
    total = to_publish(stream, limit)
    parts = Parts(config.load())
    publisher = parts.broker.publisher()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("publishing", total=total)
        articles, events = publish_log(
            iter(stream), publisher, parts.names.topic("articles"), parts.names.topic("feedback"),
            factor, limit, lambda a, e: bar.update(task, completed=a + e),
        )
    publisher.close()
    parts.close()
    typer.echo(f"published {articles} articles and {events} events")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if factor <= 0:
        raise typer.BadParameter(f"{text!r}: give a number above 0, or max", param_hint="--speed")
    return factor


@app.command(help="Ask for recommendations, through the topics, as a site does.\n\n"
             "Example: [bold]streamrec recommend u42 -n 5 --explain --tag kafka --diversity 0.3[/]")
def recommend(
    user: str,
    n: int = typer.Option(10, "-n", min=1, max=500, help="How many."),
    as_json: bool = typer.Option(False, "--json", help="Print the answer as JSON."),
    policy: str = typer.Option("live", help="live, frozen or popularity: the control arms."),
    interests: str = typer.Option("", help="What the reader says to like, in free text."),
    similar_to: str | None = typer.Option(None, help="More like this article."),
    session: list[str] = typer.Option([], help="An article read in this visit; may be repeated."),
    tag: list[str] = typer.Option([], help="Only articles with one of these tags."),
    lang: str = typer.Option("", help="Only articles in this language."),
    diversity: float | None = typer.Option(None, min=0, max=1, help="0: the best; 1: the most different."),
    calibration: float | None = typer.Option(None, min=0, max=1, help="1: tags mixed as in their reads."),
    explain: bool = typer.Option(False, help="Say why each article stands there."),
    locale: str = typer.Option("en", help="Language of the reasons: en or zh."),
    timeout: float = typer.Option(10.0, min=0, help="Seconds to wait for the answer."),
) -> None:
    """See help."""
    import uuid

    from streamrec import config, logs
    from streamrec.events import Filters, Request
    from streamrec.operate.ask import check
    from streamrec.wiring import Parts
    logs.setup("error", "recommend")
    for value, known, option in ((policy, ("live", "frozen", "popularity"), "--policy"),
                                 (locale, ("en", "zh"), "--locale")):
        if value not in known:
            raise typer.BadParameter(f"one of {', '.join(known)}", param_hint=option)
    request = Request(
        request_id=uuid.uuid4().hex, user_id=user, n=n, policy=policy,  # type: ignore[arg-type]
        interests=interests, similar_to=similar_to, session=session, diversity=diversity,
        calibration=calibration, explain=explain, locale=locale,  # type: ignore[arg-type]
        filters=Filters(tags_any=tag, lang=lang) if tag or lang else None,
    )
    check(request)
    _ask(Parts(config.load()), request, timeout, as_json)


def _ask(parts: "Parts", request: "Request", timeout: float, as_json: bool) -> None:
    from streamrec import events
    from streamrec.cli.show import recommendation_table
    from streamrec.errors import RetryLater
    from streamrec.operate.ask import ask
    publisher = parts.broker.publisher()
    answers = parts.broker.subscribe([parts.names.topic("recommendations")], None, "latest")
    try:
        answer = ask(request, publisher, answers, parts.names.topic("requests"), timeout)
    except RetryLater as error:
        typer.echo(f"streamrec: {error}", err=True)
        raise typer.Exit(3) from None
    finally:
        publisher.close()
        answers.close()
        parts.close()
    if as_json:
        typer.echo(events.encode(answer).decode())
    else:
        recommendation_table(answer)


@app.command(help="Write the AsyncAPI 3 document, or one message's JSON Schema.\n\n"
             "Example: [bold]streamrec schema feedback > feedback.schema.json[/]")
def schema(
    message: str | None = typer.Argument(None, help="articles, feedback, … ; none: AsyncAPI of all"),
) -> None:
    """See help."""
    import json

    from streamrec import config
    from streamrec.schema import asyncapi, json_schema
    found = json_schema(message) if message else asyncapi(config.load().kafka.topic_prefix)
    typer.echo(json.dumps(found, indent=2))


@app.command(help="See it work: a synthetic site whose readers click on what they are shown.\n\n"
             "Example: [bold]streamrec demo --once --json demo.json[/]")
def demo(
    once: bool = typer.Option(False, "--once", help="End by itself, and fail if a promise failed."),
    as_json: Path | None = typer.Option(None, "--json", metavar="FILE", help="Write the figures."),
    seconds: float = typer.Option(95.0, min=20, help="How long the site's readers click."),
    picture: Path | None = typer.Option(None, metavar="FILE", help="Save the last screen as SVG."),
) -> None:
    """See help."""
    from streamrec.demo.run import run_demo
    raise typer.Exit(run_demo(once, as_json, seconds, picture))
