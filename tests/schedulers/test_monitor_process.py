"""The monitor's place in the topics: kept over a restart, and not lost to a rebalance."""

import threading
from typing import Any

import pytest

from schedulers.monitor import COMMIT_S, MonitorProcess, held_back
from schedulers.trigger import DAY_S, drift_asks
from streamrec.adapters.memory import MemoryBoard
from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import Partition, TopicSpec
from streamrec.clock import ManualClock
from streamrec.config import Monitor, Trainer
from streamrec.drift.contributors import Published
from streamrec.drift.monitor import DriftMonitor
from streamrec.drift.said import when
from streamrec.errors import RetryLater
from streamrec.events import DriftReport, Feedback, decode, encode
from streamrec.metrics import BOARD_ALARM, BOARD_DRIFT, BOARD_DRIFT_TAKEN, BOARD_QUALITY, PAUSED
from streamrec.registry import Pointer

FEEDBACK, REPORTS, GROUP = "x.feedback.v1", "x.drift-reports.v1", "x-monitor"


class Shop:
    """A broker with feedback, and monitors that read it."""

    def __init__(self) -> None:
        self.broker, self.clock, self.sent = MemoryBroker(), ManualClock(), 0
        self.board, self.topics = MemoryBoard(), {"a": "one", "b": "two"}
        self.broker.create_topics([TopicSpec(t, 1, 1, {}) for t in (FEEDBACK, REPORTS)])

    def clicks(self, n: int, item: str = "a") -> None:
        publisher = self.broker.publisher()
        for i in range(self.sent, self.sent + n):
            event = Feedback(event_id=f"e{i}", user_id=f"u{i}", event_type="click", item_id=item,
                             timestamp=self.clock.now())
            publisher.send(FEEDBACK, b"u", encode(event))
        self.sent += n

    def monitor(self, **limits: Any) -> MonitorProcess:
        return MonitorProcess(
            DriftMonitor(Monitor(period_s=10.0, window=50)), self.broker.subscribe([FEEDBACK], GROUP),
            self.broker.publisher(), self.board, self.clock, REPORTS, self.tell, Trainer(**limits),
        )

    def tell(self, monitor: DriftMonitor) -> None:
        for item, topic in self.topics.items():
            monitor.article(item, Published(topic))

    def lag(self) -> int:
        return sum(self.broker.group_lag(GROUP, [FEEDBACK]).values())

    def reports(self) -> list[DriftReport]:
        records = self.broker.read(Partition(REPORTS, 0), 0, 99)
        return [decode(DriftReport, r.value, 0.0) for r in records]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_started_again_it_goes_on_where_it_was(shop: Shop) -> None:
    shop.clicks(5)
    first, stop = shop.monitor(), threading.Event()
    first.turn()
    stop.set()
    first.run(stop)
    assert shop.lag() == 0
    shop.clicks(3)
    second = shop.monitor()
    second.turn()
    shop.clock.sleep(11)
    second.turn()
    assert [r.events for r in shop.reports()] == [3]


def test_it_commits_now_and_then(shop: Shop) -> None:
    monitor = shop.monitor()
    shop.clicks(5)
    monitor.turn()
    assert shop.lag() == 0
    shop.clicks(5)
    monitor.turn()
    assert shop.lag() == 5
    shop.clock.sleep(COMMIT_S)
    monitor.turn()
    assert shop.lag() == 0


def test_a_rebalance_before_the_commit_is_borne(shop: Shop) -> None:
    monitor, stop = shop.monitor(), threading.Event()
    monitor.turn()
    shop.clicks(5)
    monitor.turn()
    shop.broker.subscribe([FEEDBACK], GROUP)
    stop.set()
    monitor.run(stop)
    assert shop.lag() == 5


@pytest.mark.parametrize("server", ["redis", "kafka"])
def test_while_a_server_is_away_it_is_paused_for_who_watches(
    shop: Shop, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor, away, seen = shop.monitor(), [False, True, False], list[float]()
    stop = threading.Event()

    def follow(_: DriftMonitor) -> None:  # once a turn: the clock goes on by a second
        seen.append(PAUSED.collect()[0].samples[0].value)
        shop.clock.sleep(1)
        if len(seen) > 3:
            stop.set()
        elif server == "redis" and away[len(seen) - 1]:
            raise RetryLater("Redis: away")

    monitor._follow_site = follow
    monitor._subscription.away = lambda: server == "kafka" and away[min(len(seen), 3) - 1]
    monitor.run(stop)
    assert seen == [0, 0, 1, 0]


def test_an_alarm_asks_for_an_update_and_the_report_says_so(shop: Shop) -> None:
    monitor = shop.monitor()
    shop.clicks(200)
    monitor.turn()
    assert shop.board.get(BOARD_ALARM) is None
    shop.clicks(100, "b")
    monitor.turn()
    (report,) = shop.reports()
    assert report.trigger == "alarm" and report.action == "asked for an update"
    alarm = shop.board.get(BOARD_ALARM)
    assert alarm == {"at": report.generated_at, "detectors": ["topic-mix"]}
    shop.clock.sleep(11)
    monitor.turn()
    assert shop.reports()[1].action == "" and shop.board.get(BOARD_ALARM) == alarm


def test_where_updates_upon_drift_are_off_none_is_said_to_be_asked_for(shop: Shop) -> None:
    monitor = shop.monitor(drift_per_day=0)
    for item in "ab":
        shop.clicks(200, item)
        monitor.turn()
    (report,) = shop.reports()
    assert report.trigger == "alarm" and "STREAMREC_TRAINER__DRIFT_PER_DAY=0" in report.action


def test_an_alarm_whose_update_the_pause_holds_back_says_so_and_until_when(shop: Shop) -> None:
    taken = shop.clock.now() - 100.0
    shop.board.put(BOARD_DRIFT_TAKEN, [taken])
    monitor = shop.monitor(drift_every_s=900.0)
    for item in "ab":
        shop.clicks(200, item)
        monitor.turn()
    (report,) = shop.reports()
    assert report.trigger == "alarm" and report.action == (
        f"no update upon alarms before {when(taken + 900.0)} UTC: the pause after the last one "
        "(STREAMREC_TRAINER__DRIFT_EVERY_S)")
    assert shop.board.get(BOARD_ALARM)["at"] == report.generated_at, "the trainer answers it after the pause"


def test_an_update_is_said_to_be_held_back_until_the_trainer_would_take_one() -> None:
    s, now = Trainer(drift_every_s=900.0, drift_per_day=2), 1_000_000.0
    assert held_back([], now, s) == held_back([now - 900.0], now, s) == held_back([now - DAY_S], now, s) == ""
    assert held_back([], now, Trainer(drift_per_day=0)) == "", "there are none to be held back"
    for ago, until, whose in (([5_000.0, 100.0], now - 5_000.0 + DAY_S, "PER_DAY"),
                              ([DAY_S - 10.0, 100.0], now + 800.0, "EVERY_S"),
                              ([9_000.0, 5_000.0, 1_000.0], now - 5_000.0 + DAY_S, "PER_DAY")):
        taken = [now - seconds for seconds in ago]
        told = held_back(taken, now, s)
        assert f"before {when(until)} UTC" in told and whose in told
        early, then = (drift_asks(at, now, Pointer(), taken, s) for at in (until - 0.1, until))
        assert then and not early


def test_a_shift_that_goes_on_is_told_at_once_when_it_begins_and_then_by_the_period(shop: Shop) -> None:
    monitor = shop.monitor()
    for second in range(60):
        shop.clicks(200, "ab"[second % 2])
        monitor.turn()
        shop.clock.sleep(1)
    at = [round(r.generated_at - shop.reports()[0].generated_at) for r in shop.reports()]
    assert all(any(f.alarm for f in r.findings) for r in shop.reports())
    assert len(at) <= 8, at


def test_a_report_that_kafka_did_not_acknowledge_is_kept_and_sent_once(shop: Shop) -> None:
    monitor, away = shop.monitor(), [RetryLater("Kafka: away")]
    flush = monitor._publisher.flush
    monitor._publisher.flush = lambda *a: flush(*a) if not away else (_ for _ in ()).throw(away.pop())
    monitor.turn()
    shop.clock.sleep(11)
    monitor.turn()
    told = (shop.board.get(BOARD_DRIFT) or {}).get("report_id")  # though it is not out yet
    shop.clock.sleep(11)
    monitor.turn()
    assert [r.report_id for r in shop.reports()][:1] == [told]
    assert len({r.report_id for r in shop.reports()}) == len(shop.reports()) == 2


def test_an_alarm_asks_for_an_update_though_earlier_reports_are_owed(shop: Shop) -> None:
    monitor = shop.monitor()
    shop.broker.delete_topic(REPORTS)
    shop.clicks(300)
    monitor.turn()
    shop.clock.sleep(11)
    monitor.turn()  # a report of a period is owed
    assert shop.board.get(BOARD_ALARM) is None
    shop.clicks(300, "b")
    monitor.turn()
    assert "topic-mix" in shop.board.get(BOARD_ALARM)["detectors"]
    shop.broker.create_topics([TopicSpec(REPORTS, 1, 1, {})])
    stop = threading.Event()
    stop.set()
    monitor.run(stop)
    assert [r.trigger for r in shop.reports()] == ["period", "alarm"], "its end is a last try"


def test_without_a_topic_for_its_reports_it_says_so_once_and_goes_on_reading(
    shop: Shop, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    monitor = shop.monitor()
    monitor.turn()
    shop.broker.delete_topic(REPORTS)
    for _ in range(5):
        shop.clock.sleep(11)
        shop.clicks(500)
        monitor.turn()
        assert shop.lag() == 0 and PAUSED.collect()[0].samples[0].value == 1
    said = capsys.readouterr().out + caplog.text  # by whether something has set up our logs
    assert said.count("report_not_out") == 1 and f"{REPORTS} does not take it" in said
    shop.broker.create_topics([TopicSpec(REPORTS, 1, 1, {})])
    for _ in range(2):
        shop.clock.sleep(11)
        monitor.turn()
    assert sum(r.events for r in shop.reports()) == 2500
    assert PAUSED.collect()[0].samples[0].value == 0


def test_an_alarm_that_learning_cannot_answer_asks_for_no_update(shop: Shop) -> None:
    monitor = shop.monitor()
    shop.clicks(200)
    monitor.turn()
    shop.sent = 0
    shop.clicks(200)  # the same again
    monitor.turn()
    (report,) = shop.reports()
    assert [f.detector for f in report.findings if f.alarm] == ["duplicates"]
    assert report.action == "none: no update mends this" and shop.board.get(BOARD_ALARM) is None


def test_what_a_rebalance_has_it_read_again_is_no_duplicate(shop: Shop) -> None:
    monitor = shop.monitor()
    shop.clicks(300)
    monitor.turn()
    monitor._subscription.seek(Partition(FEEDBACK, 0), 0)
    monitor.turn()
    monitor.turn()
    assert monitor._monitor.detectors.duplicates.report().samples == 300
    assert shop.reports() == []


def test_increments_of_before_its_start_are_no_news_to_a_monitor(shop: Shop) -> None:
    def increment(live: float) -> None:
        entry = {"at": shop.clock.now(), "published": False, "trigger": "rows", "ndcg": {"live": [live, 9]}}
        shop.board.append(BOARD_QUALITY, {**entry, "eras": []}, 9)

    monitor = shop.monitor()
    increment(0.1)
    monitor.turn()
    shop.clock.sleep(11)
    monitor.turn()
    increment(0.2)
    shop.clock.sleep(11)
    monitor.turn()
    assert [r.quality.get("ndcg_live") for r in shop.reports()] == [None, 0.2]
