"""Clients that hang up or dawdle: they cost no answer, no traceback and no error budget."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY
from web_site import WebSite

from streamrec.web import guard

LIST = ("POST", "/v1/recommendations")


def spoken(
    site: WebSite, method: str, path: str, received: Sequence[dict[str, Any]], stays: bool = False
) -> list[Any]:
    """What the application sends to a client from which this is received; then it hangs up, or `stays`."""
    sent, left = list[Any](), list(received)

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop(0)
        await asyncio.sleep(60 if stays else 0.05)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
             "query_string": b"", "headers": [], "scheme": "http", "server": ("h", 1), "client": ("c", 1)}
    asyncio.run(asyncio.wait_for(site.app(scope, receive, send), 20))
    return sent


def body(content: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


def answers() -> float:
    found = REGISTRY.collect()
    return sum(s.value for m in found for s in m.samples if s.name == "streamrec_http_answers_total")


@pytest.mark.parametrize(("method", "path"), [LIST, ("POST", "/v1/feedback"), ("PUT", "/v1/articles/a")])
def test_who_hangs_up_in_mid_body_is_no_error(method: str, path: str) -> None:
    site, before = WebSite(), answers()
    assert spoken(site, method, path, [body(b'{"user', more=True)]) == [] and answers() == before


@pytest.mark.parametrize(("method", "path"), [LIST, ("GET", "/v1/articles/a1/similar")])
def test_who_hangs_up_before_the_answer_is_not_answered(method: str, path: str) -> None:
    site, before = WebSite(), answers()  # whose answering thread has not begun
    assert spoken(site, method, path, [body(b"{}")]) == [] and answers() == before
    site.desk.start()
    try:
        site.desk.run(lambda serving: None).result(10)
        assert site.sent("recommendations") == [] and site.desk._line.everybody() == []
    finally:
        site.desk.stop()


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_S", 0.05)
    start, content = spoken(WebSite(), *LIST, [body(b'{"user', more=True)], stays=True)
    assert start["status"] == 408 and (b"connection", b"close") in start["headers"]
    assert "did not come" in json.loads(content["body"])["detail"]
