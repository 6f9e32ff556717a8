"""Who may look and who may act."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import Message, Receive
from starlette.websockets import WebSocket, WebSocketDisconnect

from streamrec.dashboard.login import COOKIE, HOME, OUT, PATH, Login
from streamrec.web.guard import Keys


def client(login: Login) -> TestClient:
    async def page(request: object) -> PlainTextResponse:
        return PlainTextResponse("the page")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
    routes = [Route(PATH, login.route, methods=["GET", "POST"]), Route(OUT, login.out, methods=["POST"]),
              Route(f"{HOME}/models", page), Route("/v1/x", page), WebSocketRoute(f"{HOME}/ws", socket)]
    return TestClient(login.guard(Starlette(routes=routes)), follow_redirects=False)  # type: ignore[arg-type]


def give(http: httpx.Client, password: str, to: str = f"{HOME}/models") -> httpx.Response:
    return http.post(PATH, params={"to": to}, data={"password": password})


def test_on_this_machine_all_may_look_and_with_the_password_act() -> None:
    login = Login("secret", open_to_all=True)
    http = client(login)
    assert http.get(f"{HOME}/models").text == "the page"
    assert not login.knows({}) and not login.knows({COOKIE: "in"})
    assert give(http, "wrong").status_code == 401 and COOKIE not in http.cookies
    found = give(http, "secret")
    assert found.status_code == 303 and found.headers["location"] == f"{HOME}/models"
    cookie = found.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert login.knows(dict(http.cookies))
    assert not Login("secret", open_to_all=True).knows(dict(http.cookies))  # another process, another key


def test_from_elsewhere_a_session_is_needed_even_to_look() -> None:
    http = client(Login("secret", open_to_all=False))
    found = http.get(f"{HOME}/models")
    assert found.status_code == 303 and found.headers["location"] == f"{PATH}?to={HOME}/models"
    with pytest.raises(WebSocketDisconnect) as closed, http.websocket_connect(f"{HOME}/ws"):
        pass
    assert closed.value.code == 4401
    assert http.get("/v1/x").text == "the page"  # the API has keys of its own
    give(http, "secret")
    assert http.get(f"{HOME}/models").text == "the page"


def test_logging_out_ends_this_session_for_good_and_no_other() -> None:
    login = Login("secret", open_to_all=False)
    mine, other = client(login), client(login)
    for http in (mine, other):
        give(http, "secret")
    kept = dict(mine.cookies)
    found = mine.post(OUT)
    assert found.status_code == 303 and found.headers["location"] == f"{HOME}/"
    assert COOKIE not in mine.cookies and not login.knows(kept)
    assert mine.get(f"{HOME}/models").status_code == 303
    assert login.knows(dict(other.cookies)) and other.get(f"{HOME}/models").text == "the page"
    assert mine.get(OUT).status_code == 405, "a link from elsewhere logs nobody out"


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", f"{HOME}\\..\\x", "/v1/x"])
def test_the_form_leads_to_our_own_pages_only(to: str) -> None:
    assert give(client(Login("secret", True)), "secret", to).headers["location"] == HOME


def test_without_a_password_nobody_can_log_in() -> None:
    login = Login("", open_to_all=True)
    http = client(login)
    assert not login.can_act
    for found in (http.get(PATH), give(http, "")):
        assert found.status_code == 403 and "STREAMREC_WEB__PASSWORD" in found.text


def test_who_never_ends_a_request_keeps_nobody_else_out() -> None:
    assert asyncio.run(beside_a_stalled_one(b"password=secret")).status_code == 303


async def beside_a_stalled_one(sent: bytes) -> Response:
    login = Login("secret", open_to_all=True)

    async def never() -> Message:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def whole() -> Message:
        return {"type": "http.request", "body": sent, "more_body": False}

    def post(receive: Receive) -> Request:
        return Request({"type": "http", "method": "POST", "path": PATH, "query_string": b"", "headers": [],
                        "scheme": "http", "server": ("localhost", 80)}, receive)
    stalled = asyncio.create_task(login.route(post(never)))
    await asyncio.sleep(0)
    found = await asyncio.wait_for(login.route(post(whole)), 5)
    stalled.cancel()
    return found


def test_with_api_keys_a_session_ends_all_the_same_and_no_other_sites_page_ends_it() -> None:
    login = Login("secret", open_to_all=False)
    inside = client(login)
    give(inside, "secret")
    guarded = TestClient(Keys(inside.app, ["k"]), follow_redirects=False)
    guarded.cookies = inside.cookies
    assert guarded.post(OUT, headers={"origin": "http://elsewhere"}).status_code == 403
    assert login.knows(dict(inside.cookies))
    assert guarded.post(OUT).status_code == 303 and not login.knows(dict(inside.cookies))
