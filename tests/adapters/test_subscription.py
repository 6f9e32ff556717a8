"""What kafka-python forgets, or remembers for too long, between two polls."""

import time
from typing import Any

import pytest

from streamrec.broker import Partition, TopicSpec

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
MESSAGES = 40


def test_what_was_committed_is_not_read_again_after_a_rebalance(kafka_broker: Any, prefix: str) -> None:
    """The client asks what is committed while we do, and may be answered after we have sought a place."""
    kafka_broker.create_topics([TopicSpec(prefix, 4, 1, {})])
    publisher = kafka_broker.publisher()
    for n in range(MESSAGES):
        publisher.send(prefix, str(n).encode(), b"v")
    publisher.flush()
    for n in range(3):
        assert read_again(kafka_broker.subscribe([prefix], f"{prefix}-{n}")) == 0
    publisher.close()


def read_again(subscription: Any) -> int:
    """How many messages come after a rebalance though all of them were committed before it."""
    end = time.monotonic() + 30
    while not subscription.assignment():
        assert time.monotonic() < end, "partitions are ours"
        subscription.poll(0.0, 1)
    for partition in subscription.assignment():
        assert subscription.committed(partition) is None
        subscription.seek(partition, -2)
    done: dict[Partition, int] = {}
    while sum(done.values()) < MESSAGES:
        done |= {p: records[-1].offset + 1 for p, records in subscription.poll(0.05, 500).items()}
    subscription.commit(done)
    subscription.poll(0.05, 500)
    topic = next(iter(done)).topic
    subscription._consumer.unsubscribe()  # as if the group had given us up during an outage
    subscription._consumer.subscribe([topic])
    end, came = time.monotonic() + 30, 0
    while time.monotonic() < end:
        came += sum(map(len, subscription.poll(0.5, 500).values()))
        if len(subscription.assignment()) == len(done) and end - time.monotonic() > 2:
            end = time.monotonic() + 2
    subscription.close()
    return came
