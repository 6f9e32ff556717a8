"""Dead letters: look at them, and send them back where they came from."""

from collections.abc import Iterator, Mapping
from typing import Any

from consumers.dead_letters import dead_letter_topic, origin, original_headers
from streamrec.broker import Broker, Partition, Record
from streamrec.errors import NotFound, RetryLater
from streamrec.operate.topic_log import NOBODY, PATIENCE, between, ends, whole_until


def dead_letters(broker: Broker, topics: list[str], group: str = NOBODY) -> Iterator[Record]:
    """All dead letters of these topics that the broker keeps at this moment and that `group` has
    not committed, oldest first per partition. What comes later is left out: a replayed one may
    come back at once."""
    names = [dead_letter_topic(t) for t in topics]
    until = ends(broker, names)
    starts = _starts(broker, names, until, group)
    yield from between(broker, names, {p: n for p, n in starts.items() if n < until[p]}, until)


def _starts(
    broker: Broker, names: list[str], until: Mapping[Partition, int], group: str
) -> dict[Partition, int]:
    """The first offset of each partition that `group` has not committed."""
    # Less than nothing waits where the topic was deleted and made again: then all is new.
    return {p: until[p] - n if n >= 0 else 0 for p, n in broker.group_lag(group, names).items()}


def listed(broker: Broker, topics: list[str], group: str) -> list[dict[str, Any]]:
    """All dead letters for people; `sent_back`: whether a replay of all, which `group` remembers, took it."""
    names = [dead_letter_topic(t) for t in topics]
    until = ends(broker, names)
    starts = _starts(broker, names, until, group)
    return [{**described(r), "sent_back": r.offset < starts.get(Partition(r.topic, r.partition), 0)}
            for r in whole_until(broker, names, until)]


def place(record: Record) -> str:
    """`topic/partition/offset` of a dead letter: what `replay` takes."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def described(record: Record) -> dict[str, Any]:
    """One dead letter for people: since when (epoch s), where from, why, and the beginning of its value."""
    value = (record.value or b"")[:200].decode(errors="replace")
    key = (record.key or b"").decode(errors="replace")
    unknown = {"topic": "?", "partition": "?", "offset": "?", "message": ""}  # somebody else wrote it
    found = {"place": place(record), **unknown, **origin(record), "key": key, "value": value}
    return found | {"at": record.timestamp / 1000}


def replay(broker: Broker, topics: list[str], only: set[str], group: str) -> int:
    """Send dead letters back to their topics, byte for byte; `only` names places, empty: all that
    were not sent back before, which `group` remembers (in Kafka: for a week by default).

    They stay in the dead-letter topic (a topic is a log); one that fails again comes back as a
    new dead letter, and an event that was stored meanwhile is refused as a duplicate. Raises NotFound,
    before anything is sent, for a place where none is.
    """
    chosen = _named(broker, topics, only) if only else dead_letters(broker, topics, group)
    publisher, n, done = broker.publisher(), 0, dict[Partition, int]()
    for record in chosen:
        topic = record.topic.removesuffix(".dlq")
        publisher.send(topic, record.key, record.value, original_headers(record))
        done[Partition(record.topic, record.partition)] = record.offset + 1
        n += 1
    publisher.flush()
    publisher.close()
    if not only:
        _remember(broker, group, done)
    return n


def _named(broker: Broker, topics: list[str], places: set[str]) -> list[Record]:
    found = [r for r in dead_letters(broker, topics) if place(r) in places]
    if missing := sorted(places - {place(r) for r in found}):
        raise NotFound(f"no dead letter {missing[0]!r}, nothing was sent back: `streamrec dlq list` shows "
                       "the places")
    return found


def _remember(broker: Broker, group: str, done: Mapping[Partition, int]) -> None:
    """Commit as the only member of the group. Raises RetryLater: the next replay sends again
    what this one has sent, and the copies are refused as duplicates."""
    if not done:
        return
    member = broker.subscribe(sorted({p.topic for p in done}), group, "earliest")
    try:
        for _ in range(PATIENCE * 4):
            member.poll(0.5, 1)
            if member.assignment() >= set(done):
                return member.commit(done)
        raise RetryLater(f"the group {group} has another member: is another replay running?")
    finally:
        member.close()
