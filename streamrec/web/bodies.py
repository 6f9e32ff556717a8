"""Bodies of requests: the messages of the topics, stricter. A field nobody knows is a mistake here,
and what a server can fill in may be left out."""

import uuid
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import NODEFAULT, Struct

from streamrec import events
from streamrec.errors import InvalidMessage
from streamrec.events import Article, Feedback, Request
from streamrec.web.problems import invalid

T = TypeVar("T", bound=Struct)
MOST_EVENTS = 1000


def _strict(name: str, kind: type[Struct], without: Sequence[str], optional: Sequence[str]) -> type[Struct]:
    """A message without some fields, with others optional, that refuses unknown ones."""
    fields: list[Any] = []
    for f in msgspec.structs.fields(kind):
        if f.name in optional:
            fields.append((f.name, f.type | None, None))
        elif f.name not in without:
            default = f.default_factory if f.default is NODEFAULT else f.default
            if f.default is NODEFAULT and f.default_factory is not NODEFAULT:
                default = msgspec.field(default_factory=f.default_factory)
            fields.append((f.name, f.type) if default is NODEFAULT else (f.name, f.type, default))
    return msgspec.defstruct(
        name, fields, kw_only=True, frozen=True, forbid_unknown_fields=True,
        namespace={"__doc__": kind.__doc__}, module=__name__,
    )


Wanted = _strict("Wanted", Request, ("user_ids", "trigger", "schema_version"), ("request_id",))
Event = _strict("Event", Feedback, ("schema_version",), ("event_id", "timestamp"))
Described = _strict("Described", Article, ("schema_version",), ("item_id",))
_wanted, _described = msgspec.json.Decoder(Wanted), msgspec.json.Decoder(Described)
_events = msgspec.json.Decoder(Event | list[Event])  # type: ignore[valid-type]


def request(body: bytes, now: float) -> Request:
    """What a reader wants. Without `user_id` nobody in particular asks. Raises Problem."""
    given = _given(_decoded(_wanted, body))
    given.setdefault("user_id", f"anonymous-{uuid.uuid4().hex}")
    return _checked(Request, {"request_id": uuid.uuid4().hex, **given}, now)


def feedback(body: bytes, now: float) -> list[Feedback]:
    """One event or a list of them; `event_id` and `timestamp` may be left out. Raises Problem."""
    found = _decoded(_events, body)
    many = found if isinstance(found, list) else [found]
    if len(many) > MOST_EVENTS:
        raise invalid(f"{len(many)} events: at most {MOST_EVENTS} at once")
    return [
        _checked(Feedback, {"event_id": uuid.uuid4().hex, "timestamp": now, **_given(e)}, now,
                 f"[{i}]" if many is found else "")
        for i, e in enumerate(many)
    ]


def article(item_id: str, body: bytes, now: float) -> Article:
    """The article of a path; undated, if the body says no date. Raises Problem."""
    given = _given(_decoded(_described, body))
    if given.setdefault("item_id", item_id) != item_id:
        raise invalid("the body names another article than the path - at `$.item_id`")
    return _checked(Article, given, now)


def _decoded(decoder: Any, body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(str(error)) from None


def _given(body: Struct) -> dict[str, Any]:
    """Fields that are there."""
    return {k: v for k, v in msgspec.structs.asdict(body).items() if v is not None}


def _checked(kind: type[T], fields: dict[str, Any], now: float, at: str = "") -> T:
    message = kind(**fields)
    try:
        return events.decode(kind, events.encode(message), now)
    except InvalidMessage as error:
        raise invalid(str(error).replace("`$", f"`${at}")) from None
