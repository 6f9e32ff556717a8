"""Dead letters that are named are sent back, or the place where none is is told."""

import pytest

from streamrec.broker import Broker, TopicSpec
from streamrec.errors import NotFound
from streamrec.operate import dlq


def test_a_place_where_no_letter_is_sends_nothing_back(broker: Broker, prefix: str) -> None:
    topic = f"{prefix}.feedback.v1"
    broker.create_topics([TopicSpec(name, 1, 1, {}) for name in (topic, f"{topic}.dlq")])
    publisher = broker.publisher()
    publisher.send(f"{topic}.dlq", b"k", b"no good")
    publisher.flush()
    publisher.close()
    for gone in ("nonsense", f"{topic}.dlq/0/7"):
        with pytest.raises(NotFound, match=f"no dead letter '{gone}'.*dlq list"):
            dlq.replay(broker, [topic], {f"{topic}.dlq/0/0", gone}, f"{prefix}-replay")
    assert broker.group_lag(f"{prefix}-look", [topic])[(topic, 0)] == 0  # type: ignore[index]
    assert dlq.replay(broker, [topic], {f"{topic}.dlq/0/0"}, f"{prefix}-replay") == 1
