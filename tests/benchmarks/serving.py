"""Answers over HTTP, the web process and its scorer in a process of their own: with 1 and with 8
clients, and single events of feedback."""

import json
import random
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from streamrec.wiring import Parts
from tests.benchmarks.answering import put_catalogue, swapping
from tests.benchmarks.measured import Figures, Say, Sizes, p99
from tests.benchmarks.servers import Bench, peak_mb, publish, wait_for
from tests.benchmarks.stream import READERS, article, realistic

PREFIX = "serving"
CLIENTS = 8
LENGTH = re.compile(rb"content-length: (\d+)")
Body = Callable[[random.Random], dict[str, object]]


def measure(bench: Bench, sizes: Sizes, figures: Figures, say: Say) -> None:
    """http_p50_ms, http_p99_ms and http_answers_per_s with 1 and 8 clients; http_feedback_per_s;
    http_p99_during_swap_over_before."""
    parts = bench.parts(PREFIX)
    say(f"articles for the web process: {sizes.articles}")
    put_catalogue(parts, sizes.articles)
    publish(parts, realistic(min(10_000, sizes.backlog)))
    with bench.process("collect", PREFIX):
        for workers in (1, 2):
            parts.board.put("web", None)
            alone = {"STREAMREC_WEB__WORKERS": str(workers), "STREAMREC_WEB__DASHBOARD": "false"}
            with bench.process("web", PREFIX, **alone) as web:
                _measure(parts, "" if workers == 1 else f"_{workers}_workers", sizes, figures, say)
                if workers == 1:
                    _with_swaps(parts, sizes, figures, say)
                    figures.add("web_peak_rss_mb", peak_mb(web.pid))


def _measure(parts: Parts, label: str, sizes: Sizes, figures: Figures, say: Say) -> None:
    wait_for("the web process listens", lambda: bool(parts.board.get("web")), 60, 0.2)
    host = _host(parts)
    wait_for("the web process is ready", lambda: all(_ready(host) for _ in range(20)), 60, 0.2)
    for n in range(sizes.repeats + 1):  # the first warms up
        say(f"HTTP with 1 and {CLIENTS} clients{label.replace('_', ' ')}: {n} of {sizes.repeats}")
        some = figures if n else Figures()
        for clients in (1, CLIENTS):
            took, rate = _load(host, "/v1/recommendations", _wanted, clients, sizes.http_s)
            _note(some, f"{clients}_clients{label}", took, rate)
        _, rate = _load(host, "/v1/feedback", _click, CLIENTS, sizes.http_s)
        some.add(f"http_feedback_per_s_8_clients{label}", rate)


def _host(parts: Parts) -> str:
    """Where the web process listens."""
    return str(parts.board.get("web")["url"].removeprefix("http://"))


def _with_swaps(parts: Parts, sizes: Sizes, figures: Figures, say: Say) -> None:
    """One client, without and with a model swapped every second; a request that fails ends the run."""
    host = _host(parts)
    for n in range(sizes.repeats):
        say(f"HTTP without and with swaps: {n + 1} of {sizes.repeats}")
        before, _ = _load(host, "/v1/recommendations", _wanted, 1, sizes.window_s)
        began = int(parts.registry.current().version or 0)
        with swapping(parts, {}):
            during, _ = _load(host, "/v1/recommendations", _wanted, 1, sizes.window_s)
        figures.add("http_swaps", float(int(parts.registry.current().version or 0) - began))
        figures.ratio("http_p99_during_swap_over_before", p99(during) / p99(before))
        figures.add("http_p99_during_swap_ms", p99(during))


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
    """One connection that is kept. By hand, as a client of many layers would take more of the machine
    than the server that it measures."""

    def __init__(self, host: str) -> None:
        name, _, port = host.rpartition(":")
        self._host, self._socket = host, socket.create_connection((name, int(port)), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, method: str, path: str, body: dict[str, object] | None) -> int:
        """The status of the answer, which is read to its end."""
        text = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-length: {len(text)}\r\n\r\n"
        self._socket.sendall(head.encode() + text)
        found = self._socket.recv(65_536)
        while b"\r\n\r\n" not in found:
            found += self._socket.recv(65_536)
        head_found, _, rest = found.partition(b"\r\n\r\n")
        missing = int(LENGTH.search(head_found)[1]) - len(rest)  # type: ignore[index]
        while missing > 0:
            missing -= len(self._socket.recv(65_536))
        return int(found[9:12])


def _load(host: str, path: str, body: Body, clients: int, seconds: float) -> tuple[list[float], float]:
    """Milliseconds of each request, and requests a second, while every client asks without a pause. Raises
    RuntimeError if one is refused."""
    end = time.monotonic() + seconds

    def run(k: int) -> list[float]:
        client, rng, took = _Client(host), random.Random(f"{k} {end}"), list[float]()
        while time.monotonic() < end:
            began = time.perf_counter()
            status = client.send("POST", path, body(rng))
            took.append((time.perf_counter() - began) * 1000)
            if status not in (200, 202):
                raise RuntimeError(f"{path} answered {status}")
        return took

    with ThreadPoolExecutor(clients) as pool:
        every = [ms for took in pool.map(run, range(clients)) for ms in took]
    return every, len(every) / seconds


def _wanted(rng: random.Random) -> dict[str, object]:
    return {"user_id": f"reader-{rng.randrange(READERS):06d}", "n": 10}


def _click(rng: random.Random) -> dict[str, object]:
    return {"user_id": f"reader-{rng.randrange(READERS):06d}", "event_type": "click",
            "item_id": article(rng)}
