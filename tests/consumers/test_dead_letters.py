"""A dead letter is the message byte for byte, and where it came from; it can be sent back."""

from typing import Any

import pytest

from consumers.dead_letters import origin, original_headers
from streamrec.adapters.memory import MemoryBoard
from streamrec.adapters.memory_broker import MemoryPublisher
from streamrec.errors import InvalidMessage, RetryLater
from streamrec.operate import dlq

FEEDBACK, DLQ, GROUP = "s.feedback.v1", "s.feedback.v1.dlq", "s-dlq-replay"
HEADERS = [("trace", b"\x00\xff"), ("trace", b"again")]


def die(world: Any, value: bytes | None = b"\xff\xfe bad") -> Any:
    """Send a message, let it become a dead letter; the original."""
    world.send(FEEDBACK, b"k\x00", value, HEADERS)
    record = world.records(FEEDBACK)[-1]
    world.dead_letters().send(record, InvalidMessage("no good"))
    return record


def test_key_value_and_headers_are_kept_byte_for_byte(world: Any) -> None:
    was = die(world)
    (letter,) = world.records(DLQ)
    assert (letter.key, letter.value) == (was.key, was.value)
    assert list(letter.headers[:2]) == HEADERS and original_headers(letter) == HEADERS


def test_it_says_where_it_came_from_and_why(world: Any) -> None:
    was = die(world)
    found = origin(world.records(DLQ)[0])
    assert (found["topic"], int(found["partition"]), int(found["offset"])) == was[:3]
    assert (found["exception"], found["message"], found["group"]) == ("InvalidMessage", "no good", "group")
    assert int(found["timestamp"]) == was.timestamp and world.board.total("dead_letters") == 1


def test_a_letter_that_went_out_is_not_sent_again_though_it_cannot_be_counted(world: Any) -> None:
    class Away(MemoryBoard):
        def count(self, name: str, n: int = 1) -> None:
            raise RetryLater("Redis: away")

    world.board = Away()
    die(world)
    assert len(world.records(DLQ)) == 1


def test_headers_of_our_name_that_others_wrote_break_no_list(world: Any) -> None:
    theirs = [("streamrec.dlq.message", b"\xff"), ("streamrec.dlq.topic", FEEDBACK.encode())]
    world.send(DLQ, b"k", b"v", theirs)
    assert dlq.described(next(iter(dlq.dead_letters(world.broker, [FEEDBACK]))))["message"] == "\ufffd"


def test_replay_sends_back_the_original_bytes(world: Any) -> None:
    was = die(world)
    assert dlq.replay(world.broker, [FEEDBACK], set(), GROUP) == 1
    back = [r for r in world.records(FEEDBACK) if r.offset > was.offset]
    assert [(r.key, r.value, list(r.headers)) for r in back] == [(was.key, was.value, HEADERS)]


def test_replay_can_choose_and_a_tombstone_stays_one(world: Any) -> None:
    die(world)
    die(world, None)
    shown = [dlq.described(r) for r in dlq.dead_letters(world.broker, [FEEDBACK])]
    places = [s["place"] for s in shown]
    assert places == [f"{FEEDBACK}.dlq/0/0", f"{FEEDBACK}.dlq/0/1"] and shown[0]["message"] == "no good"
    assert dlq.replay(world.broker, [FEEDBACK], {places[1]}, GROUP) == 1
    assert world.records(FEEDBACK)[-1].value is None


def test_what_was_replayed_is_not_sent_again_unless_it_is_named(world: Any) -> None:
    die(world)
    assert dlq.replay(world.broker, [FEEDBACK], set(), GROUP) == 1
    assert dlq.replay(world.broker, [FEEDBACK], set(), GROUP) == 0
    die(world)
    assert dlq.replay(world.broker, [FEEDBACK], set(), GROUP) == 1
    assert dlq.replay(world.broker, [FEEDBACK], {f"{DLQ}/0/0"}, GROUP) == 1
    assert len(list(dlq.dead_letters(world.broker, [FEEDBACK]))) == 2, "they stay in their topic"


def test_what_kafka_did_not_acknowledge_is_sent_again_by_the_next_replay(world: Any) -> None:
    class Away(MemoryPublisher):
        def flush(self, timeout_s: float = 30.0) -> None:
            raise RetryLater("Kafka: away")

    die(world)
    publisher, world.broker.publisher = world.broker.publisher, lambda: Away(world.broker)
    with pytest.raises(RetryLater):
        dlq.replay(world.broker, [FEEDBACK], set(), GROUP)
    world.broker.publisher = publisher
    assert dlq.replay(world.broker, [FEEDBACK], set(), GROUP) == 1
