"""One trainer at a time: the lease and its fencing token, in Redis and in the fake."""

from collections.abc import Callable

import pytest

from streamrec.adapters.memory import MemoryPointers
from streamrec.clock import ManualClock
from streamrec.errors import Fenced
from streamrec.registry import Pointer, PointerStore

Wait = Callable[[float], None]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.server)])
def lease(request: pytest.FixtureRequest, prefix: str) -> tuple[PointerStore, Wait]:
    """The store, and how to let time pass: by hand, for Redis by shortening what is left of the key."""
    if request.param == "memory":
        clock = ManualClock()
        return MemoryPointers(clock), clock.sleep
    from streamrec.adapters.redis_store import RedisPointers

    redis, key = request.getfixturevalue("redis_connection"), f"{prefix}:{{registry}}:lease"

    def wait(seconds: float) -> None:
        left = redis.call(lambda c: c.pttl(key))
        assert left > 0, "a lease that never ends"
        redis.call(lambda c: c.pexpire(key, left - round(1000 * seconds)))

    return RedisPointers(redis, prefix), wait


def test_one_holds_it_and_tokens_grow(lease: tuple[PointerStore, Wait]) -> None:
    store, _ = lease
    first = store.acquire("a", 10)
    assert first is not None and store.acquire("b", 10) is None
    store.release(first)
    second = store.acquire("b", 10)
    assert second is not None and second > first


def test_a_silent_holder_loses_it(lease: tuple[PointerStore, Wait]) -> None:
    store, wait = lease
    old = store.acquire("a", 10)
    wait(15)
    new = store.acquire("b", 10)
    assert old is not None and new is not None and new > old
    assert not store.renew(old, 10) and store.renew(new, 10)


def test_renewing_holds_it_longer(lease: tuple[PointerStore, Wait]) -> None:
    store, wait = lease
    token = store.acquire("a", 20)
    assert token is not None and store.renew(token, 100)
    wait(25)
    assert store.acquire("b", 10) is None


def test_what_was_lost_cannot_be_renewed_nor_released_for_another(
    lease: tuple[PointerStore, Wait],
) -> None:
    store, wait = lease
    old = store.acquire("a", 5)
    wait(10)
    assert old is not None and not store.renew(old, 10)
    new = store.acquire("b", 10)
    store.release(old)
    assert new is not None and store.renew(new, 10)


def test_a_stale_token_cannot_move_the_pointer(lease: tuple[PointerStore, Wait]) -> None:
    store, wait = lease
    stale = store.acquire("a", 5)
    wait(10)
    with pytest.raises(Fenced):
        store.move(Pointer(version="9", attempt=1), 0, stale, None)
    token = store.acquire("b", 10)
    with pytest.raises(Fenced):
        store.move(Pointer(version="9", attempt=1), 0, stale, None)
    assert store.read() == Pointer()
    store.move(Pointer(version="1", attempt=1), 0, token, None)
    assert store.read().version == "1"
