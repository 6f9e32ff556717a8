"""The promises of streamrec.rules.RuleStore, kept by Redis and by the fake."""

import pytest

from streamrec.adapters.memory import MemoryRules
from streamrec.events import Match, Rule
from streamrec.rules import RuleStore


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, prefix: str) -> RuleStore:
    if request.param == "memory":
        return MemoryRules()
    from streamrec.adapters.redis_store import RedisRules

    return RedisRules(request.getfixturevalue("redis_connection"), prefix)


def rule(rule_id: str, factor: float = 2.0) -> Rule:
    return Rule(rule_id=rule_id, action="boost", match=Match(tags=["x"]), factor=factor)


def test_rules_are_put_replaced_and_removed_and_every_change_is_seen(store: RuleStore) -> None:
    assert store.all() == [] and store.version() == 0
    store.change([rule("b"), rule("a")], [])
    first = store.version()
    assert first > 0 and store.all() == [rule("a"), rule("b")]
    store.change([rule("b", 3.0)], ["a", "unknown"])
    assert store.all() == [rule("b", 3.0)] and store.version() > first
    store.change([], ["b"])
    assert store.all() == []
