"""Reading a log folder: articles and events as JSON lines or CSV, plain or gzipped, in time order.

`articles*.jsonl[.gz]` rows: item_id, title, body, published_at, tags, lang, url.
`events*.jsonl[.gz]` rows: event_id, user_id, item_id, type (or event_type), ts (or timestamp).
"""

import csv
import gzip
import heapq
import json
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from streamrec.errors import SetupError
from streamrec.events import Article, Feedback

# Words other systems use, as ours. What is not here and not ours counts as a click.
TYPES = {
    "view": "click", "edit": "click", "answer": "read", "create": "read", "ask": "read",
    "bookmark": "like", "follow": "like", "comment": "like", "comment created": "like",
}
OURS = ("impression", "click", "read", "like", "dismiss")
T = TypeVar("T")
SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz")


def find(folder: Path, stem: str) -> Path:
    """`STEM.jsonl.gz` (or .jsonl, .csv), or failing that the first file that begins with STEM."""
    if not folder.is_dir():
        raise SetupError(f"{folder} is not a folder: give one that holds {stem}.jsonl.gz")
    names = [folder / f"{stem}{s}" for s in SUFFIXES]
    names += sorted(p for p in folder.glob(f"{stem}*") if p.name.endswith(SUFFIXES))
    for path in names:
        if path.is_file():
            return path
    raise SetupError(f"{folder} holds no {stem}.jsonl.gz, .jsonl or .csv")


def rows(path: Path, use: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    """What `use` makes of each row. Raises SetupError naming the line that cannot be used."""
    opened = gzip.open if path.name.endswith(".gz") else open
    n = 0
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as f:
            if ".csv" in path.name:
                table = csv.DictReader(f)
                for row in table:
                    n = table.line_num
                    yield use(row)
                return
            for line in f:
                n += 1
                if line.strip():
                    yield use(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, EOFError, OSError, zlib.error,
            csv.Error, msgspec.ValidationError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SetupError(f"{path}, line {n}: {why}") from None


def epoch_of(value: Any) -> float:
    """Epoch seconds of an RFC 3339 text or a number; naive times are UTC."""
    try:
        return float(value)
    except ValueError:
        t = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        return (t if t.tzinfo else t.replace(tzinfo=UTC)).timestamp()


def articles(folder: Path) -> Iterator[tuple[float | None, Article]]:
    """Articles with their publication time, in the file's order."""
    return rows(find(folder, "articles"), _article)


def _article(row: dict[str, Any]) -> tuple[float | None, Article]:
    known = {k: row[k] for k in ("item_id", "title", "body", "lang", "url") if row.get(k)}
    tags = row.get("tags") or []
    at = epoch_of(row["published_at"]) if row.get("published_at") else None
    known["tags"] = tags.split("|") if isinstance(tags, str) else tags
    known["title"] = str(known.get("title", ""))[:1000]
    return at, msgspec.convert({**known, "published_at": at}, Article, strict=False)


def feedback(folder: Path) -> list[Feedback]:
    """All events, oldest first."""
    found = list(rows(find(folder, "events"), _event))
    return sorted(found, key=lambda e: float(e.timestamp))  # type: ignore[arg-type]


def _event(row: dict[str, Any]) -> Feedback:
    kind = str(row.get("event_type") or row.get("type") or "click").lower()
    out = {k: v for k, v in row.items() if v not in (None, "") and k not in ("type", "ts")}
    if "event_value" in out:
        out["event_value"] = float(out["event_value"])
    if isinstance(out.get("impression"), str):
        out["impression"] = out["impression"].split("|")
    at = row.get("timestamp") or row.get("ts")
    if at is None:
        raise KeyError("timestamp")
    ours = {"event_type": kind if kind in OURS else TYPES.get(kind, "click"),
            "timestamp": epoch_of(at)}
    return msgspec.convert(out | ours, Feedback, strict=False)


def in_time_order(
    folder: Path, announce_unknown: bool = True
) -> Iterator[tuple[float, Article | Feedback]]:
    """Articles and events merged by time. An article without a publication time, or that events
    name but no file describes, appears just before its first event, with what is known of it."""
    events = feedback(folder)
    first: dict[str, float] = {}
    for e in events:
        for item in filter(None, (e.item_id, *e.impression)):
            first.setdefault(item, float(e.timestamp))  # type: ignore[arg-type]
    described: list[tuple[float, int, Article | Feedback]] = []
    start = float(events[0].timestamp) if events else 0.0  # type: ignore[arg-type]
    for at, article in articles(folder):
        seen = first.pop(article.item_id, None)
        when = at if at is not None else (seen if seen is not None else start)
        article = article if at is not None else replace(article, published_at=when)
        described.append((min(when, seen if seen is not None else when), 0, article))
    if announce_unknown:
        described += [(at, 0, Article(item_id=i, published_at=at)) for i, at in first.items()]
    stream = ((float(e.timestamp), 1, e) for e in events)  # type: ignore[arg-type]
    for at, _, message in heapq.merge(
        sorted(described, key=lambda d: d[:2]), stream, key=lambda m: m[:2]
    ):
        yield at, message
