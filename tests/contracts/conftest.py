"""The brokers under contract, a topic of two partitions, and members that leave at the end."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import Broker, Subscription, TopicSpec


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.server)])
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "memory":
        return MemoryBroker()
    return request.getfixturevalue("kafka_broker")


@pytest.fixture
def topic(broker: Broker, prefix: str) -> str:
    broker.create_topics([TopicSpec(f"{prefix}.t", 2, 1, {})])
    return f"{prefix}.t"


@pytest.fixture
def join(broker: Broker) -> Iterator[Callable[..., Subscription]]:
    """Subscribe, and leave the group when the test ends."""
    opened: list[Subscription] = []

    def subscribe(topics: Any, group: str | None, start: str = "earliest") -> Subscription:
        opened.append(broker.subscribe([topics], group, start))
        return opened[-1]

    yield subscribe
    for subscription in opened:
        subscription.close()
