"""How HTTP answers end, counted by status: what the error budget is spent on."""

from collections.abc import MutableMapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from streamrec.metrics import HTTP_ANSWERS

for _code in ("200", "202", "500", "503", "504"):
    HTTP_ANSWERS.labels(_code)  # a first step from nothing is no increase to Prometheus


class Counted:
    """ASGI middleware. An error that no route has turned into an answer is a 500; of a client that has hung
    up nothing is counted, as it got no answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return

        async def counting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                HTTP_ANSWERS.labels(str(message["status"])).inc()
            await send(message)
        try:
            await self._app(scope, receive, counting)
        except ClientDisconnect:
            return
        except Exception:
            HTTP_ANSWERS.labels("500").inc()
            raise
