"""The loop: commit last, lose nothing while a server is away, drop what a newer owner has."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from consumers.loop import Loop, Policy
from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import Partition, TopicSpec
from streamrec.clock import ManualClock
from streamrec.errors import Fenced, RetryLater
from streamrec.metrics import PAUSED

FAST = Policy(poll_s=0.0)
A = Partition("t", 0)


@dataclass
class Handler:
    """Keeps what it was given; `trouble` is raised instead, in this order."""

    trouble: list[Exception | None] = field(default_factory=list)
    start: Callable[[int | None], int | None] = lambda committed: None
    seen: list[bytes] = field(default_factory=list)
    assigned_with: list[int | None] = field(default_factory=list)
    during: Callable[[], Any] = lambda: None

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        self.assigned_with.append(committed)
        return self.start(committed)

    def handle(self, batches: Any) -> None:
        self.during()
        trouble = self.trouble.pop(0) if self.trouble else None
        if trouble:
            raise trouble
        self.seen += [r.value for _, records in batches for r in records]

    def idle(self) -> None: ...


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    broker.create_topics([TopicSpec("t", 1, 1, {})])
    return broker


def send(broker: MemoryBroker, *values: bytes) -> None:
    for value in values:
        broker.publisher().send("t", b"k", value)


def loop_of(broker: MemoryBroker, handler: Handler, **more: Any) -> Loop:
    clock = ManualClock()
    return Loop(broker.subscribe(["t"], "g"), broker.publisher(), handler, clock,
                more.pop("policy", FAST), **more)


def later(loop: Loop) -> None:
    """Past the commit throttle, and one more turn."""
    loop.clock.sleep(1.0)
    loop.turn()


def committed(broker: MemoryBroker) -> int | None:
    return broker._groups["g"].committed.get(A)


def test_nothing_is_committed_before_it_is_handled_and_flushed(broker: MemoryBroker) -> None:
    order: list[str] = []
    handler = Handler(during=lambda: order.append(f"handled, committed {committed(broker)}"))
    loop = loop_of(broker, handler)
    flush, commit = loop.publisher.flush, loop.subscription.commit
    loop.publisher.flush = lambda *a: (order.append("flushed"), flush(*a))[1]
    loop.subscription.commit = lambda o: (order.append("committed"), commit(o))[1]
    send(broker, b"1", b"2")
    loop.turn()
    assert order == ["handled, committed None", "flushed", "committed"] and committed(broker) == 2


def test_commits_are_throttled_and_made_up_for(broker: MemoryBroker) -> None:
    loop = loop_of(broker, Handler())
    loop.turn()
    send(broker, b"1")
    loop.turn()
    assert committed(broker) is None
    later(loop)
    assert committed(broker) == 1


def test_while_a_server_is_away_nothing_is_lost_nor_committed(broker: MemoryBroker) -> None:
    paused: list[tuple[bool, Any]] = []
    away = RetryLater("Redis: away")
    handler = Handler(trouble=[away, away, away])
    loop = loop_of(broker, handler)
    pause = loop.subscription.pause
    loop.subscription.pause = lambda on: (paused.append((on, committed(broker))), pause(on))[1]
    handler.during = lambda: send(broker, b"meanwhile") if len(handler.trouble) == 2 else None
    send(broker, b"1", b"2")
    loop.turn()
    assert handler.seen == [b"1", b"2"]
    assert paused == [(True, None)] * 3 + [(False, None)]
    later(loop)
    assert handler.seen == [b"1", b"2", b"meanwhile"] and committed(broker) == 3


def test_what_came_in_just_before_the_pause_is_handled_after_it(broker: MemoryBroker) -> None:
    loop = loop_of(broker, handler := Handler(trouble=[RetryLater("away")]))
    loop.turn()
    send(broker, b"1")
    pause = loop.subscription.pause

    def too_late(on: bool) -> None:  # the next poll still brings it
        loop.subscription.pause = pause
        send(broker, b"2")
    loop.subscription.pause = too_late
    loop.turn()
    later(loop)
    later(loop)
    assert handler.seen == [b"1", b"2"] and committed(broker) == 2


def paused() -> float:
    """As Prometheus reads it."""
    return PAUSED.collect()[0].samples[0].value


def test_a_kafka_that_is_away_is_told_of_though_no_poll_fails(
    broker: MemoryBroker, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    loop = loop_of(broker, Handler())
    for away in (True, True, False):
        loop.subscription.away = lambda away=away: away
        loop.turn()
        assert paused() == away
    said = capsys.readouterr().out + caplog.text  # by whether something has set up our logs
    assert said.count("kafka_away") == said.count("kafka_back") == 1


def test_while_commits_fail_it_is_paused_for_who_watches(broker: MemoryBroker) -> None:
    loop, away = loop_of(broker, Handler()), [RetryLater("Kafka: away")]
    commit = loop.subscription.commit
    loop.subscription.commit = lambda o: commit(o) if not away else (_ for _ in ()).throw(away.pop())
    send(broker, b"1")
    loop.turn()
    assert paused() == 1
    later(loop)
    assert paused() == 0 and committed(broker) == 1


def test_a_commit_that_failed_and_went_to_another_owner_is_not_waited_for(broker: MemoryBroker) -> None:
    loop = loop_of(broker, Handler())
    loop.subscription.commit = lambda o: (_ for _ in ()).throw(RetryLater("Kafka: away"))
    send(broker, b"1")
    loop.turn()
    broker.subscribe(["t"], "g")
    broker._groups["g"].members.reverse()  # the other has the partition now
    later(loop)
    assert paused() == 0


def test_waiting_gets_longer_up_to_a_limit(broker: MemoryBroker) -> None:
    policy = Policy(poll_s=0.0, backoff_s=0.001, backoff_max_s=0.004)
    loop = loop_of(broker, Handler(trouble=[RetryLater("away")] * 5), policy=policy)
    slept: list[float] = []
    loop.clock.sleep = slept.append
    send(broker, b"1")
    loop.turn()
    assert slept == [0.001, 0.002, 0.004, 0.004, 0.004]


def test_a_fenced_batch_is_dropped_not_committed_and_read_again(broker: MemoryBroker) -> None:
    handler = Handler(trouble=[Fenced("another owner")], start=lambda committed: committed or 0)
    loop = loop_of(broker, handler)
    loop.turn()  # the first turn only learns where to start
    send(broker, b"1")
    loop.clock.sleep(1.0)
    loop.turn()
    assert handler.seen == [] and committed(broker) is None
    later(loop)
    later(loop)
    assert handler.seen == [b"1"] and committed(broker) == 1
    assert len(handler.assigned_with) == 2  # it claimed again


def test_a_stop_while_waiting_commits_nothing_that_was_not_handled(broker: MemoryBroker) -> None:
    handler = Handler(trouble=[RetryLater("away")] * 99)
    loop = loop_of(broker, handler)
    handler.during = loop.stop.set
    send(broker, b"1")
    loop.run()
    assert handler.seen == [] and committed(broker) is None
    again = Handler()
    loop_of(broker, again).turn()
    assert again.seen == [b"1"]


def test_a_stop_between_poll_and_handling_loses_nothing(broker: MemoryBroker) -> None:
    loop = loop_of(broker, handler := Handler())
    loop.turn()  # the partition is ours by now
    poll = loop.subscription.poll
    loop.subscription.poll = lambda *a: (poll(*a), loop.stop.set())[0]
    send(broker, b"1")
    loop.run()
    assert (committed(broker) or 0) == len(handler.seen)  # handled and committed, or neither


def test_a_stop_after_handling_commits_at_once(broker: MemoryBroker) -> None:
    loop = loop_of(broker, handler := Handler())
    loop.turn()
    handler.during = loop.stop.set
    send(broker, b"1")
    loop.run()
    assert committed(broker) == 1 and not broker._groups["g"].members


def test_the_handler_says_where_to_start(broker: MemoryBroker) -> None:
    send(broker, b"0", b"1", b"2")
    loop = loop_of(broker, handler := Handler(start=lambda committed: 1))
    loop.turn()
    later(loop)
    assert handler.seen == [b"1", b"2"]


def test_after_a_rebalance_what_was_done_is_not_committed_for_the_new_owner(
    broker: MemoryBroker,
) -> None:
    loop = loop_of(broker, handler := Handler())
    loop.turn()
    send(broker, b"1")
    loop.turn()
    broker.subscribe(["t"], "g")  # another member: one of the two gets the partition
    later(loop)
    later(loop)
    assert len(handler.assigned_with) == 2 and handler.seen == [b"1", b"1"] and committed(broker) == 1


def test_what_waited_through_a_rebalance_is_left_to_the_new_owner(broker: MemoryBroker) -> None:
    """Or an old value would overwrite what the other has read since, and the offset go back."""
    handler, other = Handler(trouble=[RetryLater("away")] * 2), Handler()
    loop = loop_of(broker, handler)
    send(broker, b"1")

    def meanwhile() -> None:
        if len(handler.trouble) == 1:  # the loop waits: another takes over, and reads on
            send(broker, b"2")
            second = loop_of(broker, other)
            broker._groups["g"].members.reverse()
            second.turn()
            later(second)
            assert other.seen == [b"1", b"2"] and committed(broker) == 2
    handler.during = meanwhile
    loop.turn()
    later(loop)
    assert handler.seen == [] and committed(broker) == 2


def test_a_flush_that_fails_is_no_commit(broker: MemoryBroker) -> None:
    loop = loop_of(broker, Handler())
    flush, tries = loop.publisher.flush, [RetryLater("Kafka: away")]

    def failing(*args: Any) -> None:
        if tries:
            raise tries.pop()
        flush(*args)

    loop.publisher.flush = failing
    send(broker, b"1")
    loop.turn()
    assert committed(broker) is None
    later(loop)
    assert committed(broker) == 1


@dataclass
class Behind(Handler):
    """Works after `handle` has returned: `settling` is raised instead, in this order."""

    settling: list[Exception | None] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def settle(self) -> None:
        trouble = self.settling.pop(0) if self.settling else None
        self.order.append("failed" if trouble else "settled")
        if trouble:
            raise trouble


def test_what_goes_on_behind_is_settled_before_it_is_flushed_and_committed(broker: MemoryBroker) -> None:
    loop = loop_of(broker, handler := Behind())
    loop.turn()
    flush = loop.publisher.flush
    loop.publisher.flush = lambda *a: (handler.order.append("flushed"), flush(*a))[1]
    handler.order.clear()
    send(broker, b"1")
    later(loop)
    assert handler.order[-2:] == ["settled", "flushed"] and committed(broker) == 1


def test_what_cannot_be_settled_is_waited_for_not_committed(broker: MemoryBroker) -> None:
    loop = loop_of(broker, handler := Behind())
    loop.turn()
    send(broker, b"1")
    loop.turn()
    handler.settling = [RetryLater("away")] * 3
    commit = loop.subscription.commit
    loop.subscription.commit = lambda o: pytest.fail("too early") if handler.settling else commit(o)
    later(loop)
    assert handler.order.count("failed") == 3 and committed(broker) == 1


def test_a_rebalance_while_it_settles_leaves_the_offset_to_the_new_owner(broker: MemoryBroker) -> None:
    """Who may have read on and committed more by then: the offset would go back."""
    loop, other = loop_of(broker, handler := Behind()), Handler()
    loop.turn()
    send(broker, b"1", b"2")

    def meanwhile() -> None:
        send(broker, b"3")
        second = loop_of(broker, other)
        broker._groups["g"].members.reverse()
        second.turn()
        later(second)
        assert other.seen == [b"1", b"2", b"3"] and committed(broker) == 3
    handler.during, handler.settling = meanwhile, [RetryLater("away")]
    later(loop)
    assert "failed" in handler.order and committed(broker) == 3


def test_what_was_fenced_behind_is_not_committed_and_read_again(broker: MemoryBroker) -> None:
    loop = loop_of(broker, handler := Behind(start=lambda committed: committed or 0))
    loop.turn()
    send(broker, b"1")
    loop.turn()
    handler.settling = [Fenced("another owner")]
    later(loop)
    assert committed(broker) is None
    later(loop)
    later(loop)
    assert handler.seen == [b"1", b"1"] and committed(broker) == 1


def test_a_stop_with_work_that_cannot_be_settled_commits_nothing(broker: MemoryBroker) -> None:
    loop = loop_of(broker, handler := Behind())
    loop.turn()
    handler.during = loop.stop.set
    handler.settling = [RetryLater("away")] * 9
    send(broker, b"1")
    loop.run()
    assert handler.seen == [b"1"] and committed(broker) is None


def test_before_a_partition_is_taken_anew_what_goes_on_is_settled(broker: MemoryBroker) -> None:
    loop = loop_of(broker, handler := Behind())
    loop.turn()
    handler.order.clear()
    handler.start = lambda committed: handler.order.append("assigned")
    broker.subscribe(["t"], "g")
    loop.turn()
    assert handler.order[:2] == ["settled", "assigned"]
