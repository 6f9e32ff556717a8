"""The promises of streamrec.replay.ReplayBuffer, kept by Redis and by the fake."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from streamrec.adapters.memory import MemoryBuffer
from streamrec.config import Buffer
from streamrec.errors import Fenced
from streamrec.replay import Applied, Claim, ReplayBuffer, a_res_key, digest

NOW = 1_750_000_000.0
Make = Callable[..., ReplayBuffer]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.server)])
def make(request: pytest.FixtureRequest, prefix: str) -> Make:
    """A buffer with these settings; made twice, the Redis one sees the same data."""

    def buffer(**settings: Any) -> ReplayBuffer:
        if request.param == "memory":
            return MemoryBuffer(Buffer(**settings))
        from streamrec.adapters.redis_buffer import RedisBuffer

        connection = request.getfixturevalue("redis_connection")
        return RedisBuffer(connection, prefix, Buffer(**settings))

    return buffer


def event(offset: int, user: str = "u", item: str = "i", kind: str = "click", **more: Any) -> Applied:
    event_id = more.get("event_id", f"e{offset}")
    return Applied(
        offset, digest(event_id), event_id, user, item, kind, more.get("ts", NOW + offset),
        more.get("slate", []), more.get("propensity", 1.0), more.get("key", a_res_key(digest(event_id))),
        more.get("dwell", 0.0),
    )


def reads(offsets: range) -> list[Applied]:
    """One reader, each article once."""
    return [event(i, item=f"i{i}") for i in offsets]


def apply(buffer: ReplayBuffer, claim: Claim, events: Sequence[Applied], **more: Any) -> Any:
    next_offset = more.get("next_offset", events[-1].offset + 1 if events else 0)
    return buffer.apply(
        more.get("partition", 0), claim, more.get("incarnation", "x"), events, next_offset,
        more.get("now", NOW),
    )


def test_events_prepared_beforehand_are_applied_as_others_are(make: Make) -> None:
    buffer, given = make(), [event(i, user=f"u{i % 7}", item=f"i{i}") for i in range(1200)]
    claims = [buffer.claim(p, "x", 1) for p in (0, 1)]
    assert list(buffer.prepared(given)) == given and list(buffer.prepared([])) == []
    apply(buffer, claims[0], given)
    for start in range(0, 1200, 400):
        some = buffer.prepared(given[start : start + 400])
        assert apply(buffer, claims[1], some, partition=1).stored == 400
    rows = buffer.window({}, 10**6)
    plain, prepared = ([w.row for w in rows if w.partition == p] for p in (0, 1))
    assert plain == prepared and len(plain) == 1200


def test_a_batch_delivered_twice_is_applied_once(make: Make) -> None:
    buffer = make()
    claim = buffer.claim(0, "x", 1)
    assert claim == Claim(None, 1)
    for stored in (5, 0, 0):
        assert apply(buffer, claim, reads(range(5))).stored == stored
    assert buffer.claim(0, "x", 2) == Claim(5, 2)
    assert buffer.counts().stored == buffer.counts().rows == len(buffer.reservoir()) == 5


def test_an_overlapping_batch_adds_only_what_is_past_the_offset(make: Make) -> None:
    buffer = make()
    claim = buffer.claim(0, "x", 1)
    apply(buffer, claim, reads(range(5)))
    assert apply(buffer, claim, reads(range(3, 8))).stored == 3
    assert [r.row.item for r in buffer.window({}, 99)] == [f"i{i}" for i in range(8)]


def test_the_offset_never_goes_back(make: Make) -> None:
    buffer = make()
    claim = buffer.claim(0, "x", 1)
    apply(buffer, claim, reads(range(5)))
    apply(buffer, claim, reads(range(2)))
    apply(buffer, claim, [], next_offset=9)
    assert buffer.claim(0, "x", 1).next_offset == 9


def test_an_event_id_sent_twice_is_a_duplicate(make: Make) -> None:
    buffer = make()
    claim = buffer.claim(0, "x", 1)
    one, two, three = (event(i, item=f"i{i}", event_id="same") for i in range(3))
    assert apply(buffer, claim, [one, two]).duplicates == 1
    assert apply(buffer, claim, [three]).duplicates == 1
    assert (buffer.counts().stored, buffer.counts().duplicates) == (1, 2)


def test_ids_are_forgotten_by_age_and_by_number(make: Make) -> None:
    buffer = make(seen_max=6, seen_age_s=100.0)
    claim = buffer.claim(0, "x", 1)
    apply(buffer, claim, [event(0, event_id="a")])
    assert apply(buffer, claim, [event(1, event_id="a")], now=NOW + 49).duplicates == 1
    assert apply(buffer, claim, [event(2, event_id="a")], now=NOW + 99).duplicates == 1
    apply(buffer, claim, [event(3, event_id="b")], now=NOW + 151)
    assert apply(buffer, claim, [event(4, event_id="a")], now=NOW + 152).stored == 1
    apply(buffer, claim, reads(range(5, 8)), now=NOW + 153)  # half of what may be remembered
    assert apply(buffer, claim, [event(8, event_id="b")], now=NOW + 153).duplicates == 1
    apply(buffer, claim, reads(range(9, 12)), now=NOW + 153)
    assert apply(buffer, claim, [event(12, event_id="b")], now=NOW + 153).stored == 1


def test_an_older_generation_is_fenced_from_claiming_and_from_writing(make: Make) -> None:
    buffer = make()
    old = buffer.claim(0, "x", 1)
    new = buffer.claim(0, "x", 2)
    with pytest.raises(Fenced):
        apply(buffer, old, reads(range(3)))
    with pytest.raises(Fenced):
        buffer.claim(0, "x", 1)
    assert buffer.counts().stored == 0
    assert apply(buffer, new, reads(range(3))).stored == 3


def test_a_topic_made_again_starts_anew_and_knows_its_ids(make: Make) -> None:
    buffer = make()
    claim = buffer.claim(0, "x", 7)
    apply(buffer, claim, reads(range(5)))
    fresh = buffer.claim(0, "y", 1)  # the group's generations start anew as well
    assert fresh.next_offset is None
    with pytest.raises(Fenced):
        apply(buffer, claim, reads(range(5, 6)))
    counts = apply(buffer, fresh, [event(0), event(1, event_id="new")], incarnation="y")
    assert (counts.stored, counts.duplicates) == (1, 1)


def test_who_holds_a_topic_that_was_made_again_is_fenced_though_the_group_counts_on(make: Make) -> None:
    buffer = make()
    old = buffer.claim(0, "x", 7)
    buffer.claim(0, "y", 7)
    with pytest.raises(Fenced):
        apply(buffer, old, reads(range(5)))
    assert buffer.counts().stored == 0


def test_of_a_batch_of_any_length_no_event_is_taken_for_an_old_one(make: Make) -> None:
    buffer = make()
    assert apply(buffer, buffer.claim(0, "x", 1), reads(range(501))).stored == 501
    assert buffer.counts().stored == buffer.counts().rows == 501


def test_histories_are_newest_first_and_an_article_is_in_once(make: Make) -> None:
    buffer = make()
    claim = buffer.claim(0, "x", 1)
    apply(buffer, claim, [event(0, item="a"), event(1, item="b"), event(2, item="a", kind="like")])
    found = buffer.histories(["u", "nobody"])
    assert [(r.item, r.kind, r.ts) for r in found["u"]] == [("a", "like", NOW + 2), ("b", "click", NOW + 1)]
    assert found["nobody"] == [] and buffer.histories([]) == {}


def test_a_dismissed_article_is_remembered_but_is_no_row_and_no_repeat(make: Make) -> None:
    buffer = make()
    claim = buffer.claim(0, "x", 1)
    apply(buffer, claim, [event(0, item="a", kind="dismiss"), event(1, item="b")])
    assert [r.kind for r in buffer.histories(["u"])["u"]] == ["click", "dismiss"]
    assert [r.history for r in buffer.reservoir()] == [[]]  # what it had read, not dismissed
    apply(buffer, claim, [event(2, item="a")])
    assert (buffer.counts().rows, buffer.counts().repeats) == (2, 0)


def test_reading_again_makes_no_row_and_an_impression_no_history(make: Make) -> None:
    buffer = make()
    claim = buffer.claim(0, "x", 1)
    apply(buffer, claim, [event(0), event(1), event(2, item="", kind="impression", slate=["a"])])
    counts = buffer.counts()
    assert (counts.stored, counts.rows, counts.repeats, counts.impressions) == (3, 1, 1, 1)
    assert len(buffer.histories(["u"])["u"]) == 1


def test_a_row_holds_what_was_known_at_its_moment(make: Make) -> None:
    buffer = make(row_history=2)
    claim = buffer.claim(0, "x", 1)
    apply(buffer, claim, reads(range(4)))
    apply(buffer, claim, [event(4, item="z", kind="like", slate=["a", "z"], propensity=0.25, dwell=12.5)])
    row = buffer.window({0: 4}, 9)[0].row
    assert (row.event_id, row.user, row.item, row.kind, row.ts) == ("e4", "u", "z", "like", NOW + 4)
    assert (row.history, row.slate, row.propensity) == (["i3", "i2"], ["a", "z"], 0.25)
    assert row.key == a_res_key(digest("e4")) and row.dwell == 12.5


def test_long_histories_are_cut(make: Make) -> None:
    buffer = make(history=5)
    claim = buffer.claim(0, "x", 1)
    apply(buffer, claim, reads(range(60)))
    assert [r.item for r in buffer.histories(["u"])["u"]] == ["i59", "i58", "i57", "i56", "i55"]


def test_ids_may_hold_anything_printable(make: Make) -> None:
    buffer = make()
    claim = buffer.claim(0, "x", 1)
    odd = ["{x}", "a:b", "%s%d.*[]", "ü日本🙂", " ", "dismiss", "0", "x" * 256]
    apply(buffer, claim, [event(i, user=o, item=o) for i, o in enumerate(odd)])
    assert {u: [r.item for r in h] for u, h in buffer.histories(odd).items()} == {o: [o] for o in odd}
    assert {r.row.item for r in buffer.window({}, 99)} == set(odd)


def test_a_group_that_counts_anew_is_let_in_once_the_old_holder_was_silent(make: Make) -> None:
    buffer = make()
    old = buffer.claim(0, "x", 57, NOW)
    apply(buffer, old, reads(range(3)), now=NOW + 5)
    with pytest.raises(Fenced):
        buffer.claim(0, "x", 1, NOW + 60)
    assert buffer.claim(0, "x", 1, NOW + 66).next_offset == 3
    with pytest.raises(Fenced):
        apply(buffer, old, reads(range(3, 6)), now=NOW + 67)
