"""`streamrec demo`: everything up, the site on it, the figures out."""

import json
import os
import re
import threading
import time
import uuid
from math import sqrt
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from streamrec import config, datasets, logs, wiring
from streamrec.demo.measure import Measured
from streamrec.demo.site import Site
from streamrec.demo.view import line, screen
from streamrec.demo.world import World, WorldConfig
from streamrec.errors import RetryLater, StreamrecError
from streamrec.processes import stop_on_signals
from streamrec.supervisor import Supervisor
from streamrec.wiring import Names, Parts

VISITS_PER_S = 70.0
BUDGET_S = 150.0  # `--once` ends within this, whatever happens
CLOSING_S = 20.0  # of which the end needs at most this
# A demo's week lasts a minute and a half: its hours are seconds.
FAST = {
    "STREAMREC_BUFFER__HALF_LIVES_S": "[10, 40, 160]",
    "STREAMREC_ENCODER__MAX_TOKENS": "40",
    "STREAMREC_TRAINER__TRIGGER_ROWS": "500",
    "STREAMREC_TRAINER__TRIGGER_S": "10",
    "STREAMREC_TRAINER__MIN_ROWS": "250",
    "STREAMREC_MONITOR__PERIOD_S": "15",
    "STREAMREC_MONITOR__CLICK_TIMEOUT_S": "3",
    "STREAMREC_MONITOR__REFERENCE": "400",
    "STREAMREC_MONITOR__WINDOW": "200",
}


def run_demo(
    once: bool, json_file: Path | None, seconds: float, picture: Path | None = None
) -> int:
    """Run it; 0, or 1 when a promise failed. Ctrl-C ends it with a summary. Raises SetupError, before
    anything is started, if a file cannot be written or the demo's folder is not a demo's."""
    for file in (json_file, picture):
        datasets.check_writable(file)
    started = time.monotonic()
    console = Console(stderr=True)
    stop = threading.Event()
    stop_on_signals(stop)
    logs.setup("error", "demo")
    base = config.load()
    settings = _own_home(base)
    jars = base.home_dir / "jars"
    port = {"STREAMREC_WEB__PORT": os.environ.get("STREAMREC_WEB__PORT", "0")}  # an `up` may hold the usual
    supervisor = Supervisor(settings, console.print, env=FAST | port, jars=jars, fresh=True)
    settings = supervisor.start()
    try:
        budget = BUDGET_S - CLOSING_S - (time.monotonic() - started) if once else None
        demo = _Demo(settings, supervisor, console, stop)
        figures = demo.run(seconds, budget)
    finally:
        supervisor.stop()
    if picture:
        demo.save_picture(picture)
    figures["seconds"] = round(time.monotonic() - started, 1)
    return _finish(figures, once, json_file, console)


def _own_home(base: config.Settings) -> config.Settings:
    """A home of its own, emptied at each start; its own topics where the servers are shared."""
    own = base.kafka.bootstrap_servers or base.redis.url.get_secret_value()
    prefix = f"streamrec-demo-{uuid.uuid4().hex[:8]}" if own else "streamrec"
    return base.model_copy(update={
        "home": base.home_dir / "demo",
        "kafka": base.kafka.model_copy(update={"topic_prefix": prefix}),
    })


class _Demo:
    """One run of the site against what the supervisor started."""

    def __init__(
        self, settings: config.Settings, supervisor: Supervisor, console: Console,
        stop: threading.Event,
    ) -> None:
        self._settings, self._supervisor, self._console = settings, supervisor, console
        self._stop, self._done, self._shown = stop, threading.Event(), False
        self._measured, self._status = Measured(), dict[str, Any]()
        self._parts, self._mean_pace = Parts(settings), 0.0
        names = Names(settings.kafka.topic_prefix)
        self._site = Site(World(WorldConfig()), self._parts.broker, names, self._measured, VISITS_PER_S)

    def run(self, seconds: float, budget: float | None) -> dict[str, Any]:
        """The figures."""
        tending = threading.Thread(target=self._tend, name="tend")
        tending.start()
        try:
            return self._run(seconds, budget)
        finally:
            self._done.set()
            tending.join()
            self._site.close()
            self._parts.close()

    def _run(self, seconds: float, budget: float | None) -> dict[str, Any]:
        opened = time.monotonic()
        self._console.print("the site opens: articles go out, the processes warm up …")
        self._site.open(90.0)
        if budget is not None:
            seconds = max(20.0, min(seconds, budget - (time.monotonic() - opened)))
        self._watch(seconds)
        self._mean_pace = len(self._measured.published) / seconds
        self._site.drain(10.0)
        return self._measured.figures(time.time()) | self._audit()

    def save_picture(self, path: Path) -> None:
        """The last screen as SVG."""
        with open(os.devnull, "w") as nowhere:
            console = Console(record=True, width=100, file=nowhere)
            console.print(screen(self._measured, self._status, self._site.progress, self._mean_pace))
            svg = console.export_svg(title="streamrec demo")
        # Fonts from somebody's server: a picture should ask nobody for anything.
        path.write_text(re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", svg, flags=re.DOTALL))

    def _tend(self) -> None:
        while not self._done.wait(1.0):
            if self._stop.is_set():
                self._site.stop.set()
            try:
                self._supervisor.tend()
                self._status = wiring.status(self._parts)
                self._show_where(self._status["dashboard"])
            except RetryLater:
                pass  # a server that has just started: the view shows what it last knew
            except StreamrecError as error:
                self._console.print(f"status: {error}")

    def _show_where(self, dashboard: str | None) -> None:
        if dashboard and not self._shown:
            self._console.print(f"the dashboard: {dashboard}")
        self._shown = self._shown or bool(dashboard)

    def _watch(self, seconds: float) -> None:
        running = threading.Thread(target=self._site.run, args=(seconds,))
        running.start()
        if self._console.is_terminal:
            with Live(console=self._console, refresh_per_second=2) as live:
                while running.is_alive():
                    live.update(screen(self._measured, self._status, self._site.progress, self._pace()))
                    running.join(0.5)
        while running.is_alive():
            self._console.print(line(self._measured, self._status, self._site.progress), soft_wrap=True)
            running.join(10.0)

    def _pace(self) -> float:
        now, n = time.monotonic(), len(self._measured.published)
        before, then = getattr(self, "_last", (0, now - 0.5))
        self._last = (n, now)
        return (n - before) / max(now - then, 1e-3)

    def _audit(self) -> dict[str, Any]:
        """Look for every published event in the buffer itself, not in anyone's counter."""
        buffer, ids = self._parts.buffer, self._measured.published
        end = time.monotonic() + 10.0
        while True:
            found, doubled = buffer.audit(ids)
            if found == len(ids) or time.monotonic() > end:
                break
            time.sleep(0.5)
        pointer = self._parts.registry.current()
        return {"events_stored": found, "events_lost": len(ids) - found, "events_doubled": doubled,
                "models_refused": pointer.refused}


def promises(f: dict[str, Any]) -> dict[str, bool]:
    """What the demo promises, and whether it was kept."""
    p99, to_model = f["click_to_recommendation_ms"]["p99"], f["click_to_model_s"]["p50"]
    return {
        "no event lost": f["events_lost"] == 0,
        "no event doubled": f["events_doubled"] == 0,
        "a click changes the list within a second (p99)": p99 is not None and p99 < 1000,
        "a click changes the model within a minute (p50)": to_model is not None and to_model < 60,
        "a model was published": f["models_published"] >= 1,
        "no swap was torn": f["swaps_torn"] == 0,
        "no request failed": f["requests_failed"] == 0,
        "a drift report was published": f["drift_reports"] >= 1,
        "the live model is not worse than popularity": not worse(f, "live", "popularity"),
        "the live model is not worse than the frozen one": not worse(f, "live", "frozen"),
    }


def worse(f: dict[str, Any], policy: str, control: str, sigmas: float = 2.0) -> bool:
    """Clicks per slate clearly below the control's after the shift (Poisson, two sigmas)."""
    a, b = (f["click_rate"][p]["after_shift"] for p in (policy, control))
    n, m = (f["slates"][p]["after_shift"] for p in (policy, control))
    if a is None or b is None:
        return False
    return bool(a - b < -sigmas * sqrt(a / n + b / m))


def _finish(figures: dict[str, Any], once: bool, json_file: Path | None, console: Console) -> int:
    kept = promises(figures)
    figures["promises"] = kept
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n")
    table = Table("figure", "value", box=None, pad_edge=False)
    for name, value in figures.items():
        if name != "promises":
            table.add_row(name, json.dumps(value))
    console.print(table)
    for promise, good in kept.items():
        console.print(f"{'kept  ' if good else 'BROKEN'} {promise}", style="" if good else "bold red")
    return 1 if once and not all(kept.values()) else 0
