"""What `streamrec status` says of a streamrec."""

import re
import threading
import time
from urllib.request import urlopen

import pytest
from fastapi import FastAPI
from msgspec.structs import replace

from streamrec.adapters.memory import MemoryBoard, MemoryBuffer, MemoryPointers
from streamrec.cli.show import status_table
from streamrec.config import Buffer
from streamrec.errors import RetryLater
from streamrec.metrics import BOARD_WEB
from streamrec.operate.status import facts
from streamrec.replay import Applied, a_res_key, digest
from streamrec.web.server import listen, serve, url
from tests.e2e.harness import wait_until


def test_it_says_how_many_rows_wait_to_be_learned(capsys: pytest.CaptureFixture[str]) -> None:
    buffer, pointers = MemoryBuffer(Buffer()), MemoryPointers()
    ids = [f"e{n}" for n in range(9)]
    buffer.apply(0, buffer.claim(0, "x", 1), "x", [
        Applied(n, digest(e), e, e, "a", "click", 1.0, [], 1.0, a_res_key(digest(e)))
        for n, e in enumerate(ids)
    ], 9, 1.0)
    pointers.move(replace(pointers.read(), cursor={0: 2}, attempt=1), 0, None, None)
    found = facts(buffer, pointers, MemoryBoard(), 0, time.time())
    assert found["rows_waiting"] == 7
    status_table({"lag": {}, **found})
    assert re.search(r"^rows waiting +7 *$", capsys.readouterr().out, re.MULTILINE)


def test_a_web_process_that_is_gone_is_named_no_longer() -> None:
    board, now, base = MemoryBoard(), 1e9, "http://127.0.0.1:1"
    board.put(BOARD_WEB, {"url": base, "dashboard": f"{base}/dashboard/", "at": now})

    def named(at: float) -> tuple[str | None, str | None]:
        found = facts(MemoryBuffer(Buffer()), MemoryPointers(), board, 0, at)
        return found["web"], found["dashboard"]
    assert named(now + 10) == (base, f"{base}/dashboard/")
    assert named(now + 60) == (None, None)


def test_who_serves_says_so_again_and_again_and_where_it_can_be_opened(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamrec.web.server.ALIVE_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    listening, stop, said = listen("0.0.0.0", 0), threading.Event(), list[str]()

    def alive() -> None:
        said.append(url(listening))
        raise RetryLater("Redis: away")
    thread = threading.Thread(target=serve, args=(FastAPI(), listening, stop, alive), daemon=True)
    thread.start()
    wait_until(lambda: len(said) > 1, 10, "it has said so twice")
    assert said[0].startswith("http://127.0.0.1:")
    assert urlopen(f"{said[0]}/openapi.json", timeout=10).status == 200
    stop.set()
    thread.join()
