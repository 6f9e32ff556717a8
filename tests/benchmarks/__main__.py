"""`python -m tests.benchmarks [--out FILE] [--quick]`: measure, show a table, write JSON.

Every figure is the median over its repetitions; what is compared is measured in turns, so that
a busy machine slows both. Goals are shown, and never asserted: they are judged by who reads.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import argparse
import json
import operator
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from streamrec import logs
from tests.benchmarks import answering, buffering, collecting, large, models, serving, training, watching
from tests.benchmarks.measured import QUICK, Figures, Sizes
from tests.benchmarks.servers import bench

SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
GOALS = {
    "collector_over_poll_only": (">=", 0.30), "collector_events_per_s": (">=", 26_000),
    "fenced_lua_over_lpush": (">=", 0.8), "answer_p99_during_swap_over_before": ("<=", 1.5),
    "http_p99_during_swap_over_before": ("<=", 1.5),
    "click_to_recommendation_p99_ms": ("<", 1000), "text_step_over_naive": (">=", 10),
    "answers_over_matmul_100k_batch_64": (">=", 0.6),
    "index_recall_1m": (">=", 0.98), "diverse_list_of_200_ms": ("<", 1),
    "monitor_core_share_at_10k_events_per_s": ("<=", 0.3), "page_refresh_ms": ("<=", 150),
    "http_p99_ms_1_clients": ("<=", 17), "http_p99_ms_8_clients": ("<=", 86),
    "http_answers_per_s_8_clients": (">", 450), "http_feedback_per_s_8_clients": (">", 950),
}


class Progress:
    """One line for each step, with the time since the start."""

    def __init__(self) -> None:
        self._console, self._began = Console(stderr=True), time.monotonic()

    def __call__(self, text: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._began:5.0f} s[/]  {text}", highlight=False)


def measure(sizes: Sizes, say: Progress) -> Figures:
    """Everything, one after the other."""
    figures = Figures()
    models.measure(sizes, figures, say)
    large.measure(sizes, figures, say)
    training.measure(sizes, figures, say)
    watching.measure(sizes, figures, say)
    say("starting Kafka and Redis")
    with tempfile.TemporaryDirectory(prefix="bench") as folder, bench(Path(folder)) as servers:
        buffering.measure(servers, sizes, figures, say)
        collecting.measure(servers, sizes, figures, say)
        answering.measure(servers, sizes, figures, say)
        serving.measure(servers, sizes, figures, say)
    return figures


def machine() -> dict[str, Any]:
    """What the absolute figures hold for."""
    return {
        "cpus": os.cpu_count(), "cpu": _cpu(), "system": platform.platform(),
        "python": platform.python_version(), "torch": torch.__version__,
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor()


def table(figures: Figures) -> Table:
    """All figures with their spread and goals."""
    shown = Table("figure", "median", "lowest", "highest", "goal", title="streamrec benchmarks")
    for kind in (figures.ratios, figures.absolute):
        for name, middle in figures.medians(kind).items():
            shown.add_row(name, *(_number(x) for x in (middle, min(kind[name]), max(kind[name]))),
                          _goal(name, middle))
        shown.add_section()
    return shown


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def _goal(name: str, value: float) -> str:
    if name not in GOALS:
        return ""
    sign, goal = GOALS[name]
    reached = SIGNS[sign](value, goal)
    return f"{sign} {goal:,} [{'green' if reached else 'red'}]{'yes' if reached else 'no'}[/]"


def main() -> None:
    """See module."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="small counts: only to see it run")
    args = parser.parse_args()
    logs.setup("critical", "bench")  # that the servers go in the end is no news
    before = machine()
    figures = measure(QUICK if args.quick else Sizes(), Progress())
    found = {
        "ratios": figures.medians(figures.ratios), "absolute": figures.medians(figures.absolute),
        "machine": {**before, "quick": args.quick},
    }
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    Console(width=None if sys.stdout.isatty() else 110).print(table(figures))


if __name__ == "__main__":
    main()
