"""The monitor end to end: a site whose readers change, and one where nothing happens."""

import math
import random
from collections import Counter
from itertools import count

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from streamrec.config import Monitor
from streamrec.drift.contributors import Published
from streamrec.drift.monitor import DriftMonitor
from streamrec.drift.pulse import Said
from streamrec.events import DriftReport, Feedback, Finding, RankedItem, Recommendation, encode

TOPICS, READERS, SLATE = 12, 300, 6
QUIET = Monitor(period_s=1e9)


class Site:
    """Readers with one topic each; the model knows their first topic and never learns."""

    def __init__(self, monitor: DriftMonitor, seed: int, impressions: bool = True) -> None:
        self.monitor, self.rng, self.impressions = monitor, random.Random(seed), impressions
        self.known = [self.rng.randrange(TOPICS) for _ in range(READERS)]
        self.interest = list(self.known)
        self.events = self.visits = 0
        self.behind = 0.0  # s, of all clocks
        self.start = 1e9
        for i in range(TOPICS * 50):
            monitor.article(f"a{i}", Published(f"topic-{i % TOPICS}", f"An article {i}"))
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
            timestamp=self.start + self.visits - self.behind, impression=slate, recommendation_id=rec,
        )  # type: ignore[arg-type]
        for _ in range(2):  # Kafka delivers at least once
            self.monitor.feedback(event, 0, self.start + self.visits)

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
        cried = Counter(f.detector for _, r in alarms for f in r.findings if f.alarm)
        assert set(cried.values()) == {1}, cried  # one shift, at most one alarm of each detector
        report = alarms[0][1]
        assert msgspec.json.decode(encode(report), type=DriftReport) == report
        [turn] = [f for _, r in alarms for f in r.findings if f.detector == "readers-turn" and f.alarm]
        rose = [c for c in turn.contributors if c.kind == "topic" and c.after > c.before]
        assert rose[0].name == "topic-0" and rose[0].examples[0].startswith("An article ")
        assert {c.kind for c in turn.contributors} == {"topic", "article", "readers"}
        [who] = [c for c in turn.contributors if c.name == "who turned to topic-0"]
        assert who.kind == "readers" and who.after > 0.1
        assert turn.p_value is not None and turn.p_value < 1e-4 and turn.severity != "none"


def test_the_pulse_counts_each_policy_and_tells_how_sure_the_model_was() -> None:
    site = Site(DriftMonitor(QUIET), 0)
    for i in range(900):
        site.visit("frozen" if i % 3 == 0 else "live")
    beat = site.monitor.beat(5.0)
    shown = {policy: n for policy, (n, _) in beat["slates"].items()}
    assert shown["live"] + shown["frozen"] > 850 and shown["live"] > 1.8 * shown["frozen"]
    assert beat["events"] == site.events and beat["answers"] == 900 and beat["version"] == "v1"
    assert beat["bins"] == []  # all scores are 0: nothing was said about chances
    assert "events" not in site.monitor.beat(6.0)


def test_gaps_to_the_controls_come_from_the_trainer() -> None:
    monitor = DriftMonitor(QUIET)
    ndcg = {"live": [0.2, 0.1, 0.3], "frozen": [0.3, 0.2, 0.4]}
    for i in range(3):
        monitor.quality({"at": 10.0 + i, "gaps": [-0.1, -0.2, 0.01] * 40, "ndcg": ndcg})
    report = monitor.due(20.0)
    assert report and finding(report, "against-controls")[0]
    assert report.quality == {"ndcg_live": 0.2, "ndcg_frozen": 0.3}
    monitor.quality({"at": 30.0, "gaps": [], "ndcg": {"live": [0.4, 0.3, 0.5]}})
    later = last(monitor)
    assert later.quality["ndcg_live"] == 0.4 and later.quality["ndcg_live_before"] == 0.2


def test_an_alarm_compares_quality_with_what_it_was_before_the_change_began() -> None:
    site = Site(DriftMonitor(QUIET), 0)

    def learned(ndcg: float, visits: int) -> None:
        site.monitor.quality({"at": 1.0, "gaps": [], "ndcg": {"live": [ndcg, 0.0, 1.0]}})
        for _ in range(visits):
            site.visit()
        site.monitor.beat(1.0)

    for _ in range(4):
        learned(0.4, 1000)
    assert site.monitor.due(0.0) is None
    site.shift()
    learned(0.2, 400)
    [(_, report), *_] = site.until(9000)
    assert (report.quality["ndcg_live"], report.quality["ndcg_live_before"]) == (0.2, 0.4)
    later = last(site.monitor)
    assert later.trigger == "alarm" or later.quality["ndcg_live_before"] == 0.2


def test_what_is_read_again_from_the_same_place_is_no_duplicate() -> None:
    site, monitor = Site(DriftMonitor(QUIET), 0), DriftMonitor(QUIET)
    for again in range(2):
        for n in range(1500):
            monitor.feedback(reading(n, n, "a0", site.start + n), 0, site.start + n, offset=n)
        assert not monitor.detectors.duplicates.alarm, again
    assert monitor.detectors.duplicates.report().samples == 1500
    for n in range(1500):  # the same events at other places: published twice
        monitor.feedback(reading(n, n, "a0", site.start + n), 0, site.start + n, offset=1500 + n)
    assert monitor.detectors.duplicates.alarm


def test_where_nothing_happens_all_detectors_together_cry_wolf_once_in_100_000_events_at_most() -> None:
    alarms = [alarm for seed in range(5) for alarm in Site(DriftMonitor(QUIET), seed).until(20_000)]
    assert len(alarms) <= 1


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


def test_a_burst_of_wrong_clocks_stops_no_outcome() -> None:
    """Half of it a day ahead, half of it weeks ago: what comes after it is told as before."""
    site = Site(DriftMonitor(QUIET), 0)
    site.until(1000)
    for n in range(40):
        wall = site.start + site.visits
        wrong = wall + (23 * 3600 if n % 2 else -20 * 86_400)
        site.monitor.feedback(reading(n, n, "a0", wrong), 0, wall)
    site.monitor.beat(0.0)
    for _ in range(300):
        site.visit()
    told, _ = site.monitor.beat(1.0)["slates"]["live"]
    found = last(site.monitor)
    assert told > 200
    assert max(f.first_seen or 0.0 for f in found.findings) <= site.start + site.visits + 60


@pytest.mark.parametrize("hours", [1, 12, 24, 48])
def test_clocks_put_back_by_hours_stop_no_outcome(hours: int) -> None:
    """All at once, as by a change of the time zone: slates are told as before, a minute later at most."""
    site = Site(DriftMonitor(QUIET), 0)
    site.until(1000)
    site.monitor.beat(0.0)
    site.behind = 3600.0 * hours
    for _ in range(1500):
        site.visit()
    told, clicked = site.monitor.beat(1.0)["slates"]["live"]
    assert told >= 1400 and clicked > told / 3


def test_what_is_not_enough_yet_says_since_when_it_is_counted() -> None:
    """Nothing is kept over a restart, and an alarm begins anew."""
    monitor = DriftMonitor(QUIET)

    def found(name: str, now: float) -> Finding:
        report = monitor.due(now)
        assert report
        return next(f for f in report.findings if f.detector == name)
    assert monitor.due(1.75e9) is None
    at_first = found("content", 2.75e9)
    assert at_first.detail == "not enough data (0 of 300)"
    assert at_first.reference == "counted since the monitor's start, 2025-06-15 15:06:40"
    monitor.detectors.content._latch(replace(at_first, alarm=True, value=1.0, threshold=0.5))
    assert found("content", 2.75e9 + 1).alarm
    assert found("content", 3.75e9 + 2).reference == "counted since its alarm, 2057-02-21 16:53:21"
    for encoder in ("one", "another"):
        monitor.encoder(encoder)
    assert found("content", 4.75e9 + 3).reference.startswith("counted since another encoder came, 2120-")


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
    held = (monitor._articles, monitor._events, monitor._engaged, monitor._readers)
    assert {len(h) for h in held} == {50}


def test_vectors_of_a_backlog_filled_in_newest_first_are_no_new_content() -> None:
    """A log sorted by subject, replayed at once: the encoder comes to its texts much later."""
    def worked_off(at_once: bool) -> int:
        monitor, rng, alarms = DriftMonitor(QUIET), np.random.default_rng(1), 0
        centres, about = rng.standard_normal((20, 32)), Published("t")
        vectors = [(centres[i // 300] + rng.standard_normal(32)).astype(np.float32) for i in range(6000)]
        order = range(6000)
        for i in () if at_once else order:
            monitor.article(f"a{i}", about)
        for i in order if at_once else reversed(order):
            monitor.article(f"a{i}", about, vectors[i])
            alarms += monitor.detectors.content.alarm and monitor.detectors.content.report().alarm
        return alarms
    assert worked_off(at_once=True) > 5, "published one after the other it would be new content"
    assert worked_off(at_once=False) <= 1


def test_a_detector_that_alarms_anew_is_told_at_once_only_when_it_newly_rises() -> None:
    monitor, told = DriftMonitor(Monitor(period_s=60.0)), []
    for second in range(601):
        if second < 305 or second > 590:
            monitor.detectors.content._latch(Finding(
                detector="content", alarm=True, value=1.0, threshold=0.5, samples=9, reference="", current="",
                detail=""))
        if (report := monitor.due(1e9 + second, 120.0)) and report.trigger == "alarm":
            told.append(second)
    assert told == [0, 60, 120, 180, 240, 300, 360, 591]


def last(monitor: DriftMonitor) -> DriftReport:
    monitor.due(0.0)
    report = monitor.due(1e12)
    assert report
    return report


def test_readers_with_fixed_tastes_do_not_change_while_we_get_to_know_them() -> None:
    for seed in range(3):
        monitor, rng = DriftMonitor(QUIET), random.Random(seed)
        for i in range(9000):
            monitor.article(f"a{i}", Published(f"topic-{i % 30}"))
        tastes = [[rng.randrange(30) for _ in range(4)] for _ in range(200)]
        for n in range(20_000):
            user = rng.randrange(200)
            topic = rng.choice(tastes[user]) if rng.random() < 0.7 else rng.randrange(30)
            monitor.feedback(reading(n, user, f"a{topic + 30 * rng.randrange(300)}", 1e9 + n))
        assert not monitor.detectors.readers.alarm


def test_what_a_reader_reads_in_one_visit_counts_once() -> None:
    for seed in range(3):
        monitor, rng, n = DriftMonitor(QUIET), random.Random(seed), 0
        for i in range(120):
            monitor.article(f"a{i}", Published(f"topic-{i % TOPICS}"))
        while n < 30_000:
            user = rng.randrange(2000)
            for _ in range(1 + int(rng.expovariate(1 / 4))):  # five of a topic in a row
                n += 1
                monitor.feedback(reading(n, user, f"a{user % TOPICS + TOPICS * rng.randrange(10)}", 1e9 + n))
        assert not monitor.detectors.topics.alarm


def test_partitions_read_one_after_the_other_are_no_skew_of_clocks() -> None:
    monitor, n = DriftMonitor(QUIET), 0
    for start in range(0, 3600, 900):
        for partition in range(4):
            for second in range(start, start + 900):
                n += 1
                monitor.feedback(reading(n, n, "a0", 1e9 + second), partition)
    assert not monitor.detectors.skew.alarm and monitor.detectors.skew.report().samples > 14_000


def reading(n: int, user: int, item: str, at: float) -> Feedback:
    return Feedback(event_id=f"x{n}", user_id=f"u{user}", event_type="read", item_id=item, timestamp=at)


def test_a_model_too_sure_of_itself_is_told_of() -> None:
    monitor, rng, minutes = DriftMonitor(QUIET), random.Random(3), count()
    items = [f"a{i}" for i in range(SLATE)]

    def visits(n: int, says: float) -> list[str]:
        """Slates clicked once, as scores of a spread of 1 foretell; the model claims `says` times that."""
        alarms = []
        for i in range(n):
            rec, scores = f"{says}-{i}", [rng.gauss(0, 1) for _ in items]
            served = recommendation(rec, "u", items)
            ranked = [replace(x, score=says * s) for x, s in zip(served.items, scores, strict=True)]
            monitor.recommendation(replace(served, items=ranked))
            [item] = rng.choices(items, [math.exp(s) for s in scores])
            for kind in ("impression", "click"):
                monitor.feedback(Feedback(
                    event_id=f"{rec}-{kind}", user_id="u", event_type=kind, recommendation_id=rec,
                    item_id=item if kind == "click" else None, timestamp=1e9 + 60 * next(minutes),
                    impression=items if kind == "impression" else [],
                ))  # type: ignore[arg-type]
            if report := monitor.due(0.0):
                alarms += [f.detector for f in report.findings if f.alarm]
        return alarms

    assert visits(2000, 1.0) == []
    monitor.beat(1.0)
    honest = last(monitor)
    alarm, _, detail = finding(honest, "calibration")
    assert not alarm and detail.startswith("chance said less chance seen: ")
    assert honest.quality["calibration_error"] < 0.03
    assert "calibration" in visits(2000, 3.0)
    monitor.beat(2.0)
    assert last(monitor).quality["calibration_error"] > 0.08


def test_an_alarm_of_the_click_rate_names_the_topic_that_is_no_longer_clicked() -> None:
    """The readers of two topics have had enough of them."""
    site = Site(DriftMonitor(QUIET), 1)
    site.known = site.interest = [user % 4 for user in range(READERS)]
    assert site.until(9000) == []
    site.interest = [t if t > 1 else -1 for t in site.known]
    [click_rate] = [f for _, r in site.until(9000) for f in r.findings
                    if f.detector == "click-rate" and f.alarm][:1]
    topics = [c for c in click_rate.contributors if c.kind == "topic"][:2]
    assert {c.name for c in topics} == {"topic-0", "topic-1"}
    assert all(c.after < c.before / 2 and c.examples[0].startswith("An article") for c in topics)
    [returning] = [c for c in click_rate.contributors if c.name == "who have read before"]
    assert returning.after < returning.before


def test_clicks_that_come_from_no_list_say_nothing_of_exposure() -> None:
    site = Site(DriftMonitor(QUIET), 2)
    for n in range(900):
        site.visits = 60 * n
        site.send("click", 1, None, f"a{n}", [])
    assert site.monitor.detectors.exposure.report().detail == "not enough data (0 of 500)"


def test_an_alarm_of_exposure_names_the_articles_by_their_titles() -> None:
    site, alarms = Site(DriftMonitor(QUIET), 2), list[Finding]()
    for n in range(900):
        items = [f"a{site.rng.randrange(600 if n < 300 else 12)}" for _ in range(SLATE)]
        site.visits = 60 * n
        site.monitor.recommendation(recommendation(f"s{n}", "u1", items))
        site.send("impression", 1, f"s{n}", None, items)
        report = site.monitor.due(0.0)
        alarms += [f for f in report.findings if f.alarm] if report else []
    [exposure] = alarms
    assert exposure.detector == "exposure" and len(exposure.contributors) == 5
    assert all(c.after > c.before and c.examples == [f"An article {c.name[1:]}"]
               for c in exposure.contributors)


def test_an_alarm_of_what_is_published_names_its_topics() -> None:
    monitor, rng = DriftMonitor(QUIET), random.Random(4)

    def publish(n: int, word: str, topic: str | None = None) -> list[DriftReport]:
        told = []
        for i in range(n):
            title = " ".join(f"{word}{rng.randrange(300)}" for _ in range(6))
            monitor.article(f"{word}{i}", Published(topic or f"topic-{rng.randrange(5)}", title))
            told += [r] if (r := monitor.due(0.0)) else []
        return told

    assert publish(2500, "usual") == []
    [report, *_] = publish(1000, "unheard", "topic-9")
    [words] = [f for f in report.findings if f.detector == "new-words" and f.alarm]
    assert words.contributors[0].name == "topic-9" and words.contributors[0].examples[0].startswith("unheard")


def test_too_few_slates_never_give_a_click_rate() -> None:
    """A report has one from as many slates on as the detector of it wants; then it is that of all of them."""
    site, beats = Site(DriftMonitor(QUIET), 0), list[tuple[int, int]]()
    while sum(shown for shown, _ in beats) < 100:
        assert "click_rate" not in last(site.monitor).quality
        for _ in range(10):
            site.visit()
        beats.append(tuple(site.monitor.beat(1.0)["slates"].get("live", (0, 0))))
    shown, clicked = (sum(of) for of in zip(*beats, strict=True))
    assert last(site.monitor).quality["click_rate"] == pytest.approx(clicked / shown)
    assert finding(last(site.monitor), "click-rate")[1] == shown


@pytest.mark.parametrize(("slates", "told"), [(99, False), (100, True)])
def test_too_few_clicked_slates_never_give_a_calibration_error(slates: int, told: bool) -> None:
    """However many places they have."""
    said = Said()
    for _ in range(slates):
        said.slate()
    assert (said.error([[200.0, 20.0, 10.0]] * 10) is not None) is told
