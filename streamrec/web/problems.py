"""Errors as problem details (RFC 9457)."""

import re
from typing import Any

import msgspec
from starlette.responses import Response

TITLES = {
    400: "The request cannot be understood", 401: "An API key is needed", 403: "Not allowed",
    404: "Not found", 405: "Method not allowed", 408: "The body took too long",
    413: "The body is too large", 503: "A server behind is away",
    504: "The deadline passed",
}
OF_AN_OBJECT = re.compile(
    r"^Object (contains unknown|missing required) field `(?P<name>.*?)`( - at `(?P<at>[^`]*)`)?$", re.DOTALL)
MEDIA = "application/problem+json"


class Problem(Exception):
    """Raised in a route, answered as problem JSON. `more`: further members, e.g. `field`."""

    def __init__(self, status: int, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.more = status, detail, more


def response(problem: Problem) -> Response:
    """The problem on the wire."""
    status = problem.status
    content = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status,
               "detail": problem.detail, **problem.more}
    headers = {"retry-after": "1"} if status == 503 else {}
    if status == 408:
        headers["connection"] = "close"  # what is left of the body is no next request
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(content), status, headers, media_type=MEDIA)


def invalid(detail: str) -> Problem:
    """A body or parameter with a mistake; decoders name the field at the end of their message, and none if it
    is the whole body."""
    if named := OF_AN_OBJECT.search(detail):
        return Problem(400, detail, field=f"{named['at'] or '$'}.{named['name']}")
    _, found, field = detail.rpartition(" - at `")
    return Problem(400, detail, field=field.rstrip("`") if found else "$")
