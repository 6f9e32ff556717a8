"""A log folder as the evaluation reads it: cleaned, in time order, and without a view of the future.

An article with a publication time is a candidate after it, and an event before it is on an
impossible article. One without is known from its first event on, and so is one that the site would
make a dead letter of. An event that makes an article known, or is its publication (the same instant),
cannot be ranked by anybody, and is left out.
"""

import heapq
import math
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from streamrec import datasets
from streamrec.errors import InvalidMessage, SetupError
from streamrec.events import EARLIEST, MAX_SKEW_S, Article, Feedback
from streamrec.model.encoder import article_text

Timed = tuple[float, Article | Feedback]
MOST_TAGS, MOST_TITLE = 100, 1000
HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Log:
    """Messages oldest first. `dated`: publication times (epoch s) that the log itself gives;
    `left_out` counts what could not be used, by reason."""

    name: str
    messages: list[Timed]
    articles: dict[str, Article]
    dated: dict[str, float]
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def events(self) -> list[Feedback]:
        """The events alone."""
        return [m for _, m in self.messages if isinstance(m, Feedback)]

    def text(self, item_id: str) -> str:
        """What the encoder reads of an article."""
        a = self.articles[item_id]
        return article_text(a.title, a.body)


def read(
    folder: Path, *, lang: str = "", with_text: bool = False, limit: int | None = None,
    now: float | None = None,
) -> Log:
    """Read a folder. `lang`: only articles of that language, and events about them; `with_text`:
    only articles that have a text; `limit`: only the first events. Raises SetupError."""
    out: Counter[str] = Counter()
    at_most = (time.time() if now is None else now) + MAX_SKEW_S
    described = {a.item_id: _bounded(at, a) for at, a in datasets.articles(folder)}
    taken = {i: a for i, a in described.items() if _is_taken(a, at_most - MAX_SKEW_S)}
    out["article that the site would refuse"] = len(described) - len(taken)
    kept = {i: a for i, a in taken.items() if not lang or a.lang == lang}
    if with_text:
        kept = {i: a for i, a in kept.items() if article_text(a.title, a.body)}
    only = set(kept) if lang or with_text else None
    events = list(_usable(datasets.feedback(folder), only, at_most, out))[:limit]
    if not events:
        raise SetupError(f"{folder} holds no event that can be used: {dict(out)}")
    messages = list(_merge(kept, events))
    articles = {a.item_id: a for _, a in messages if isinstance(a, Article)}
    name = "-".join(filter(None, [folder.resolve().name, "text" if with_text else "", lang]))
    dated = {i: float(a.published_at) for i, a in kept.items() if a.published_at is not None}  # type: ignore[arg-type]
    return Log(name, messages, articles, dated, dict(+out))


def _bounded(at: float | None, article: Article) -> Article:
    at = at if at is not None and math.isfinite(at) else None  # NaN has no place in an order: undated
    tags = [_whole(tag) for tag in article.tags[:MOST_TAGS]]
    title, body = _whole(article.title[:MOST_TITLE]), _whole(article.body)
    return replace(article, published_at=at, title=title, body=body, tags=tags)


def _whole(text: str) -> str:
    """Without halves of characters, which JSON can escape and UTF-8 has no bytes for."""
    return HALVES.sub("\ufffd", text)


def _is_taken(message: datasets.M, now: float) -> bool:
    """Whether a reader of the topics would take a message, and not make a dead letter of it."""
    try:
        datasets.taken(message, now)
    except (InvalidMessage, UnicodeEncodeError):
        return False
    return True


def _usable(
    events: list[Feedback], only: set[str] | None, at_most: float, out: Counter[str]
) -> Iterator[Feedback]:
    """Events that streamrec would take, each id once, oldest first."""
    seen: set[str] = set()
    for e in events:
        ts = float(e.timestamp)  # type: ignore[arg-type]
        if not EARLIEST <= ts <= at_most:
            out["time before 2000 or in the future"] += 1
        elif e.event_id in seen:
            out["duplicate event id"] += 1
        elif e.item_id is None and not e.impression:
            out["no article"] += 1
        elif only is not None and e.item_id is not None and e.item_id not in only:
            out["article not among those chosen"] += 1
        elif not _is_taken(e, at_most - MAX_SKEW_S):
            out["event that the site would refuse"] += 1
        else:
            seen.add(e.event_id)
            yield e


def _merge(kept: dict[str, Article], events: list[Feedback]) -> Iterator[Timed]:
    """Announcements at their time, those without one right after the first event that names them."""
    known: list[tuple[float, int, Article | Feedback]] = []
    unknown = dict(kept)
    for item, article in kept.items():
        if article.published_at is not None:
            known.append((float(article.published_at), 2, article))  # type: ignore[arg-type]
            del unknown[item]
    stream: list[tuple[float, int, Article | Feedback]] = []
    done = set(kept) - set(unknown)
    for e in events:
        ts = float(e.timestamp)  # type: ignore[arg-type]
        stream.append((ts, 1, e))
        for item in filter(None, (e.item_id, *e.impression)):
            if item not in done:
                done.add(item)
                stream.append((ts, 1, replace(unknown.get(item, Article(item_id=item)), published_at=ts)))
    known.sort(key=lambda m: m[0])
    for at, _, message in heapq.merge(known, stream, key=lambda m: m[:2]):
        yield at, message
