"""The promises of streamrec.broker.Broker, kept by Kafka and by the fake."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import Broker, Partition, Record, Subscription, TopicSpec
from streamrec.errors import Fenced, StreamrecError

PATIENCE_S = 20.0


def send(broker: Broker, topic: str, *messages: tuple[Any, ...]) -> None:
    publisher = broker.publisher()
    for message in messages:
        publisher.send(topic, *message)
    publisher.flush()
    publisher.close()


def read(subscription: Subscription, n: int) -> list[Record]:
    """`n` records, or what came before patience ended."""
    got: list[Record] = []
    end = time.monotonic() + PATIENCE_S
    while len(got) < n and time.monotonic() < end:
        for records in subscription.poll(0.05, 500).values():
            got += records
    return got


def until(true: Callable[[], bool], *members: Subscription) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < end:
        for member in members:
            member.poll(0.02, 500)
    assert true()


def nothing(subscription: Subscription) -> bool:
    return not any(subscription.poll(0.1, 500) for _ in range(3))


def numbers(n: int) -> list[tuple[bytes, bytes]]:
    return [(b"k%d" % (i % 5), b"%d" % i) for i in range(n)]


def test_one_key_stays_in_one_partition_and_keeps_its_order(broker, topic, join) -> None:
    send(broker, topic, *numbers(50))
    got = read(join(topic, "g-order"), 50)
    for key in {r.key for r in got}:
        mine = [r for r in got if r.key == key]
        assert len({r.partition for r in mine}) == 1
        assert [int(r.value) for r in mine] == sorted(int(r.value) for r in mine)
    assert len(got) == 50 and {r.topic for r in got} == {topic}
    assert abs(got[0].timestamp / 1000 - time.time()) < 60


def test_what_has_no_key_no_value_or_an_empty_header_is_carried_all_the_same(broker, topic, join) -> None:
    """Kafka delivers such messages, so they must reach the dead-letter topic."""
    send(broker, topic, (None, None), (b"k", None, [("trace", None)]), (None, b"v", [("a", b"1")]))
    got = read(join(topic, "g-null"), 3)
    assert sorted((r.key or b"", r.value or b"", [(n, v or b"") for n, v in r.headers]) for r in got) == [
        (b"", b"", []), (b"", b"v", [("a", b"1")]), (b"k", b"", [("trace", b"")]),
    ]


def test_what_was_committed_is_not_seen_again_and_what_was_not_is(broker, topic, join) -> None:
    send(broker, topic, *[(b"one", b"%d" % i) for i in range(4)])
    first = broker.subscribe([topic], "g-commit", "earliest")
    got = read(first, 4)
    place = Partition(topic, got[0].partition)
    assert first.committed(place) is None
    first.commit({place: got[1].offset + 1})
    assert first.committed(place) == 2
    first.close()
    again = join(topic, "g-commit")
    assert [r.value for r in read(again, 2)] == [b"2", b"3"]
    assert broker.group_lag("g-commit", [topic])[place] == 2


def test_a_new_group_reads_from_the_beginning_unless_told_latest(broker, topic, join) -> None:
    send(broker, topic, (b"a", b"old"))
    late = join(topic, "g-late", "latest")
    until(lambda: len(late.assignment()) == 2, late)
    assert nothing(late)
    send(broker, topic, (b"a", b"new"))
    assert [r.value for r in read(late, 1)] == [b"new"]
    assert len(read(join(topic, "g-early"), 2)) == 2


def test_a_paused_member_gets_nothing_but_keeps_its_place_in_the_group(broker, topic, join) -> None:
    member = join(topic, "g-pause")
    until(lambda: len(member.assignment()) == 2, member)
    assert nothing(member)  # a group may settle twice when its topic is seconds old
    generation = member.generation()
    member.pause(True)
    send(broker, topic, *numbers(10))
    assert nothing(member)
    assert member.generation() == generation and len(member.assignment()) == 2
    member.pause(False)
    assert len(read(member, 10)) == 10


def test_a_broker_that_is_there_is_not_away(broker, topic, join) -> None:
    member = join(topic, "g-there")
    until(lambda: len(member.assignment()) == 2, member)
    assert nothing(member) and not member.away()


def test_two_members_share_the_partitions_and_the_generation_grows(broker, topic, join) -> None:
    one = join(topic, "g-two")
    assert one.generation() == -1
    until(lambda: len(one.assignment()) == 2, one)
    before = one.generation()
    two = join(topic, "g-two")
    until(lambda: len(one.assignment()) == len(two.assignment()) == 1, one, two)
    assert not one.assignment() & two.assignment()
    assert one.generation() == two.generation() > before


def throw_out(broker: Broker, group: str, member: Subscription) -> None:
    """What happens to a member that was silent for too long."""
    if isinstance(broker, MemoryBroker):
        broker.subscribe(member._topics, group).poll(0, 1)
        return
    from kafka.admin import MemberToRemove

    known = member._consumer.group_metadata().member_id
    broker._admin.remove_group_members(group, [MemberToRemove(member_id=known)])


def test_a_member_that_the_group_left_behind_cannot_commit(broker, topic, join) -> None:
    send(broker, topic, *numbers(10))
    member = join(topic, "g-zombie")
    place = Partition(topic, read(member, 10)[0].partition)
    member.commit({place: 1})
    throw_out(broker, "g-zombie", member)
    with pytest.raises(Fenced):
        member.commit({place: 2})
    assert member.committed(place) == 1


def test_tombstones_and_headers_come_back_byte_for_byte(broker, topic, join) -> None:
    headers = [("a", b"\x00\xff"), ("a", b"twice"), ("ü", b"")]
    send(broker, topic, (b"k", None, headers), (b"k", b"\xff\x00", None))
    gone, plain = read(join(topic, None), 2)
    assert gone.value is None and gone.key == b"k" and list(gone.headers) == headers
    assert plain.value == b"\xff\x00" and list(plain.headers) == []


def test_a_message_without_key_is_taken(broker, topic, join) -> None:
    send(broker, topic, (None, b"v"))
    assert [(r.key, r.value) for r in read(join(topic, None), 1)] == [(None, b"v")]


def test_without_a_group_everything_is_read_and_nothing_remembered(broker, topic, join) -> None:
    send(broker, topic, *numbers(20))
    for _ in range(2):
        alone = join(topic, None)
        assert len(read(alone, 20)) == 20
        assert len(alone.assignment()) == 2


def test_seek_goes_to_an_offset_the_beginning_or_the_end(broker, topic, join) -> None:
    send(broker, topic, *[(b"one", b"%d" % i) for i in range(5)])
    reader = join(topic, None)
    place = Partition(topic, read(reader, 5)[0].partition)
    reader.seek(place, 3)
    assert [r.value for r in read(reader, 2)] == [b"3", b"4"]
    reader.seek(place, -2)
    assert len(read(reader, 5)) == 5
    reader.seek(place, -2)
    reader.seek(place, -1)
    assert nothing(reader)
    assert reader.lag() == 0


def test_making_topics_again_makes_only_what_is_missing(broker, topic, prefix) -> None:
    specs = [TopicSpec(topic, 2, 1, {}), TopicSpec(f"{prefix}.u", 3, 1, {"retention.ms": "60000"})]
    assert broker.create_topics(specs) == [f"{prefix}.u"]
    assert broker.create_topics(specs) == []
    assert broker.topics()[f"{prefix}.u"] == 3


def test_a_topic_made_again_has_another_incarnation(broker, topic) -> None:
    before = broker.incarnation(topic)
    assert broker.incarnation(topic) == before
    if isinstance(broker, MemoryBroker):
        broker.delete_topic(topic)
    else:
        broker._admin.delete_topics([topic])
    until(lambda: topic not in broker.topics())
    broker.create_topics([TopicSpec(topic, 2, 1, {})])
    assert broker.incarnation(topic) != before


def test_sending_to_a_topic_that_does_not_exist_raises_and_makes_none(broker, prefix) -> None:
    with pytest.raises(StreamrecError):
        send(broker, f"{prefix}.typo", (b"k", b"v"))
    assert f"{prefix}.typo" not in broker.topics()
