"""What watching costs: the monitor's share of a core at 10,000 events a second, and the server's work for
one refresh of the dashboard's first page."""

import json
import time

from msgspec.structs import replace

from schedulers.monitor import MonitorProcess
from streamrec.adapters.memory import MemoryBoard
from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import TopicSpec
from streamrec.clock import SystemClock
from streamrec.config import Monitor, Trainer
from streamrec.dashboard import charts, figures
from streamrec.dashboard.site import BEATS, INCREMENTS, REPORTS
from streamrec.drift.contributors import Published
from streamrec.drift.monitor import DriftMonitor
from streamrec.drift.remembered import forgetting, remembered
from streamrec.events import DriftReport, Feedback, RankedItem, Recommendation, encode
from streamrec.registry import VersionRecord
from tests.benchmarks.measured import Figures, Say, Sizes, seconds
from tests.benchmarks.stream import ARTICLES, realistic

PACE = 10_000.0  # events a second
FEEDBACK, ANSWERS, REPORT = "b.feedback.v1", "b.recommendations.v1", "b.drift-reports.v1"


def measure(sizes: Sizes, found: Figures, say: Say) -> None:
    """monitor_core_share_at_10k_events_per_s, page_refresh_ms."""
    for n in range(sizes.repeats):
        say(f"monitor and dashboard: {n + 1} of {sizes.repeats}")
        found.add("monitor_core_share_at_10k_events_per_s", _monitor(realistic(sizes.messages, seed=n)))
        found.add("page_refresh_ms", 1000 * _page())


def _monitor(events: list[Feedback]) -> float:
    broker, board = MemoryBroker(), MemoryBoard()
    broker.create_topics([TopicSpec(t, 1, 1, {}) for t in (FEEDBACK, ANSWERS, REPORT)])
    publisher, visit = broker.publisher(), 0
    for event in events:
        if event.event_type == "impression":
            visit += 1
            publisher.send(ANSWERS, None, encode(_answer(f"r{visit}", event)))
        publisher.send(FEEDBACK, None, encode(replace(event, recommendation_id=f"r{visit}")))
    subscription = broker.subscribe([FEEDBACK, ANSWERS], "b", "earliest")
    process = MonitorProcess(
        DriftMonitor(Monitor()), subscription, broker.publisher(), board, SystemClock(), REPORT, _articles,
        Trainer(),
    )
    began = time.process_time()
    process.turn()
    while subscription.lag():
        process.turn()
    return (time.process_time() - began) / len(events) * PACE


def _answer(rec: str, event: Feedback) -> Recommendation:
    items = [RankedItem(item_id=item, rank=i + 1, score=3.0 - 0.2 * i, propensity=1.0, reason="content")
             for i, item in enumerate(event.impression)]
    return Recommendation(
        recommendation_id=rec, request_id=rec, user_id=event.user_id, trigger="request", policy="live",
        model_version="1", generated_at=time.time(), items=items,
    )


def _articles(monitor: DriftMonitor) -> None:
    for i in range(ARTICLES):
        monitor.article(f"article-{i:06d}", Published(f"topic-{i % 12}", f"An article about {i}"))


def _page() -> float:
    """Everything that is computed and sent if all has changed, with as much kept as is ever kept."""
    beats = [_beat(float(i)) for i in range(BEATS)]
    increments = [_increment(i + 1) for i in range(INCREMENTS)]
    reports = [_report(float(i)) for i in range(REPORTS)]
    records = [VersionRecord(version=str(i + 1), parent=None, created_at=float(i), rows=9, learned_until=0.0,
                             metrics={}) for i in range(INCREMENTS)]
    return seconds(lambda: json.dumps(_drawn(beats, increments, reports, records)))


def _drawn(
    beats: figures.Beats, increments: figures.Increments, reports: list[DriftReport],
    records: list[VersionRecord],
) -> list[object]:
    matrix = remembered(increments)
    return [
        charts.rates(figures.click_rates(beats)), charts.quality(increments[-40:]), forgetting(increments),
        charts.calibration(figures.calibration(beats)), charts.heat(matrix), figures.delays_ms(beats),
        charts.timeline(figures.timeline(reports, increments, beats, records)[-200:]),
    ]


def _beat(at: float) -> dict[str, object]:
    return {"at": at, "version": str(int(at // 60)), "events": 20, "answers": 20, "delays_ms": [20, 90],
            "slates": {p: [12, 4] for p in ("live", "frozen", "popularity")},
            "bins": [[9.0, 1.8, 2.0]] * 10}


def _increment(n: int) -> dict[str, object]:
    return {"at": 60.0 * n, "version": str(n), "published": True, "trigger": "rows", "rows": 500,
            "reason": "", "ndcg": {a: [0.5, 0.4, 0.6] for a in ("live", "new", "frozen", "popularity")},
            "eras": [(str(v), 3, 0.5) for v in range(max(1, n - 100), n)]}


def _report(at: float) -> DriftReport:
    monitor = DriftMonitor(Monitor(period_s=1e-3))
    monitor.due(at)
    found = monitor.due(at + 1.0)
    assert found is not None
    return found
