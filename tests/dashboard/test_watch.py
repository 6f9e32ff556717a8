"""A server that is away leaves what was last known, and how old it is; it comes back by itself."""

import threading
import time
from typing import Any

from schedulers.monitor import BEAT_S
from streamrec.adapters.memory import MemoryBoard
from streamrec.dashboard.frame import REFRESH_S
from streamrec.dashboard.site import BEATS
from streamrec.dashboard.watch import STALE_S, TURN_S, Newest, Seen, Source, Watch
from streamrec.errors import RetryLater
from tests.dashboard.page_site import PageSite
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


def test_what_is_dear_to_read_is_read_when_there_is_something_new_and_now_and_then() -> None:
    pointer, reads = ["1"], list[str]()

    def read() -> str:
        if pointer[0] == "away":
            pointer[0] = "2"
            raise RetryLater("Redis is away")
        reads.append(pointer[0])
        return pointer[0]
    source = Source("versions", read, "", every_s=5.0, upon=lambda: pointer[0])
    for now, says, known in ((0.0, "1", ["1"]), (0.5, "1", ["1"]), (1.0, "away", ["1"]),
                             (1.25, "2", ["1", "2"]), (1.5, "2", ["1", "2"]), (6.5, "2", ["1", "2", "2"])):
        pointer[0] = says
        source.turn(now)
        assert reads == known, now


def test_a_version_is_known_as_soon_as_the_pointer_is() -> None:
    there = PageSite()
    site = there.site
    site.facts.turn(0.0)
    site.versions.turn(0.0)
    there.publish("1")
    site.facts.turn(site.facts.every_s)
    site.versions.turn(site.facts.every_s)
    assert [v.version for v in site.versions.seen.value] == ["1"]


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


class Counted(MemoryBoard):
    """Counts what is read of its series."""

    read = 0

    def newest(self, name: str, n: int) -> list[Any]:
        found = super().newest(name, n)
        self.read += len(found)
        return found


def test_of_a_series_only_what_is_new_is_read_again() -> None:
    board = Counted()
    newest = Newest(board, "pulse", 100)
    assert newest.read() == []
    for n in range(500):
        board.append("pulse", {"at": n}, 300)
        assert [b["at"] for b in newest.read()] == list(range(max(0, n - 99), n + 1))
    assert board.read < 500 * 10
    assert newest.read() is newest.read()


def test_a_series_of_which_much_is_new_or_that_begins_anew_is_read_in_full() -> None:
    board = MemoryBoard()
    newest = Newest(board, "pulse", 100)
    for begun in (0, 1000, 50):  # far on; then another, whose clock was set back
        for n in range(begun, begun + 40):
            board.append("pulse", {"at": n}, 40)
        assert [b["at"] for b in newest.read()] == list(range(begun, begun + 40))
    board._series.clear()
    assert newest.read() == []


def test_what_happened_is_on_a_page_within_two_seconds() -> None:
    site = PageSite().site
    idle = 0.2  # that the monitor waits for messages
    assert BEAT_S + idle + max(site.pulse.every_s, TURN_S) + REFRESH_S < 2.0
    for source in (site.facts, site.quality, site.lag, site.reports):
        assert source.every_s + TURN_S + REFRESH_S < 2.0, source.name
    assert BEATS * BEAT_S == 900
