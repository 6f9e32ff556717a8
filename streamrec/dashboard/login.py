"""Who may look and who may act. On this machine's own address everybody may look; acting, and looking from
elsewhere, need the password. The cookie is signed with a key of this process: a restart ends all sessions.
Logging out ends the session itself, not only the browser's cookie: pages that are still open cannot act."""

import asyncio
import hmac
import secrets
import time
from urllib.parse import parse_qs, quote

from itsdangerous import BadSignature, TimestampSigner
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from streamrec.dashboard.style import LOGIN_CSS
from streamrec.web.guard import body

COOKIE, LASTS_S = "streamrec_session", 12 * 3600
WRONG_S = 0.5  # guessing takes time
HOME, PATH, OUT = "/dashboard", "/login", "/logout"
FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport"
content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<title>streamrec: log in</title><style>{css}</style><main>
<h1>streamrec</h1><form method="post"><p role="alert">{said}</p><label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" autofocus required>
<button>Log in</button></form></main></html>"""


class Login:
    """`password`: empty, nobody can act; `open_to_all`: who has no session may look."""

    def __init__(self, password: str, open_to_all: bool) -> None:
        self._password, self.open_to_all = password.encode(), open_to_all
        self._signer = TimestampSigner(secrets.token_bytes(32))
        self._ended: dict[bytes, float] = {}  # sessions logged out of, and when: they may be kept somewhere
        self._one = asyncio.Lock()

    @property
    def can_act(self) -> bool:
        """Whether anybody may, with the password."""
        return bool(self._password)

    def knows(self, cookies: dict[str, str]) -> bool:
        """Whether a session is good."""
        return self._session(cookies) is not None

    def _session(self, cookies: dict[str, str]) -> bytes | None:
        try:
            found = self._signer.unsign(cookies.get(COOKIE, ""), max_age=LASTS_S)
        except BadSignature:
            return None
        return None if found in self._ended else found

    async def route(self, request: Request) -> Response:
        """GET shows the form, POST takes the password."""
        if not self.can_act:
            return _form("No password is set: nobody can log in. Set STREAMREC_WEB__PASSWORD.", 403)
        if request.method == "GET":
            return _form("")
        sent = await body(request, 4096)  # before the lock: who never ends it keeps nobody else waiting
        async with self._one:  # guesses side by side would cost no time
            return await self._take(request, sent)

    async def out(self, request: Request) -> Response:
        """POST ends the session. Where the cookie did not come along, as from somebody else's page, nothing
        is done."""
        found = RedirectResponse(f"{HOME}/", 303)
        if session := self._session(request.cookies):
            now = time.monotonic()
            self._ended = {s: at for s, at in self._ended.items() if now - at < LASTS_S} | {session: now}
            found.delete_cookie(COOKIE)
        return found

    async def _take(self, request: Request, sent: bytes) -> Response:
        given = parse_qs(sent.decode(errors="replace")).get("password", [""])[0]
        if not hmac.compare_digest(given.encode(), self._password):
            await asyncio.sleep(WRONG_S)
            return _form("That is not the password.", 401)
        found = RedirectResponse(_local(request.query_params.get("to", HOME)), 303)
        session = self._signer.sign(secrets.token_hex(8)).decode()
        found.set_cookie(COOKIE, session, max_age=LASTS_S, httponly=True, samesite="strict",
                         secure=request.url.scheme == "https")
        return found

    def guard(self, app: ASGIApp) -> ASGIApp:
        """ASGI middleware: who may not look is sent to the form."""
        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            inside = scope["type"] in ("http", "websocket") and scope["path"].startswith(HOME)
            if not inside or self.open_to_all or self.knows(_cookies(scope)):
                await app(scope, receive, send)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4401})
            else:
                asked = f"{scope['path']}?{scope['query_string'].decode('latin-1')}".rstrip("?")
                await RedirectResponse(f"{PATH}?to={quote(asked, safe='/')}", 303)(scope, receive, send)
        return guarded


def _cookies(scope: Scope) -> dict[str, str]:
    return Request({**scope, "type": "http"}).cookies


def _local(to: str) -> str:
    """Only to our own pages: anybody can make a link to the form."""
    return to if to.startswith(HOME) and "\\" not in to and "\n" not in to else HOME


def _form(said: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(FORM.format(css=LOGIN_CSS, said=said), status, {"cache-control": "no-store"})
