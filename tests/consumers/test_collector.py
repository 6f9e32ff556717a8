"""Feedback into the buffer: each event once, whatever crashes, and a request for each reader."""

import threading
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from consumers.collector import SLATE_KEPT
from streamrec.adapters.traces import OtelTracer
from streamrec.config import Traces
from streamrec.errors import Fenced, RetryLater
from streamrec.events import Feedback, encode
from streamrec.replay import a_res_key, digest
from streamrec.traces import trace_of, traced

FEEDBACK, DLQ = "s.feedback.v1", "s.feedback.v1.dlq"


def test_events_are_applied_and_fresh_lists_asked_for(world: Any) -> None:
    loop = world.collector()
    for user, item in (("u", "a"), ("v", "a"), ("u", "b")):
        world.click(user, item)
    world.turns(loop)
    assert world.buffer.counts().stored == 3
    assert [r.item for r in world.buffer.histories(["u"])["u"]] == ["b", "a"]
    assert sorted(world.asked()) == ["u", "v"]


def test_an_impression_asks_for_nothing(world: Any) -> None:
    shown = Feedback(event_id="e", user_id="u", event_type="impression",
                     timestamp=world.clock.now(), impression=["a"])
    world.send(FEEDBACK, b"u", encode(shown))
    world.turns(world.collector())
    assert world.buffer.counts().impressions == 1 and world.asked() == []


def test_after_a_crash_nothing_is_applied_twice_and_owed_requests_go_out_again(world: Any) -> None:
    loop = world.collector()
    world.click("u", "a")
    world.turns(loop)
    before = len(world.asked())
    world.click("u", "b")
    loop.turn()
    loop.handler.settle()  # applied, but the throttle has not let it commit
    world.crash(loop)
    world.turns(world.collector())
    counts = world.buffer.counts()
    assert (counts.stored, counts.duplicates, counts.rows) == (2, 0, 2)
    assert world.asked()[before:] == ["u", "u"]


def test_what_a_redis_that_came_back_from_an_older_copy_lacks_is_read_again(world: Any) -> None:
    loop = world.collector()
    world.click("u", "a0")
    world.turns(loop)
    older = deepcopy(world.buffer)
    for n in range(1, 4):
        world.click("u", f"a{n}")
    world.turns(loop)
    assert sum(world.broker._groups["collect"].committed.values()) == 4
    world.crash(loop)
    world.turns(world.collector(older))
    assert (older.counts().stored, older.counts().duplicates) == (4, 0)


def test_two_collectors_share_the_work_and_lose_none_when_one_dies(world: Any) -> None:
    one, two = world.collector(), world.collector()
    world.turns(one)
    world.turns(two)
    for i in range(40):
        world.click(f"u{i % 8}", f"i{i}")
    one.turn()
    two.turn()
    world.crash(one)
    for i in range(40, 60):
        world.click(f"u{i % 8}", f"i{i}")
    world.turns(two, 4)
    assert world.buffer.counts().stored == 60 and world.buffer.counts().duplicates == 0


def test_a_zombie_writes_nothing_after_a_rebalance(world: Any) -> None:
    zombie = world.collector()
    world.turns(zombie)
    poll = zombie.subscription.poll

    def slow_poll(*args: Any) -> Any:
        """Stalls after its poll; meanwhile another member takes the partitions."""
        found = poll(*args)
        if found:
            zombie.subscription.poll = poll
            world.crash(zombie)
            world.turns(world.collector())
        return found

    zombie.subscription.poll = slow_poll
    world.click("u", "a")
    zombie.turn()
    assert world.buffer.counts().stored == 1 and world.buffer.counts().duplicates == 0


def test_a_topic_made_again_is_read_from_its_beginning(world: Any) -> None:
    loop = world.collector()
    for i in range(5):
        world.click("u", f"i{i}")
    world.turns(loop)
    world.crash(loop)
    world.broker.delete_topic(FEEDBACK)
    world.make_topics()
    world.click("u", "new")
    world.click("u", "i0", event_id="e1")  # its id is still known
    world.turns(world.collector())
    counts = world.buffer.counts()
    assert (counts.stored, counts.duplicates) == (6, 1)


def test_bad_messages_become_dead_letters_and_the_rest_goes_on(world: Any) -> None:
    world.click("u", "a")
    world.send(FEEDBACK, b"u", b"not json", [("trace", b"\x00\xff")])
    world.send(FEEDBACK, b"u", None)
    world.click("u", "b")
    world.turns(world.collector())
    counts = world.buffer.counts()
    assert (counts.stored, counts.dead) == (2, 2)
    first, second = world.records(DLQ)
    assert (first.key, first.value, first.headers[0]) == (b"u", b"not json", ("trace", b"\x00\xff"))
    assert second.value is None and world.board.total("dead_letters") == 2


def test_while_redis_is_away_events_wait_and_are_then_applied_once(world: Any) -> None:
    class Away:
        """The buffer, behind a connection that breaks three times."""

        breaks = 3

        def __getattr__(self, name: str) -> Any:
            if name == "apply" and self.breaks:
                self.breaks -= 1
                raise RetryLater("Redis: connection refused")
            return getattr(world.buffer, name)

    loop = world.collector(Away())
    loop.turn()
    for i in range(10):
        world.click("u", f"i{i}")
    world.turns(loop)
    assert world.buffer.counts().stored == 10 and world.buffer.counts().duplicates == 0
    assert loop.subscription.lag() == 0


def test_a_topic_made_anew_while_we_read_it_is_read_from_its_start(world: Any) -> None:
    loop = world.collector()
    for i in range(5):
        world.click("u", f"a{i}")
    world.turns(loop)
    world.broker.delete_topic(FEEDBACK)
    world.make_topics()
    for i in range(3):
        world.click("u", f"b{i}")
    for partition in loop.subscription.assignment():
        loop.subscription.seek(partition, 0)  # what a client does whose offset is out of range
    world.turns(loop)
    assert world.buffer.counts().stored == 8


def test_an_event_from_a_clock_that_runs_ahead_counts_as_of_now(world: Any) -> None:
    loop = world.collector()
    world.sent = 3600  # the fixture's next click lies an hour ahead
    world.click("u", "a")
    world.turns(loop)
    assert world.buffer.histories(["u"])["u"][0].ts <= world.clock.now()


def test_a_row_holds_how_long_the_article_was_read(world: Any) -> None:
    """A click says nothing of it, leaving at once does, and no read lasts more than a day."""
    loop = world.collector()
    for n, value in enumerate((None, 0.0, 12.5, 1e39)):
        world.click("u", f"a{n}", event_value=value)
    world.turns(loop)
    rows = sorted((w.row for w in world.buffer.window({}, 9)), key=lambda row: row.item)
    assert [row.dwell for row in rows] == [-1.0, 0.0, 12.5, 86_400.0]


def test_a_row_holds_its_propensity_its_weight_and_what_of_the_slate_was_seen(world: Any) -> None:
    loop = world.collector(weights={"click": 2.5})
    world.click("u", "a", event_id="e", propensity=0.25, impression=[f"i{n}" for n in range(99)])
    world.turns(loop)
    (row,) = (w.row for w in world.buffer.window({}, 9))
    assert (row.propensity, row.slate) == (0.25, [f"i{n}" for n in range(SLATE_KEPT)])
    assert row.key == a_res_key(digest("e"), 2.5) != a_res_key(digest("e"))


def test_the_next_poll_does_not_wait_for_redis_but_the_commit_does(world: Any) -> None:
    gate = threading.Event()

    class Slow:
        """The buffer, behind a server that answers when the gate opens."""

        def __getattr__(self, name: str) -> Any:
            if name == "apply":
                assert gate.wait(10)
            return getattr(world.buffer, name)

    loop = world.collector(Slow())
    gate.set()
    world.turns(loop)
    gate.clear()
    for i in range(2):
        world.click("u", f"i{i}")
        loop.turn()
    assert world.buffer.counts().stored == 0 and loop.subscription.lag() == 0
    assert not world.broker._groups["collect"].committed
    settle = loop.handler.settle
    loop.handler.settle = lambda: (gate.set(), settle())[1]
    world.turns(loop, 1)
    assert world.buffer.counts().stored == 2
    assert sum(world.broker._groups["collect"].committed.values()) == 2


def test_a_zombie_that_owes_chunks_writes_none_of_them(world: Any) -> None:
    zombie, gate = world.collector(), threading.Event()
    world.turns(zombie)
    apply, zombie.handler._buffer = zombie.handler._buffer.apply, mock.Mock(wraps=world.buffer)
    zombie.handler._buffer.apply = lambda *args: (gate.wait(10), apply(*args))[1]
    for i in range(3):
        world.click("u", f"i{i}")
        zombie.turn()
    world.crash(zombie)
    world.turns(world.collector())
    gate.set()
    with pytest.raises(Fenced):
        zombie.handler.settle()
    counts = world.buffer.counts()
    assert (counts.stored, counts.duplicates, counts.rows) == (3, 0, 3)


def test_a_click_is_followed_to_its_request_though_its_read_comes_with_it(world: Any, tmp_path: Path) -> None:
    tracer = OtelTracer(Traces(to=str(tmp_path / "spans.jsonl"), share=1.0), "collect")
    loop = world.collector(tracer=tracer)
    world.click("u", "a", event_id="the click")
    world.click("u", "a", event_id="its read")
    world.turns(loop)
    tracer.close()
    [request] = world.records("s.requests.v1")
    assert traced(request.headers) == {"u": trace_of("the click")}
    assert (tmp_path / "spans.jsonl").read_text().count('"collect"') == 2
