"""The HTTP server ends when it is told to, whatever the servers behind it do."""

import threading
import time

import pytest
from fastapi import FastAPI

from streamrec.errors import ServerRefused
from streamrec.web.server import listen, serve


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


def test_it_says_that_it_is_there() -> None:
    stop, said = threading.Event(), threading.Event()
    serving = threading.Thread(target=serve, args=(FastAPI(), listen("127.0.0.1", 0), stop, said.set))
    serving.start()
    assert said.wait(5)
    stop.set()
    serving.join(5)
