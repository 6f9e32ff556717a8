"""Who may ask, and how much at once: API keys and the limit of a body."""

import asyncio
import hmac
from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from streamrec.web.problems import Problem, response

OPEN = ("/", "/login", "/healthz", "/readyz", "/metrics", "/openapi.json")
OWN_NAMES = ("localhost", "127.0.0.1", "[::1]", "")
BODY_S = 20.0  # for a megabyte at most: whoever takes longer holds a connection for nothing
PAGES = ("/dashboard", "/logout")  # who may look at them, the dashboard's own guard says


NO_KEYS = ("without API keys no page of another site may ask, and this machine only by its own name: set "
           "STREAMREC_WEB__API_KEYS")
NO_PAGE = ("a dashboard that asks for no login answers to this machine's own name only: behind a proxy set "
           "STREAMREC_WEB__HOST=0.0.0.0 with STREAMREC_WEB__API_KEYS and STREAMREC_WEB__PASSWORD")


class Keys:
    """ASGI middleware: everything under /v1 needs one of the keys, as a bearer token or in `x-api-key`.
    `local`: it listens for this machine alone, so who asks by another name was led here (DNS rebinding)."""

    def __init__(self, app: ASGIApp, keys: Sequence[str], local: bool = False) -> None:
        self._app, self._keys, self._local = app, [k.encode() for k in keys], local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        page = scope["type"] in ("http", "websocket") and scope["path"].startswith(PAGES)
        if scope["type"] == "websocket" and _from_elsewhere(scope):
            await send({"type": "websocket.close", "code": 4403})
            return
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        if (page or not self._keys) and (_from_elsewhere(scope) or self._renamed(scope)):
            await response(Problem(403, NO_PAGE if page else NO_KEYS))(scope, receive, send)
            return
        if page:
            await self._app(scope, receive, send)
            return
        if self._keys and not self._known(scope):
            problem = Problem(401, "give an API key: `authorization: Bearer KEY` or `x-api-key: KEY`")
            await response(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        given = [bearer.strip() if scheme.lower() == b"bearer" else b"", headers.get(b"x-api-key", b"")]
        return any([hmac.compare_digest(g, key) for g in given for key in self._keys])


    def _renamed(self, scope: Scope) -> bool:
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        has_port = ":" in host and not host.endswith("]")
        return self._local and (host.rpartition(":")[0] if has_port else host) not in OWN_NAMES


def _from_elsewhere(scope: Scope) -> bool:
    """Whether a browser sends this for a page of another site: anybody's page may reach a server on
    its reader's own machine."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    return origin is not None and origin.partition(b"://")[2] != headers.get(b"host", b"")


async def body(request: Request, limit: int) -> bytes:
    """The whole body. Raises Problem as soon as it is over the limit, or if it does not come in time, and
    ClientDisconnect."""
    try:
        async with asyncio.timeout(BODY_S):
            return await _all(request, limit)
    except TimeoutError:
        raise Problem(408, f"the body did not come within {BODY_S:g} s: send it again") from None


async def _all(request: Request, limit: int) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > limit:
            raise Problem(413, f"at most {limit} bytes are taken", limit=limit)
    return bytes(found)
