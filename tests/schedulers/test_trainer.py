"""Of several trainers one trains; a failure is tried again; a late check is counted."""

import threading
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from schedulers.announcer import Announcer
from schedulers.child import NotYet, TrainingFailed
from schedulers.trainer import Trainer
from streamrec.adapters.memory import MemoryBoard, MemoryBuffer, MemoryPointers
from streamrec.adapters.memory_broker import MemoryBroker, MemoryPublisher
from streamrec.broker import Partition, TopicSpec
from streamrec.clock import ManualClock
from streamrec.config import Buffer
from streamrec.config import Trainer as Settings
from streamrec.errors import Conflict, Fenced, RetryLater
from streamrec.events import ModelPointer, decode
from streamrec.metrics import BOARD_ALARM, BOARD_MISFIRES, PAUSED, TRAININGS_FAILED
from streamrec.registry import VersionRecord
from streamrec.replay import Applied, a_res_key, digest

TOPIC = "models"
S = Settings(min_rows=5, trigger_rows=10, trigger_s=60.0, lease_s=30.0)


@dataclass
class Learner:
    """Takes all rows that wait, and commits as the real one does."""

    pointers: MemoryPointers
    buffer: MemoryBuffer
    clock: ManualClock
    trouble: list[Exception] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    takes_s: float = 0.0
    publishes: bool = False
    closed: bool = False

    def train(self, token: int, why: str) -> None:
        old = self.pointers.read()
        self.clock.sleep(self.takes_s)
        if self.trouble:
            raise self.trouble.pop()
        new = replace(old, cursor=self.buffer.rows_total(), attempt=old.attempt + 1,
                      last_attempt_at=self.clock.now())
        record = VersionRecord(version=str(new.attempt), parent=old.version, created_at=0.0, rows=1,
                               learned_until=1.0, metrics={}) if self.publishes else None
        if record:
            new = replace(new, version=record.version, published_at=self.clock.now())
        self.pointers.move(new, old.attempt, token, record)
        self.trained.append(why)

    def close(self) -> None:
        self.closed = True


class FailingPublisher(MemoryPublisher):
    """Kafka is away."""

    away = True

    def flush(self, timeout_s: float = 30.0) -> None:
        if self.away:
            raise RetryLater("Kafka: away")


class Shop:
    """What trainers share, and rows to learn."""

    def __init__(self) -> None:
        self.clock, self.board = ManualClock(), MemoryBoard()
        self.buffer, self.pointers = MemoryBuffer(Buffer()), MemoryPointers(self.clock)
        self.claim, self.n = self.buffer.claim(0, "x", 1), 0
        self.broker = MemoryBroker()
        self.broker.create_topics([TopicSpec(TOPIC, 1, 1, {})])
        self.publisher = self.broker.publisher()

    def rows(self, n: int) -> None:
        ids = [f"e{self.n + i}" for i in range(n)]
        events = [
            Applied(self.n + i, digest(e), e, e, "a", "click", 1.0, [], 1.0, a_res_key(digest(e)))
            for i, e in enumerate(ids)
        ]
        self.n += n
        self.buffer.apply(0, self.claim, "x", events, self.n, 1.0)

    def learner(self, **more: object) -> Learner:
        return Learner(self.pointers, self.buffer, self.clock, **more)  # type: ignore[arg-type]

    def trainer(self, learner: Learner) -> Trainer:
        announcer = Announcer(self.pointers, self.publisher, TOPIC)
        return Trainer(self.buffer, self.pointers, learner, announcer, self.board, self.clock, S)

    def announced(self) -> list[str]:
        records = self.broker.read(Partition(TOPIC, 0), 0, 99)
        return [decode(ModelPointer, r.value, 0.0).version for r in records]

    def misfires(self) -> int:
        return self.board.total(BOARD_MISFIRES)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_it_trains_when_enough_rows_wait_and_then_not_again(shop: Shop) -> None:
    learner = shop.learner()
    trainer = shop.trainer(learner)
    shop.rows(9)
    assert trainer.check() is None
    shop.rows(1)
    assert trainer.check() == "rows" and trainer.check() is None
    shop.rows(5)
    shop.clock.sleep(60)
    assert trainer.check() == "time"
    assert learner.trained == ["rows", "time"]


def test_an_alarm_of_drift_asks_for_an_update_and_gets_one(shop: Shop) -> None:
    learner = shop.learner()
    trainer = shop.trainer(learner)
    shop.rows(5)
    assert trainer.check() is None
    shop.board.put(BOARD_ALARM, {"at": shop.clock.now(), "detectors": ["topic-mix"]})
    assert trainer.check() == "drift" and trainer.check() is None
    shop.rows(5)
    shop.clock.sleep(1)
    shop.board.put(BOARD_ALARM, {"at": shop.clock.now(), "detectors": ["topic-mix"]})
    assert trainer.check() is None  # so soon after the last
    assert shop.trainer(learner).check() is None  # nor by one that has just started
    assert learner.trained == ["drift"]


def test_alarms_all_day_long_get_no_more_updates_than_a_day_may_have(shop: Shop) -> None:
    learner = shop.learner()
    trainer = shop.trainer(learner)
    for _ in range(3 * S.drift_per_day):
        shop.rows(5)
        shop.clock.sleep(86_000 / (3 * S.drift_per_day))
        shop.board.put(BOARD_ALARM, {"at": shop.clock.now(), "detectors": ["topic-mix"]})
        trainer.check()
    assert learner.trained.count("drift") == S.drift_per_day


def test_two_trainers_on_one_lease_train_once(shop: Shop) -> None:
    one, two = shop.learner(), shop.learner()
    trainers = shop.trainer(one), shop.trainer(two)
    shop.rows(10)
    for _ in range(5):
        for trainer in trainers:
            trainer.safely()
        shop.clock.sleep(1)
    assert one.trained == ["rows"] and two.trained == []
    assert shop.pointers.read().attempt == 1


def test_when_the_holder_falls_silent_the_other_takes_over(shop: Shop) -> None:
    one, two = shop.learner(), shop.learner()
    shop.trainer(one).check()
    other = shop.trainer(two)
    shop.rows(10)
    assert other.check() is None
    shop.clock.sleep(S.lease_s)
    assert other.check() == "rows"


def test_a_trainer_that_lost_the_lease_in_the_middle_publishes_nothing(shop: Shop) -> None:
    slow, other = shop.learner(takes_s=S.lease_s + 1), shop.learner()
    shop.rows(10)
    with pytest.raises(Fenced):
        shop.trainer(slow).check()
    assert shop.trainer(other).check() == "rows"
    assert slow.trained == [] and shop.pointers.read().attempt == 1


def test_a_lease_renewed_meanwhile_is_kept_through_a_long_increment(shop: Shop) -> None:
    learner = shop.learner(takes_s=S.lease_s - 1)
    trainer = shop.trainer(learner)
    shop.rows(10)
    assert trainer.check() == "rows"
    trainer.renew()
    shop.clock.sleep(S.lease_s - 1)
    assert shop.pointers.acquire("other", 1) is None


@pytest.mark.parametrize("error", [
    RetryLater("Redis: away"), TrainingFailed("died"), Conflict("moved"), OSError("disk full"),
])
def test_a_failure_is_tried_again_after_a_while(shop: Shop, error: Exception) -> None:
    learner = shop.learner(trouble=[error])
    trainer = shop.trainer(learner)
    shop.rows(10)
    trainer.safely()
    trainer.safely()
    assert learner.trained == []
    shop.clock.sleep(5)
    trainer.safely()
    assert learner.trained == ["rows"]


@pytest.mark.parametrize(("error", "failed", "paused"), [
    (TrainingFailed("Directory not empty"), 1, 0), (OSError("disk full"), 1, 0),
    (NotYet("articles not announced yet"), 0, 0), (RetryLater("Redis: away"), 0, 1),
])
def test_a_failed_training_is_counted_and_waiting_is_none(
    shop: Shop, error: Exception, failed: int, paused: int
) -> None:
    def value(metric: object) -> float:
        return metric.collect()[0].samples[0].value  # type: ignore[attr-defined]

    trainer, before = shop.trainer(shop.learner(trouble=[error])), value(TRAININGS_FAILED)
    shop.rows(10)
    trainer.safely()
    trainer.safely()  # nothing has answered yet
    assert (value(TRAININGS_FAILED) - before, value(PAUSED)) == (failed, paused)
    shop.clock.sleep(5)
    trainer.safely()
    assert (value(TRAININGS_FAILED) - before, value(PAUSED)) == (failed, 0)


def test_checks_that_a_stalled_machine_missed_are_counted(shop: Shop) -> None:
    trainer = shop.trainer(shop.learner())
    for _ in range(3):
        shop.clock.sleep(1)
        trainer.safely()
    assert shop.misfires() == 0
    shop.clock.sleep(7.5)
    trainer.safely()
    assert shop.misfires() == 6


def test_an_increment_that_takes_long_is_no_stall(shop: Shop) -> None:
    trainer = shop.trainer(shop.learner(takes_s=20))
    shop.rows(10)
    trainer.safely()
    shop.clock.sleep(1)
    trainer.safely()
    assert shop.misfires() == 0


def test_at_the_end_the_lease_is_given_back_and_the_child_ended(shop: Shop) -> None:
    learner = shop.learner()
    trainer, stop = shop.trainer(learner), threading.Event()
    assert trainer.hold()
    stop.set()
    trainer.run(stop)
    assert learner.closed and shop.pointers.acquire("next", 1) is not None


def test_each_version_is_announced_once_while_it_stands(shop: Shop) -> None:
    trainer = shop.trainer(shop.learner(publishes=True))
    for _ in range(2):
        shop.rows(10)
        trainer.check()
        trainer.check()
    assert shop.announced() == ["1", "2"]


def test_who_takes_the_lease_announces_what_a_killed_one_could_not(shop: Shop) -> None:
    shop.rows(10)
    token = shop.pointers.acquire("killed after the move", 1.0)
    shop.learner(publishes=True).train(token or 0, "rows")
    shop.clock.sleep(2)
    trainer = shop.trainer(shop.learner())
    trainer.check()
    trainer.check()
    assert shop.announced() == ["1"]


def test_a_pointer_moved_by_a_rollback_is_announced_too(shop: Shop) -> None:
    trainer = shop.trainer(shop.learner(publishes=True))
    for _ in range(2):
        shop.rows(10)
        trainer.check()
    old = shop.pointers.read()
    back = replace(old, version="1", attempt=old.attempt + 1, published_at=shop.clock.now() + 1)
    shop.pointers.move(back, old.attempt, None, None)
    trainer.check()
    assert shop.announced() == ["1", "2", "1"]


def test_training_goes_on_while_kafka_is_away_and_it_is_announced_later(shop: Shop) -> None:
    shop.publisher = away = FailingPublisher(shop.broker)
    learner = shop.learner(publishes=True)
    trainer = shop.trainer(learner)
    for _ in range(2):
        shop.rows(10)
        assert trainer.check() == "rows"
    away.away = False
    shop.clock.sleep(5)
    trainer.check()
    assert learner.trained == ["rows", "rows"] and shop.announced()[-1] == "2"


@dataclass
class Slow(Learner):
    """Fits until it is closed, as the child does."""

    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def train(self, token: int, why: str) -> None:
        self.begun.set()
        self.ended.wait(30)
        raise TrainingFailed("killed")

    def close(self) -> None:
        self.ended.set()


def test_a_fit_cut_off_by_a_clean_stop_is_no_failure(
    shop: Shop, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    learner, stop = Slow(shop.pointers, shop.buffer, shop.clock), threading.Event()
    shop.rows(10)
    running = threading.Thread(target=shop.trainer(learner).run, args=(stop,), daemon=True)
    running.start()
    assert learner.begun.wait(10)
    stop.set()
    running.join(10)
    assert not running.is_alive()
    said = capsys.readouterr()
    assert "training_failed" not in caplog.text + said.out + said.err
    assert shop.pointers.acquire("next", 1) is not None
