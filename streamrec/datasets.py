"""Files that a user names: log folders to read, in time order, and results to write.

A log folder holds JSON lines or CSV, UTF-8, plain or gzipped.
`articles*.jsonl[.gz]` rows: item_id; and where known title, body, published_at, tags (in CSV a|b), lang,
url, source, domain.
`events*.jsonl[.gz]` rows: event_id, user_id, item_id, type (or event_type; none: click), ts (or timestamp);
and where known the other fields of `Feedback` (impression in CSV a|b).
Times are epoch seconds or RFC 3339, UTC where no zone is given.
"""

import csv
import gzip
import heapq
import json
import math
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from streamrec.errors import InvalidMessage, SetupError
from streamrec.events import MAX_MESSAGE_BYTES, Article, Feedback, decode, encode

OURS = ("impression", "click", "read", "like", "dismiss")
# The kinds of event that are understood: ours, and words other systems use, as ours.
TYPES = {kind: kind for kind in OURS} | {
    "view": "click", "edit": "click", "answer": "read", "create": "read", "ask": "read",
    "bookmark": "like", "follow": "like", "comment": "like", "comment created": "like",
    "dislike": "dismiss", "hide": "dismiss", "skip": "dismiss",
}
T = TypeVar("T")
M = TypeVar("M", Article, Feedback)
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


class _Lines:
    """A file's lines, with the number of the last one that was handed out."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self.n = lines, 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.n += 1
            yield line


def rows(path: Path, use: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    """What `use` makes of each row. Raises SetupError naming the line that cannot be used."""
    opened = gzip.open if path.name.endswith(".gz") else open
    lines = _Lines(())
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as f:  # Excel writes a BOM
            lines = _Lines(f)
            if ".csv" in path.name:
                yield from map(use, csv.DictReader(lines))
            else:
                yield from (use(json.loads(line)) for line in lines if line.strip())
    except UnicodeDecodeError:  # bytes are decoded many lines at a time, so which one is not known
        raise SetupError(f"{path} is not UTF-8: save it as UTF-8 and try again") from None
    except RecursionError:
        raise SetupError(f"{path}, line {lines.n}: nested too deeply: a row is a flat object") from None
    except (ValueError, TypeError, KeyError, AttributeError, EOFError, OSError, OverflowError, zlib.error,
            csv.Error, msgspec.ValidationError, InvalidMessage) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SetupError(f"{path}, line {lines.n}: {why}") from None


def epoch_of(value: Any) -> float:
    """Epoch seconds of an RFC 3339 text or a number; naive times are UTC."""
    try:
        return float(value)
    except ValueError:
        t = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        return (t if t.tzinfo else t.replace(tzinfo=UTC)).timestamp()


def _time_of(value: Any, field: str) -> float:
    """As `epoch_of`; what is no time is a ValueError that names the field."""
    try:
        return epoch_of(value)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{str(value)[:40]!r} is no time: give epoch seconds or "
                         f"2025-01-31T12:00:00Z - at `$.{field}`") from None


def _checked(make: Callable[[dict[str, Any]], M], now: float | None) -> Callable[[dict[str, Any]], M]:
    """`make`, but with `now` its message must be one that a topic's reader takes at that time."""
    return make if now is None else lambda row: taken(make(row), now)


def taken(message: M, now: float) -> M:
    """The message. Raises InvalidMessage naming the field because of which it would become a dead letter."""
    field = "timestamp" if isinstance(message, Feedback) else "published_at"
    at = getattr(message, field)
    if at is not None and not math.isfinite(at):  # JSON has no word for it: null would be sent
        raise InvalidMessage(f"{at} is no time - at `$.{field}`")
    sent = encode(message)
    if len(sent) > MAX_MESSAGE_BYTES:
        longest = max(message.__struct_fields__, key=lambda name: len(str(getattr(message, name))))
        raise InvalidMessage(f"{len(sent)} bytes: at most {MAX_MESSAGE_BYTES} are taken - at `$.{longest}`")
    decode(type(message), sent, now)
    return message


def articles(folder: Path, now: float | None = None) -> Iterator[tuple[float | None, Article]]:
    """Articles with their publication time, in the file's order. With `now` (epoch s) each must be one
    that is taken from the topics at that time. Raises SetupError with the line."""
    found = rows(find(folder, "articles"), _checked(_article, now))
    return ((a.published_at, a) for a in found)  # type: ignore[misc]


def _article(row: dict[str, Any]) -> Article:
    texts = ("item_id", "title", "body", "lang", "url", "source", "domain")
    known = {k: row[k] for k in texts if row.get(k)}
    tags = row.get("tags") or []
    at = _time_of(row["published_at"], "published_at") if row.get("published_at") else None
    known["tags"] = tags.split("|") if isinstance(tags, str) else tags
    known["title"] = str(known.get("title", ""))[:1000]
    return msgspec.convert({**known, "published_at": at}, Article, strict=False)


def feedback(folder: Path, now: float | None = None) -> list[Feedback]:
    """All events, oldest first. With `now` (epoch s) each must be one that is taken from the topics at
    that time; without, a time may be any number. Raises SetupError with the line."""
    return sorted(rows(find(folder, "events"), _checked(_event, now)), key=_when)


def _when(event: Feedback) -> float:
    """What to sort by: NaN, which has no order, comes first."""
    at = float(event.timestamp)  # type: ignore[arg-type]
    return -math.inf if math.isnan(at) else at


def _event(row: dict[str, Any]) -> Feedback:
    out = {k: v for k, v in row.items() if v not in (None, "")}
    named = "event_type" if "event_type" in out else "type"
    kind = str(out.get(named, "click"))
    ours = TYPES.get(kind.lower())
    if ours is None:
        raise ValueError(f"{kind[:40]!r} is no kind of event: use one of {', '.join(TYPES)} - at `$.{named}`")
    if isinstance(out.get("impression"), str):
        out["impression"] = out["impression"].split("|")
    at = "timestamp" if "timestamp" in out else "ts"
    if at not in out:
        raise KeyError("timestamp")
    made = out | {"event_type": ours, "timestamp": _time_of(out[at], at)}
    return msgspec.convert(made, Feedback, strict=False)


def in_time_order(
    folder: Path, announce_unknown: bool = True
) -> Iterator[tuple[float, Article | Feedback]]:
    """Articles and events merged by time. An article without a publication time, or that events
    name but no file describes, appears just before its first event, with what is known of it.

    All of it can be published: raises SetupError with file, line and field for a row that would
    become a dead letter.
    """
    now = time.time()
    events = feedback(folder, now)
    first: dict[str, float] = {}
    for e in events:
        for item in filter(None, (e.item_id, *e.impression)):
            first.setdefault(item, float(e.timestamp))  # type: ignore[arg-type]
    described: list[tuple[float, int, Article | Feedback]] = []
    start = float(events[0].timestamp) if events else 0.0  # type: ignore[arg-type]
    for at, article in articles(folder, now):
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


def check_writable(path: Path | None) -> None:
    """For before a long run whose result is to be written there. Raises SetupError if it could not be."""
    if path is None:
        return
    try:
        if path.is_dir():
            raise SetupError(f"{path} is a folder: name a file to write")
        if not path.parent.is_dir():
            raise SetupError(f"{path} cannot be written: {path.parent} is not a folder, so make it first")
        writable = os.access(path if path.exists() else path.parent, os.W_OK)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}; name another file") from None
    if not writable:
        raise SetupError(f"{path} cannot be written: permission denied; name another file")
