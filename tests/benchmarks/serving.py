"""Answers over HTTP, the web process and its scorer in a process of their own: with 1 and with 8
clients, and single events of feedback."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from statistics import median

from tests.benchmarks.answering import put_catalogue
from tests.benchmarks.measured import Figures, Say, Sizes, p99
from tests.benchmarks.servers import Bench, peak_mb, publish, wait_for
from tests.benchmarks.stream import READERS, article, realistic

PREFIX = "serving"
CLIENTS = 8
Body = Callable[[random.Random], dict[str, object]]


def measure(bench: Bench, sizes: Sizes, figures: Figures, say: Say) -> None:
    """http_p50_ms, http_p99_ms and http_answers_per_s with 1 and 8 clients; http_feedback_per_s."""
    parts = bench.parts(PREFIX)
    say(f"articles for the web process: {sizes.articles}")
    put_catalogue(parts, sizes.articles)
    publish(parts, realistic(min(10_000, sizes.backlog)))
    with bench.process("collect", PREFIX), bench.process("web", PREFIX) as web:
        wait_for("the web process listens", lambda: bool(parts.board.get("web")), 60, 0.2)
        host = parts.board.get("web")["url"].removeprefix("http://")
        wait_for("the web process is ready", lambda: _ready(host), 60, 0.2)
        for n in range(sizes.repeats + 1):  # the first warms up
            say(f"HTTP with 1 and {CLIENTS} clients: {n} of {sizes.repeats}")
            for clients in (1, CLIENTS):
                took, rate = _load(host, "/v1/recommendations", _wanted, clients, sizes.http_s)
                _note(figures if n else Figures(), f"{clients}_clients", took, rate)
            _, rate = _load(host, "/v1/feedback", _click, CLIENTS, sizes.http_s)
            (figures if n else Figures()).add("http_feedback_per_s_8_clients", rate)
        figures.add("web_peak_rss_mb", peak_mb(web.pid))


def _note(figures: Figures, label: str, took: list[float], rate: float) -> None:
    figures.add(f"http_p50_ms_{label}", median(took))
    figures.add(f"http_p99_ms_{label}", p99(took))
    figures.add(f"http_answers_per_s_{label}", rate)


def _ready(host: str) -> bool:
    try:
        return _Client(host).send("GET", "/readyz", None) == 200
    except OSError:
        return False


class _Client:
    """One connection that is kept."""

    def __init__(self, host: str) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=10)

    def send(self, method: str, path: str, body: dict[str, object] | None) -> int:
        """The status of the answer."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def _load(host: str, path: str, body: Body, clients: int, seconds: float) -> tuple[list[float], float]:
    """Milliseconds of each request, and requests a second, while every client asks without a pause."""
    took: list[list[float]] = [[] for _ in range(clients)]
    end = time.monotonic() + seconds

    def run(k: int) -> None:
        client, rng = _Client(host), random.Random(f"{k} {end}")
        while time.monotonic() < end:
            began = time.perf_counter()
            status = client.send("POST", path, body(rng))
            took[k].append((time.perf_counter() - began) * 1000)
            if status not in (200, 202):
                raise RuntimeError(f"{path} answered {status}")

    threads = [threading.Thread(target=run, args=(k,)) for k in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [ms for some in took for ms in some]
    return every, len(every) / seconds


def _wanted(rng: random.Random) -> dict[str, object]:
    return {"user_id": f"reader-{rng.randrange(READERS):06d}", "n": 10}


def _click(rng: random.Random) -> dict[str, object]:
    return {"user_id": f"reader-{rng.randrange(READERS):06d}", "event_type": "click",
            "item_id": article(rng)}
