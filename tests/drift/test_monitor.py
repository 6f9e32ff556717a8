"""The monitor end to end: a site whose readers change, and one where nothing happens."""

import random

import msgspec

from streamrec.config import Monitor
from streamrec.drift.monitor import DriftMonitor
from streamrec.events import DriftReport, Feedback, RankedItem, Recommendation, encode

TOPICS, READERS, SLATE = 12, 300, 6
QUIET = Monitor(period_s=1e9)


class Site:
    """Readers with one topic each; the model knows their first topic and never learns."""

    def __init__(self, monitor: DriftMonitor, seed: int, impressions: bool = True) -> None:
        self.monitor, self.rng, self.impressions = monitor, random.Random(seed), impressions
        self.known = [self.rng.randrange(TOPICS) for _ in range(READERS)]
        self.interest = list(self.known)
        self.events = self.visits = 0
        for i in range(TOPICS * 50):
            monitor.article(f"a{i}", f"topic-{i % TOPICS}")
        monitor.model("v1")

    def shift(self) -> None:
        """A third of the readers turns to one topic."""
        self.interest[: READERS // 3] = [0] * (READERS // 3)

    def visit(self, policy: str = "live") -> None:
        self.visits += 1
        user = self.rng.randrange(READERS)
        topics = [self.known[user], *self.rng.sample(range(TOPICS), SLATE - 1)]
        items = [f"a{t + TOPICS * self.rng.randrange(50)}" for t in topics]
        rec = f"r{self.visits}"
        self.monitor.recommendation(recommendation(rec, f"u{user}", items, policy))
        if self.impressions:
            self.send("impression", user, rec, None, items)
        for item, topic in zip(items, topics, strict=True):
            if self.rng.random() < (0.4 if topic == self.interest[user] else 0.03):
                self.send("click", user, rec, item, [])

    def send(self, kind: str, user: int, rec: str, item: str | None, slate: list[str]) -> None:
        self.events += 1
        event = Feedback(
            event_id=f"e{self.events}", user_id=f"u{user}", event_type=kind, item_id=item,
            timestamp=1e9 + self.visits, impression=slate, recommendation_id=rec,
        )  # type: ignore[arg-type]
        self.monitor.feedback(event)
        self.monitor.feedback(event)  # Kafka delivers at least once

    def until(self, events: int) -> list[tuple[int, DriftReport]]:
        """Alarms, with the number of events since the call."""
        start, alarms = self.events, []
        while self.events - start < events:
            self.visit()
            report = self.monitor.due(0.0)
            if report:
                alarms.append((self.events - start, report))
        return alarms


def recommendation(rec: str, user: str, items: list[str], policy: str = "live") -> Recommendation:
    ranked = [
        RankedItem(item_id=item, rank=i + 1, score=0.0, propensity=1.0, reason="content")
        for i, item in enumerate(items)
    ]
    return Recommendation(
        recommendation_id=rec, request_id=rec, user_id=user, trigger="request",
        policy=policy, model_version="v1", generated_at=1e9, items=ranked,
    )  # type: ignore[arg-type]


def finding(report: DriftReport, name: str) -> tuple[bool, int, str]:
    [f] = [f for f in report.findings if f.detector == name]
    return f.alarm, f.samples, f.detail


def test_a_third_of_the_readers_shift() -> None:
    for seed in range(3):
        site = Site(DriftMonitor(QUIET), seed)
        assert site.until(9000) == []
        site.shift()
        alarms = site.until(9000)
        assert alarms and alarms[0][0] <= 3000, alarms
        assert {r.trigger for _, r in alarms} == {"alarm"} and alarms[0][1].model_version == "v1"
        assert len(alarms) <= 4  # one shift, at most one alarm of each detector, one to spare
        report = alarms[0][1]
        assert msgspec.json.decode(encode(report), type=DriftReport) == report


def test_nothing_happens_and_nothing_is_reported() -> None:
    assert [Site(DriftMonitor(QUIET), seed).until(20_000) for seed in range(5)] == [[]] * 5


def test_a_report_comes_each_period_of_wall_time() -> None:
    site = Site(DriftMonitor(Monitor(period_s=300.0)), 0)
    for _ in range(500):
        site.visit()
    monitor = site.monitor
    assert monitor.due(1000.0) is None and monitor.due(1299.0) is None
    report = monitor.due(1300.0)
    assert report and report.trigger == "period" and report.events == site.events
    assert finding(report, "click-rate")[1] > 400
    assert monitor.due(1301.0) is None
    again = monitor.due(1600.0)
    assert again and again.events == 0 and again.report_id != report.report_id


def test_control_arms_and_unknown_recommendations_give_the_topic_mix_only() -> None:
    site = Site(DriftMonitor(Monitor(window=50)), 0)
    for _ in range(1000):
        site.visit("popularity")
    report = last(site.monitor)
    assert finding(report, "click-rate") == (False, 0, "not enough data (0 of 100)")
    assert finding(report, "online-rank")[1] == 0
    assert finding(report, "topic-mix")[1] > 100


def test_a_log_without_impressions_has_no_click_rate() -> None:
    site = Site(DriftMonitor(QUIET), 0, impressions=False)
    assert site.until(1000) == []
    report = last(site.monitor)
    assert finding(report, "click-rate") == (False, 0, "not enough data (0 of 100)")
    assert finding(report, "online-rank")[1] > 100


def test_memory_is_bounded() -> None:
    monitor = DriftMonitor(QUIET, most=50)
    site = Site(monitor, 0)
    for _ in range(3000):
        site.visit()
    assert len(monitor._slates) <= 100
    held = (monitor._topics, monitor._events, monitor._engaged)
    assert max(map(len, held)) == 50


def last(monitor: DriftMonitor) -> DriftReport:
    monitor.due(0.0)
    report = monitor.due(1e12)
    assert report
    return report
