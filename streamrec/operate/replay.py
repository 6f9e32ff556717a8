"""Publish a log to the topics, in time order, at any speed."""

import time
from collections.abc import Callable, Iterator, Sequence

from streamrec.broker import Publisher
from streamrec.events import Article, Feedback, encode


def to_publish(stream: Sequence[tuple[float, Article | Feedback]], limit: int | None) -> int:
    """How many messages `publish_log` publishes: those before the event beyond the limit."""
    events = 0
    for n, (_, message) in enumerate(stream):
        if isinstance(message, Feedback):
            if events == limit:
                return n
            events += 1
    return len(stream)


def publish_log(
    stream: Iterator[tuple[float, Article | Feedback]], publisher: Publisher,
    articles_topic: str, feedback_topic: str, speed: float | None, limit: int | None,
    progress: Callable[[int, int], None] = lambda a, e: None,
) -> tuple[int, int]:
    """Articles and events published. `speed` 60 plays an hour in a minute; None: at once.
    `limit` counts events. `progress` gets (articles, events) so far."""
    counted = {Article: 0, Feedback: 0}
    started, first = time.monotonic(), None
    for at, message in stream:
        first = at if first is None else first
        if speed is not None:
            _wait_until(started + (at - first) / speed)
        if isinstance(message, Feedback):
            if counted[Feedback] == limit:
                break
            publisher.send(feedback_topic, message.user_id.encode(), encode(message))
        else:
            publisher.send(articles_topic, message.item_id.encode(), encode(message))
        counted[type(message)] += 1
        if sum(counted.values()) % 200 == 0:
            progress(counted[Article], counted[Feedback])
    publisher.flush(120.0)
    progress(counted[Article], counted[Feedback])
    return counted[Article], counted[Feedback]


def _wait_until(moment: float) -> None:
    delay = moment - time.monotonic()
    if delay > 0:
        time.sleep(delay)
