"""A topic as a log: what it holds at this moment, read to its end."""

from collections.abc import Iterator, Mapping

from streamrec.broker import Broker, Partition, Record

NOBODY = "streamrec-nobody"  # a group that commits nothing: its lag is where the topic ends
PATIENCE = 10  # empty polls: the first only connect, and what is old may have been deleted


def ends(broker: Broker, names: list[str]) -> dict[Partition, int]:
    """Where each partition ends."""
    return broker.group_lag(NOBODY, names)


def whole(broker: Broker, names: list[str]) -> Iterator[Record]:
    """All that these topics keep, oldest first per partition."""
    yield from whole_until(broker, names, ends(broker, names))


def whole_until(broker: Broker, names: list[str], until: Mapping[Partition, int]) -> Iterator[Record]:
    """The same, where somebody has asked for the ends already."""
    yield from between(broker, names, {p: 0 for p, n in until.items() if n}, until)


def between(
    broker: Broker, names: list[str], starts: Mapping[Partition, int], until: Mapping[Partition, int]
) -> Iterator[Record]:
    """Records from an offset of each partition of `starts` until another."""
    left = set(starts)
    subscription, empty = broker.subscribe(names, None, "earliest"), 0
    while left and empty < PATIENCE:
        batches = subscription.poll(0.5, 500)
        empty = 0 if batches else empty + 1
        for partition, records in batches.items():
            wanted = range(starts.get(partition, until[partition]), until[partition])
            yield from (r for r in records if r.offset in wanted)
            if records[-1].offset + 1 >= until[partition]:
                left.discard(partition)
    subscription.close()
