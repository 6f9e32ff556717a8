"""The collector: a process that drains a backlog, against one that only polls the same topic.

Each repetition publishes new events and drains them twice, by `streamrec collect` and by the
poll-only process; both rates count from the first events to the last, without the start of
Python. The buffer keeps filling over the repetitions, as it does in production.
"""

import time
from collections.abc import Sequence

from streamrec.events import Feedback
from streamrec.wiring import Parts
from tests.benchmarks.measured import Figures, Say, Sizes
from tests.benchmarks.servers import Bench, peak_mb, publish, wait_for
from tests.benchmarks.stream import only_rows, realistic


def measure(bench: Bench, sizes: Sizes, figures: Figures, say: Say) -> None:
    """collector_over_poll_only and the rates behind it; then the worst case."""
    parts = bench.parts("collect")
    for n in range(sizes.repeats):
        say(f"collector, {sizes.backlog} events: {n + 1} of {sizes.repeats}")
        publish(parts, realistic(sizes.backlog, seed=n))
        polled = float(bench.script("tests.benchmarks.poll_only", "collect", str(sizes.backlog)))
        collected, peak = _drain(bench, parts, sizes.backlog)
        figures.ratio("collector_over_poll_only", collected / polled)
        figures.add("poll_only_events_per_s", polled)
        figures.add("collector_events_per_s", collected)
        figures.add("collector_peak_rss_mb", peak)
    _worst(bench, sizes, figures, say)


def _worst(bench: Bench, sizes: Sizes, figures: Figures, say: Say) -> None:
    parts = bench.parts("worst")
    events: Sequence[Feedback] = only_rows(sizes.worst_backlog * sizes.repeats)
    for n in range(sizes.repeats):
        say(f"collector where every event makes a row: {n + 1} of {sizes.repeats}")
        publish(parts, events[n * sizes.worst_backlog : (n + 1) * sizes.worst_backlog])
        collected, _ = _drain(bench, parts, sizes.worst_backlog)
        figures.add("collector_events_per_s_worst_case", collected)


def _drain(bench: Bench, parts: Parts, n: int) -> tuple[float, float]:
    """Events a second from the first applied to the last, and the peak memory."""
    before = parts.buffer.counts().stored
    seen: list[tuple[float, int]] = []

    def done() -> bool:
        stored = parts.buffer.counts().stored - before
        if stored:
            seen.append((time.perf_counter(), stored))
        return stored >= n

    with bench.process("collect", parts.names.prefix) as child:
        wait_for("the collector drains its backlog", done, 120)
        peak = peak_mb(child.pid)
    (began, first), (ended, last) = seen[0], seen[-1]
    return (last - first) / max(ended - began, 1e-3), peak
