"""The routes. FastAPI finds the route; the messages' own decoders read the bodies, so that HTTP and the
topics accept the same and name a mistake alike."""

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

import msgspec
from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from consumers.serving import Wish
from streamrec import events
from streamrec.clock import Clock
from streamrec.errors import RetryLater
from streamrec.events import Recommendation, encode
from streamrec.web import bodies, openapi, queries
from streamrec.web.counted import Counted
from streamrec.web.desk import Desk
from streamrec.web.guard import Keys, body
from streamrec.web.outbox import Letter, Outbox
from streamrec.web.problems import Problem, invalid, response
from streamrec.web.reach import Reach

LIMIT = events.MAX_MESSAGE_BYTES
JSON = "application/json"
PROBE = ["GET", "HEAD"]
ANY = [*PROBE, "POST", "PUT", "PATCH", "DELETE"]
UNKNOWN = " is known - at `$.similar_to`"  # how an answer about an article that is not there ends
T = TypeVar("T")


class Behind(NamedTuple):
    """What the routes use. `prefix`: of the topics; `keys`: API keys, none: everybody may ask; `local`: it
    listens for this machine alone."""

    desk: Desk
    outbox: Outbox
    reach: Reach
    clock: Clock
    prefix: str
    keys: tuple[str, ...] = ()
    local: bool = False


def build(behind: Behind) -> FastAPI:
    """The application."""
    # The pages of docs load from elsewhere; and what is not there is told at once, with no redirect before.
    app = FastAPI(title="streamrec", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.openapi = lambda: openapi.document(bool(behind.keys))  # type: ignore[method-assign]
    app.add_middleware(Keys, keys=behind.keys, local=behind.local)
    app.add_middleware(Counted)
    app.add_exception_handler(Problem, lambda _, error: response(error))
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(RetryLater, lambda _, error: response(Problem(503, str(error))))
    for path, methods, route in (
        ("/v1/recommendations", ["POST"], _recommendations), ("/v1/feedback", ["POST"], _feedback),
        ("/v1/articles/{item_id:path}/similar", ["GET"], _similar),
        ("/v1/articles/{item_id:path}", ["PUT", "DELETE"], _article),
        ("/healthz", PROBE, _healthz), ("/readyz", PROBE, _readyz), ("/metrics", PROBE, _metrics),
        *((f"{path}/", ANY, _slash) for path in ("/v1/{rest:path}", "/healthz", "/readyz", "/metrics")),
    ):
        app.add_api_route(path, route, methods=methods, include_in_schema=False)
    app.state.behind = behind
    return app


def _behind(request: Request) -> Behind:
    found: Behind = request.app.state.behind
    return found


async def _recommendations(request: Request) -> Response:
    b, asked_at = _behind(request), _behind(request).clock.now()
    wanted = bodies.request(await body(request, LIMIT), asked_at)
    return _json(await _unless_gone(request, _answer(b, wanted, asked_at)))


async def _similar(request: Request) -> Response:
    b, now = _behind(request), _behind(request).clock.now()
    wanted = queries.similar(request.path_params["item_id"], request.query_params, now)
    return _json(await _unless_gone(request, _answer(b, wanted, now, "$.item_id")))


async def _answer(
    b: Behind, wanted: events.Request, asked_at: float, article: str = "$.similar_to"
) -> Recommendation:
    """`article`: where in what was asked the article of "more like this" stands."""
    assert wanted.user_id is not None
    wish = Wish.of(wanted.user_id, wanted, asked_at)
    try:
        answer = await b.desk.ask(wish)
    except TimeoutError:
        special = b.desk.serving.special(wish)
        why = f"a request with {', '.join(special)} is answered by no other list" if special else \
            "no earlier list as long can be given instead"
        raise Problem(504, f"no answer within {wanted.deadline_ms} ms, and {why} - at `$.deadline_ms`",
                      field="$.deadline_ms") from None
    if answer.error and answer.error.endswith("`$.interests`"):
        away = answer.error.startswith("interests cannot be read now")  # no encoder yet, or a broken one
        raise Problem(503 if away else 400, answer.error, field="$.interests")
    if answer.error and answer.error.endswith(UNKNOWN):
        raise Problem(404, answer.error.partition(" - at")[0] + f" - at `{article}`", field=article)
    return answer


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """What a client waits for; given up when it hangs up. Raises ClientDisconnect."""
    asking, gone = asyncio.ensure_future(answer), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((asking, gone), return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            raise ClientDisconnect
        return asking.result()
    finally:
        asking.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    """Returns when the client has hung up; its body has been read, or it has none."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _feedback(request: Request) -> Response:
    b = _behind(request)
    found = bodies.feedback(await body(request, LIMIT), b.clock.now())
    topic = events.topic(b.prefix, "feedback")
    await b.outbox.publish([Letter(topic, e.user_id, encode(e)) for e in found])
    b.desk.serving.lately.read(
        (e.user_id, e.item_id) for e in found if e.item_id and e.event_type != "impression"  # shown, not read
    )
    return _json({"accepted": len(found), "event_ids": [e.event_id for e in found]}, 202)


async def _article(request: Request) -> Response:
    """PUT announces or changes, DELETE takes out."""
    b, item, value = _behind(request), _item(request), None
    if request.method == "PUT":
        value = encode(bodies.article(item, await body(request, LIMIT), b.clock.now()))
    await b.outbox.publish([Letter(events.topic(b.prefix, "articles"), item, value)])
    lately = b.desk.serving.lately
    (lately.deleted if value is None else lately.announced)(item)
    return _json({"accepted": 1, "item_id": item}, 202)


def _item(request: Request) -> str:
    item: str = request.path_params["item_id"]
    if item.endswith("/similar"):  # no id of an article: its list would have no address
        raise HTTPException(405, headers={"allow": "GET"})
    if not 1 <= len(item) <= 256 or any(c < " " or c == "\ufffd" for c in item):
        raise invalid("an article id has 1 to 256 characters, in UTF-8 and no control characters - at "
                      "`$.item_id`")
    return item


async def _healthz(request: Request) -> Response:
    b = _behind(request)
    if not (b.desk.alive and b.outbox.alive):
        raise Problem(503, "a thread of this process has ended: start it again")
    return _json({"alive": True})


async def _readyz(request: Request) -> Response:
    """Without interests most lists can be made, so an encoder that still loads is told, and nothing more."""
    b = _behind(request)
    lists = "redis" if b.desk.alive else "the answering thread"
    troubles = {name: why for name, why in ((lists, b.desk.trouble()), ("kafka", b.reach.trouble())) if why}
    interests = b.desk.serving.interests()
    if troubles:
        raise Problem(503, "; ".join(troubles.values()), missing=[*troubles], interests=interests)
    return _json({"ready": True, "interests": interests})


async def _metrics(request: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _slash(request: Request) -> Response:
    """Nothing is at such an address, whatever the method."""
    raise HTTPException(404)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = "POST /v1/recommendations, POST /v1/feedback, PUT and DELETE /v1/articles/{id}, " \
            "GET /v1/articles/{id}/similar; see /openapi.json"
    path = request.url.path
    slash = "no address ends with a slash; " if path.endswith("/") and error.status_code == 404 else ""
    found = response(Problem(error.status_code, f"{request.method} {path}: {slash}there is {known}",
                             request=uuid.uuid4().hex))
    found.headers.update(error.headers or {})
    return found


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type=JSON)
