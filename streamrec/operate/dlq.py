"""Dead letters: look at them, and send them back where they came from."""

from collections.abc import Iterator
from typing import Any

from consumers.dead_letters import dead_letter_topic, origin, original_headers
from streamrec.broker import Broker, Record

NOBODY = "streamrec-nobody"  # a group that commits nothing: its lag is where the topic ends
PATIENCE = 10  # empty polls: the first only connect, and what is old may have been deleted


def dead_letters(broker: Broker, topics: list[str]) -> Iterator[Record]:
    """All dead letters of these topics that the broker keeps at this moment, oldest first per
    partition. What comes later is left out: a replayed one may come back at once."""
    names = [dead_letter_topic(t) for t in topics]
    ends = broker.group_lag(NOBODY, names)
    left = {p for p, n in ends.items() if n}
    subscription, empty = broker.subscribe(names, None, "earliest"), 0
    while left and empty < PATIENCE:
        batches = subscription.poll(0.5, 500)
        empty = 0 if batches else empty + 1
        for partition, records in batches.items():
            yield from (r for r in records if r.offset < ends[partition])
            if records[-1].offset + 1 >= ends[partition]:
                left.discard(partition)
    subscription.close()


def place(record: Record) -> str:
    """`topic/partition/offset` of a dead letter: what `replay` takes."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def described(record: Record) -> dict[str, Any]:
    """One dead letter for people: where from, why, and the beginning of its value."""
    value = (record.value or b"")[:200].decode(errors="replace")
    key = (record.key or b"").decode(errors="replace")
    return {"place": place(record), **origin(record), "key": key, "value": value}


def replay(broker: Broker, topics: list[str], only: set[str]) -> int:
    """Send dead letters back to their topics, byte for byte; `only` names places, empty: all.

    They stay in the dead-letter topic (a topic is a log); one that fails again comes back as a
    new dead letter, and an event that was stored meanwhile is refused as a duplicate.
    """
    publisher, n = broker.publisher(), 0
    for record in dead_letters(broker, topics):
        if only and place(record) not in only:
            continue
        topic = record.topic.removesuffix(".dlq")
        publisher.send(topic, record.key, record.value, original_headers(record))
        n += 1
    publisher.close()
    return n
