"""A server that is away leaves what was last known, and how old it is; it comes back by itself."""

import threading
import time

from streamrec.dashboard.watch import STALE_S, Seen, Source, Watch
from streamrec.errors import RetryLater
from tests.e2e.harness import wait_until


def test_what_was_last_known_stays_while_the_server_is_away() -> None:
    answers: list[object] = [1, RetryLater("Redis is away"), 2]

    def read() -> int:
        found = answers.pop(0)
        if isinstance(found, RetryLater):
            raise found
        return int(str(found))
    source = Source("redis", read, 0, every_s=1.0)
    assert source.seen.value == 0 and source.seen.stale and source.seen.age_s is None
    source.turn(10.0)
    assert source.seen.value == 1 and not source.seen.stale and source.seen.trouble == ""
    source.turn(10.5)  # too soon: nothing is read
    source.turn(11.0)
    assert source.seen.value == 1 and source.seen.trouble == "Redis is away"
    source.turn(12.0)
    assert source.seen.value == 2 and source.seen.trouble == ""


def test_it_is_stale_after_a_while() -> None:
    assert Seen(1, time.monotonic() - STALE_S - 1).stale
    assert not Seen(1, time.monotonic()).stale


def test_a_slow_server_holds_up_its_own_group_only() -> None:
    ended = threading.Event()
    slow = Source("kafka", lambda: ended.wait(60.0), None, every_s=0.0)
    count = iter(range(10_000))
    quick = Source("redis", lambda: next(count), 0, every_s=0.0)
    watch = Watch([slow], [quick], turn_s=0.01)
    watch.start()
    wait_until(lambda: quick.seen.value > 5, 30, "the quick server is read again and again")
    assert quick.seen.value > 5 and slow.seen.at is None
    ended.set()
    watch.stop()
