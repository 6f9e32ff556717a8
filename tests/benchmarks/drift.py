"""`make bench-drift`: how soon each detector sees what it is for, and how often it cries wolf. Writes the
table of docs/drift.md between its two marks."""

import argparse
import re
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.progress import track

from streamrec.config import Monitor
from streamrec.drift.monitor import Detectors
from tests.benchmarks.drifting_site import SHIFTS, DriftingSite

WARM_UP, ABRUPT, GRADUAL, COMES_IN = 9000, 3000, 10_000, 5000
STEP = 250  # events between two steps of a gradual shift
PAGE = Path(__file__).parents[2] / "docs" / "drift.md"
BEGIN, END = "<!-- bench-drift -->\n", "<!-- end of bench-drift -->"


class Task(NamedTuple):
    """One run: a stationary one if there is no shift."""

    seed: int
    shift: str = ""
    gradual: bool = False
    events: int = 0


Delays = dict[str, list[int]]


def run(task: Task) -> tuple[Task, Delays, Delays]:
    """Alarms before and after the shift, by detector, in events since then."""
    site = DriftingSite(task.seed, task.shift)
    if not task.shift:
        return task, site.until(task.events), {}
    before = site.until(WARM_UP)
    if not task.gradual:
        site.strength = 1.0
        return task, before, site.until(ABRUPT)
    after: Delays = {}
    for done in range(0, GRADUAL, STEP):
        site.strength = min(1.0, (done + STEP) / COMES_IN)
        for name, at in site.until(STEP).items():
            after.setdefault(name, []).extend(done + n for n in at)
    return task, before, after


def tasks(runs: int, quiet: int, quiet_events: int) -> list[Task]:
    """Stationary runs first, as they are the longest."""
    found = [Task(1000 + seed, events=quiet_events) for seed in range(quiet)]
    return found + [Task(seed, shift, gradual) for shift in SHIFTS for gradual in (False, True)
                    for seed in range(runs)]


def table(done: Iterable[tuple[Task, Delays, Delays]], names: Iterable[str]) -> str:
    """Markdown: a row for each detector, and below it one for each shift seen by any."""
    runs = list(done)
    quiet = [r for r in runs if not r[0].shift]
    events = sum(t.events for t, _, _ in quiet)
    lines = [f"| detector | sees | at once: seen within {ABRUPT:,} | events, median (95 %) | slowly: seen "
             f"within {GRADUAL:,} | events, median (95 %) | false alarms per 100,000 |",
             "|---|---|---|---|---|---|---|"]
    for name in names:
        false = 1e5 * sum(len(before.get(name, ())) for _, before, _ in quiet) / max(events, 1)
        shift = next((s for s, seen_by in SHIFTS.items() if name in seen_by), "")
        cells = [_seen([name], runs, shift, gradual) for gradual in (False, True)]
        lines.append(f"| {name} | {shift or '-'} | {cells[0]} | {cells[1]} | {false:.1f} |")
    lines += ["", "| shift | seen by any of its detectors, at once | events | slowly | events |",
              "|---|---|---|---|---|"]
    for shift, seen_by in SHIFTS.items():
        cells = [_seen(seen_by, runs, shift, gradual) for gradual in (False, True)]
        lines.append(f"| {shift} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def _seen(names: Iterable[str], runs: list[tuple[Task, Delays, Delays]], shift: str, gradual: bool) -> str:
    """Share of runs that saw it, and after how many events."""
    of = [after for t, _, after in runs if t.shift == shift and t.gradual == gradual and shift]
    if not of:
        return "- | -"
    first = sorted(min(at) for after in of if (at := [n for name in names for n in after.get(name, ())]))
    if not first:
        return "0 % | -"
    late = first[min(int(0.95 * len(first)), len(first) - 1)]
    return f"{100 * len(first) / len(of):.0f} % | {median(first):,.0f} ({late:,})"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50, help="seeded runs of each shift")
    parser.add_argument("--quiet", type=int, default=5, help="stationary runs")
    parser.add_argument("--quiet-events", type=int, default=200_000, help="events of each of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--write", action="store_true", help="put the table into docs/drift.md")
    given, started = parser.parse_args(arguments), time.monotonic()
    todo = tasks(given.runs, given.quiet, given.quiet_events)
    with ProcessPoolExecutor(given.jobs) as pool:
        done = list(track(pool.map(run, todo), "runs", total=len(todo)))
    found = table(done, [d.name for d in Detectors(Monitor())])
    print(found)
    print(f"{len(todo)} runs in {time.monotonic() - started:.0f} s", file=sys.stderr)
    if given.write:
        PAGE.write_text(replaced(PAGE.read_text(), found))


def replaced(page: str, found: str) -> str:
    """The page with another table between the marks."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: BEGIN + found + END, page, flags=re.DOTALL)


if __name__ == "__main__":
    main(sys.argv[1:])
