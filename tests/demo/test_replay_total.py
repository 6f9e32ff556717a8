"""The total that `replay` shows is what it publishes, with a limit of events too."""

import pytest

from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import TopicSpec
from streamrec.events import Article, Feedback
from streamrec.operate.replay import publish_log, to_publish


def stream() -> list[tuple[float, Article | Feedback]]:
    """Three articles before each of four events, and two after the last."""
    found: list[tuple[float, Article | Feedback]] = []
    for n in range(4):
        found += [(n, Article(item_id=f"a{n}{i}")) for i in range(3)]
        found.append((n, Feedback(event_id=f"e{n}", user_id="u", event_type="click", item_id="a",
                                  timestamp=float(n))))
    return found + [(9, Article(item_id=f"late{i}")) for i in range(2)]


@pytest.mark.parametrize("limit", [None, 1, 2, 4, 99])
def test_the_total_is_what_is_published(limit: int | None) -> None:
    broker = MemoryBroker()
    broker.create_topics([TopicSpec(t, 1, 1, {}) for t in ("a", "f")])
    seen: list[int] = []
    publish_log(iter(stream()), broker.publisher(), "a", "f", None, limit, lambda a, e: seen.append(a + e))
    assert seen[-1] == to_publish(stream(), limit)
