"""What a GET asks for in its query: fields of a request and of its filters, as text."""

import math
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.datastructures import QueryParams

from streamrec.events import Filters, Id, Locale, Request, Tags, Time, Unit
from streamrec.web import bodies
from streamrec.web.problems import Problem, invalid


class Similar(Struct, kw_only=True, omit_defaults=True):
    """What "more like this" may be asked with. A list is a parameter given again and again."""

    n: Annotated[int, Meta(ge=1, le=500)] | UnsetType = UNSET
    user_id: Id | UnsetType = UNSET
    tags_any: Tags | UnsetType = UNSET
    tags_all: Tags | UnsetType = UNSET
    tags_none: Tags | UnsetType = UNSET
    lang: str | UnsetType = UNSET
    source: str | UnsetType = UNSET
    domain: str | UnsetType = UNSET
    published_after: Time | UnsetType = UNSET
    exclude_items: Annotated[list[Id], Meta(max_length=5000)] | UnsetType = UNSET
    diversity: Unit | UnsetType = UNSET
    explain: bool | UnsetType = UNSET
    locale: Locale | UnsetType = UNSET
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] | UnsetType = UNSET


FILTERS, MANY = Filters.__struct_fields__, ("tags_any", "tags_all", "tags_none", "exclude_items")


def similar(item_id: str, query: QueryParams, now: float) -> Request:
    """A wish for more like an article. Raises Problem, which names the parameter."""
    try:
        found = msgspec.convert(_given(query), Similar, strict=False)  # all of a query is text
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    if isinstance(after := found.published_after, float) and not math.isfinite(after):
        raise invalid("it is no time - at `$.published_after`")  # JSON knows no such number
    fields: dict[str, Any] = msgspec.to_builtins(found)
    filters = {name: fields.pop(name) for name in FILTERS if name in fields}
    wanted = {**fields, "filters": filters or None, "similar_to": item_id}
    return bodies.request(msgspec.json.encode(wanted), now)


def _given(query: QueryParams) -> dict[str, Any]:
    """Text by parameter: neither one that nobody knows nor one of two values is passed over in silence."""
    known, found = Similar.__struct_fields__, dict[str, Any]()
    for name in query:
        values = query.getlist(name)
        if name not in known:
            raise Problem(400, f"no parameter {name!r}: {', '.join(known)}", field=f"$.{name}")
        if len(values) > 1 and name not in MANY:
            raise Problem(400, f"{name!r} is given {len(values)} times, and has one value", field=f"$.{name}")
        found[name] = values if name in MANY else values[0]
    return found
