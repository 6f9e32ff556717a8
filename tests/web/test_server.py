"""The HTTP server ends when it is told to, whatever the servers behind it do."""

import json
import socket
import subprocess
import sys
import threading
import time

import pytest
from fastapi import FastAPI

from streamrec.errors import ServerRefused
from streamrec.web.server import listen, serve
from tests.e2e.harness import wait_until


def refuses() -> None:
    raise ServerRefused("NOPERM")


@pytest.mark.parametrize("alive", [refuses, lambda: time.sleep(30)])
def test_it_ends_at_once_though_redis_refuses_or_hangs(alive) -> None:
    stop, others = threading.Event(), set(threading.enumerate())
    what = FastAPI(), listen("127.0.0.1", 0), stop, alive
    running = threading.Thread(target=serve, args=what, daemon=True)
    running.start()
    time.sleep(0.5)
    assert running.is_alive()
    stop.set()
    running.join(3)
    left = {t.name for t in set(threading.enumerate()) - others}
    assert not running.is_alive() and "http" not in left


SERVING = """
import threading
from fastapi import FastAPI
from streamrec import logs
from streamrec.web.server import listen, serve
logs.setup("warning", "web")
app, here, stop = FastAPI(), listen("127.0.0.1", 0), threading.Event()
@app.get("/broken")
async def broken(): raise ZeroDivisionError("of a page")
print(here.getsockname()[1], flush=True)
threading.Thread(target=lambda: (input(), stop.set())).start()
serve(app, here, stop)
"""


def there(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_all_that_it_logs_is_lines_of_json() -> None:
    process = subprocess.Popen([sys.executable, "-c", SERVING], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout
        port = int(process.stdout.readline())
        wait_until(lambda: there(port), 20, "it listens")
        for sent in (b"rubbish\r\n\r\n", b"GET /broken HTTP/1.1\r\nhost: x\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                connection.sendall(sent)
                assert connection.recv(1000)
        _, said = process.communicate("\n", timeout=20)
    finally:
        process.kill()
    lines = [json.loads(line) for line in said.splitlines()]
    assert any("Invalid HTTP request" in line["event"] for line in lines)
    assert any("ZeroDivisionError: of a page" in line.get("exception", "") for line in lines)


def test_it_says_that_it_is_there() -> None:
    stop, said = threading.Event(), threading.Event()
    serving = threading.Thread(target=serve, args=(FastAPI(), listen("127.0.0.1", 0), stop, said.set))
    serving.start()
    assert said.wait(5)
    stop.set()
    serving.join(5)
