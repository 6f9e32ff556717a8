"""`python -m tests.benchmarks.drift_updates DIR`: is an update upon an alarm worth more than by the clock?

Two ways to spend the same number of updates on one log, predict-then-learn: by a timer alone, or by a
timer half as often and alarms of drift in between, one for each update of the timer so far at most: early
alarms may not spend what is for the shift. HR@10 of first reads from `--after` (a share of the events) on,
or with `--truth` the true appeal of the ten best: the area under its curve since the shift.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

from streamrec.config import Monitor, Settings
from streamrec.drift.contributors import Published
from streamrec.drift.monitor import RETRAIN, DriftMonitor
from streamrec.drift.topics import topic_of
from streamrec.evaluation import arms
from streamrec.evaluation import log as logs
from streamrec.evaluation.arm import Floats, Truth
from streamrec.evaluation.learned import How, Learned
from streamrec.evaluation.metrics import rank_of
from streamrec.evaluation.schedule import Protocol, Schedule, plan
from streamrec.evaluation.site import Site
from streamrec.evaluation.unit import appeal_of, top_of
from streamrec.evaluation.vectors import VectorCache
from streamrec.evaluation.walk import Moment, Reader
from streamrec.events import Article, Feedback

BOOTSTRAP, TOP = 0.3, 10
Due = Callable[[int, Feedback], bool]


class Task(NamedTuple):
    """One pair of runs."""

    folder: Path
    lang: str
    seed: int
    updates: int
    after: float
    sample: int
    window: int
    truth: str


class Watcher:
    """The monitor on the log's own topics; whether an alarm asks for an update."""

    def __init__(self, window: int, vectors: VectorCache, log: logs.Log) -> None:
        self.monitor = DriftMonitor(Monitor(period_s=1e12, window=window, reference=4 * window))
        self._vectors, self._log = vectors, log

    def announce(self, a: Article) -> None:
        vector = self._vectors.encode([self._log.text(a.item_id)])[0].astype("float32")
        there = bool(vector.any())
        found = Published(topic_of(a.tags, vector), a.title, a.lang, there)
        self.monitor.article(a.item_id, found, vector if there else None)

    def asks(self, event: Feedback) -> list[str]:
        """Detectors that have alarmed by this event."""
        self.monitor.feedback(event)
        report = self.monitor.due(0.0)
        return [f.detector for f in report.findings if f.alarm and f.kind in RETRAIN] if report else []


def run(task: Task) -> dict[str, Any]:
    """Both ways, on one seed."""
    log = logs.read(task.folder, lang=task.lang)
    schedule = plan(log, Protocol(sample=task.sample))
    vectors = VectorCache(Path(os.environ.get("STREAMREC_HOME", "build")) / "evaluate", Settings().encoder)
    vectors.load([log.text(i) for i in log.articles])
    start, n = int(BOOTSTRAP * len(log.events)), len(log.events)
    drift = _Drift((start, *_spaced(start, n, task.updates // 2)), n)
    by_alarm = _walk(log, schedule, vectors, task, drift.due, drift.watcher(task.window, vectors, log))
    clock = {start, *_spaced(start, n, drift.spent - 1)}
    by_timer = _walk(log, schedule, vectors, task, lambda k, _: k in clock, None)
    since = int(task.after * n)
    return {"seed": task.seed, "updates": drift.spent, "alarms": drift.alarms,
            "timer": mean(x for k, x in by_timer if k >= since),
            "drift": mean(x for k, x in by_alarm if k >= since)}


def _spaced(start: int, end: int, n: int) -> list[int]:
    return [start + round((end - start) * (i + 1) / (n + 1)) for i in range(n)]


class _Drift:
    """A timer, alarms in between, and two caps: no more of them than of the timer's updates so far, and none
    soon after another update."""

    def __init__(self, timer: tuple[int, ...], events: int) -> None:
        self._timer = set(timer)
        self._apart, self._last, self.spent = events // (8 * len(timer)), 0, 0
        self.alarms: list[tuple[int, list[str]]] = []
        self._watcher: Watcher | None = None

    def watcher(self, *about: Any) -> Watcher:
        self._watcher = Watcher(*about)
        return self._watcher

    def due(self, k: int, event: Feedback) -> bool:
        assert self._watcher is not None
        alarm = self._watcher.asks(event)
        left = sum(t < k for t in self._timer) - len(self.alarms)
        answered = bool(alarm) and left > 0 and k - self._last >= self._apart
        if answered:
            self.alarms.append((k, alarm))
        if not answered and k not in self._timer:
            return False
        self.spent, self._last = self.spent + 1, k
        return True


def _walk(
    log: logs.Log, schedule: Schedule, vectors: VectorCache, task: Task, due: Due, watcher: Watcher | None
) -> list[tuple[int, float]]:
    """(event number, 1.0 if the article read was among the first ten, or how much those appeal to the reader)
    of the scored events."""
    site = Site(Settings(), vectors.encode, vectors.dim)
    arm = Learned(How(gate=True), site, task.seed, vectors.fingerprint)

    def told(message: Article | Feedback) -> None:
        if isinstance(message, Article):
            arm.announce(message)
            if watcher:
                watcher.announce(message)
    worth = partial(_worth, arms.truth(task.truth, task.folder))
    return list(_scored(Reader(log, schedule, site), arm, schedule, told, due, worth))


def _scored(
    reader: Reader, arm: Learned, schedule: Schedule, told: Callable[[Any], None], due: Due,
    worth: Callable[[Moment, Feedback, Floats], float],
) -> Iterator[tuple[int, float]]:
    for k, event, moment in reader.moments(schedule.scored, told):
        if due(k, event):
            reader.site.catch_up(float(event.timestamp))  # type: ignore[arg-type]
            arm.learn(reader.site.new_rows())
        if moment is not None:
            yield k, worth(moment, event, arm.scores(moment))


def _worth(truth: Truth | None, moment: Moment, event: Feedback, scored: Floats) -> float:
    if truth:
        return appeal_of(truth, moment, top_of(scored, moment.eligible[: len(scored)]))
    target = moment.state.articles.index.get(event.item_id or "", -1)
    return float(rank_of(scored, moment.eligible[: len(scored)], target) <= TOP)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lang", default="")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=10, help="after the first, for both")
    parser.add_argument("--after", type=float, default=0.5, help="share of the events before the shift")
    parser.add_argument("--sample", type=int, default=2000, help="first reads that are scored")
    parser.add_argument("--window", type=int, default=500, help="of the detectors")
    parser.add_argument("--truth", default="", metavar="MODULE:FACTORY", help="who knows what readers want")
    parser.add_argument("--jobs", type=int, default=2)
    g = parser.parse_args(arguments)
    tasks = [Task(g.folder, g.lang, s, g.updates, g.after, g.sample, g.window, g.truth)
             for s in range(g.seeds)]
    with ProcessPoolExecutor(g.jobs) as pool:
        found = []
        for one in pool.map(run, tasks):
            print(json.dumps(one), flush=True)
            found.append(one)
    gain = [f["drift"] - f["timer"] for f in found]
    spread = f" +- {stdev(gain):.4f}" if len(gain) > 1 else ""
    print(f"timer {mean(f['timer'] for f in found):.4f}, drift {mean(f['drift'] for f in found):.4f}, "
          f"gain {mean(gain):+.4f}{spread} over {len(gain)} seeds")


if __name__ == "__main__":
    main(sys.argv[1:])
