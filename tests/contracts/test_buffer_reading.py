"""What trainer and scorer read from the buffer: window, popularity, counts, over partitions."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from test_buffer import NOW, Make, apply, event, make, reads  # noqa: F401

from streamrec.replay import Read, WindowRow
from tests.e2e.harness import wait_until


def places(rows: list[WindowRow]) -> list[tuple[int, int]]:
    return [(r.partition, r.ordinal) for r in rows]


def test_the_window_is_what_came_after_the_cursor(make: Make) -> None:  # noqa: F811
    buffer = make()
    claim = buffer.claim(0, "x", 1)
    assert buffer.window({}, 9) == [] and buffer.rows_total() == {0: 0}
    apply(buffer, claim, reads(range(5)))
    assert places(buffer.window({}, 9)) == [(0, n) for n in (1, 2, 3, 4, 5)]
    assert places(buffer.window({0: 3}, 9)) == [(0, 4), (0, 5)]
    assert places(buffer.window({0: 2}, 2)) == [(0, 3), (0, 4)]
    assert buffer.window({0: 5}, 9) == [] and buffer.window({0: 99}, 9) == []
    assert buffer.rows_total() == {0: 5}


def test_the_window_keeps_the_newest_rows_and_their_ordinals(make: Make) -> None:  # noqa: F811
    buffer = make(window_rows=3)
    claim = buffer.claim(0, "x", 1)
    for start in (0, 4):
        apply(buffer, claim, reads(range(start, start + 4)))
    assert places(buffer.window({}, 9)) == [(0, 6), (0, 7), (0, 8)]
    assert [r.row.item for r in buffer.window({0: 6}, 9)] == ["i6", "i7"]
    assert buffer.rows_total() == {0: 8}


def test_over_partitions_the_oldest_rows_come_first_and_none_is_skipped(make: Make) -> None:  # noqa: F811
    buffer = make()
    for p, offsets in ((0, range(0, 20, 2)), (3, range(1, 21, 2))):
        events = [event(i, user=f"u{p}", item=f"i{i}") for i in offsets]
        apply(buffer, buffer.claim(p, "x", 1), events, partition=p)
    cursor: dict[int, int] = {}
    taken: list[str] = []
    while rows := buffer.window(cursor, 4):
        assert all(r.ordinal > cursor.get(r.partition, 0) for r in rows)
        taken += [r.row.item for r in rows]
        for r in rows:
            cursor[r.partition] = max(cursor.get(r.partition, 0), r.ordinal)
    assert taken == [f"i{i}" for i in range(20)]
    assert buffer.rows_total() == {0: 10, 3: 10}


def test_a_row_whose_clock_runs_ahead_has_none_behind_it_skipped(make: Make) -> None:  # noqa: F811
    buffer = make()
    late, b = event(0, item="late", ts=NOW + 9), event(1, item="b", ts=NOW)
    apply(buffer, buffer.claim(0, "x", 1), [late, b])
    c, d = (event(i, item=item, ts=NOW + i + 1, event_id=item) for i, item in enumerate("cd"))
    apply(buffer, buffer.claim(1, "x", 1), [c, d], partition=1)
    cursor: dict[int, int] = {}
    taken: list[str] = []
    while rows := buffer.window(cursor, 2):
        taken += [r.row.item for r in rows]
        for r in rows:
            cursor[r.partition] = max(cursor.get(r.partition, 0), r.ordinal)
    assert sorted(taken) == ["b", "c", "d", "late"]


def test_histories_of_two_partitions_become_one(make: Make) -> None:  # noqa: F811
    buffer = make(history=3)
    for p, offsets in ((0, (0, 2, 9)), (1, (1, 3))):
        events = [event(i, item="same" if i in (9, 1) else f"i{i}") for i in offsets]
        apply(buffer, buffer.claim(p, "x", 1), events, partition=p)
    assert [r.item for r in buffer.histories(["u"])["u"]] == ["same", "i3", "i2"]


def test_popularity_tells_what_changed_since_a_cursor(make: Make) -> None:  # noqa: F811
    buffer = make(half_lives_s=(10.0, 100.0, 1000.0))
    claim = buffer.claim(0, "x", 1)
    apply(buffer, claim, [event(0, user="u", item="a", ts=NOW), event(1, user="v", item="a", ts=NOW + 10)])
    cursor, found = buffer.popularity({})
    assert found[0]["a"].values == pytest.approx([1.5, 1 + 2**-0.1, 1 + 2**-0.01])
    assert (found[0]["a"].t0, found[0]["a"].total) == (NOW + 10, 2)
    assert buffer.popularity(cursor) == (cursor, {})
    apply(buffer, claim, [event(2, user="u", item="b"), event(3, user="u", item="a")])
    later, found = buffer.popularity(cursor)
    assert set(found[0]) == {"b"}  # the second read of `a` by one reader is a repeat
    assert later[0] > cursor[0]


def test_a_late_read_counts_less_and_does_not_turn_the_clock_back(make: Make) -> None:  # noqa: F811
    buffer = make(half_lives_s=(10.0, 10.0, 10.0))
    claim = buffer.claim(0, "x", 1)
    apply(buffer, claim, [event(0, user="u", item="a", ts=NOW), event(1, user="v", item="a", ts=NOW - 10)])
    (_, found) = buffer.popularity({})
    assert found[0]["a"].t0 == NOW and found[0]["a"].values == pytest.approx([1.5] * 3)


def test_counts_add_up_over_partitions(make: Make) -> None:  # noqa: F811
    buffer = make()
    for p in (0, 1):
        apply(buffer, buffer.claim(p, "x", 1), [
            event(0, user=f"u{p}", item="a", event_id=f"{p}a", ts=NOW + p),
            event(1, user=f"u{p}", item="a", event_id=f"{p}a"),
            event(2, user=f"u{p}", item="a", event_id=f"{p}b", ts=NOW - 5),
            event(3, user=f"u{p}", item="", event_id=f"{p}c", kind="impression", ts=NOW - 5),
        ], partition=p)
    c = buffer.counts()
    assert (c.stored, c.duplicates, c.repeats, c.impressions, c.rows) == (6, 2, 2, 2, 2)
    assert c.reservoir_rows == 2 and c.reservoir_bytes > 0 and c.watermark == NOW + 1


def test_a_dead_letter_is_counted_once_and_does_nothing_else(make: Make) -> None:  # noqa: F811
    buffer = make()
    claim = buffer.claim(0, "x", 1)
    dead = event(0, user="", item="", kind="dead")
    for _ in range(2):
        apply(buffer, claim, [dead, event(1)])
    c = buffer.counts()
    assert (c.dead, c.stored, c.duplicates) == (1, 1, 0)


def test_the_reservoir_is_one_sample_over_partitions(make: Make) -> None:  # noqa: F811
    buffer = make(reservoir_bytes=3000)
    for p in (0, 1):
        events = [event(i, user=f"u{p}-{i}", item=f"i{i}", event_id=f"{p}-{i}") for i in range(100 + 300 * p)]
        apply(buffer, buffer.claim(p, "x", 1), events, partition=p)
    kept = buffer.reservoir()
    assert [r.key for r in kept] == sorted((r.key for r in kept), reverse=True)
    everything = [a_key for p in (0, 1) for i in range(100 + 300 * p)
                  if (a_key := event(0, event_id=f"{p}-{i}").key) >= kept[-1].key]
    assert len(everything) == len(kept) > 5  # exactly the largest keys of the whole stream


def test_who_was_turned_away_for_a_better_row_holds_no_place_of_its_article(make: Make) -> None:  # noqa: F811
    buffer = make(user_cap=1, item_cap=1)
    claim = buffer.claim(0, "x", 1)
    for e in (event(0, "u", "a", key=-3.0), event(1, "u", "b", key=-1.0), event(2, "v", "a", key=-2.0)):
        apply(buffer, claim, [e])
    assert {(r.user, r.item) for r in buffer.reservoir()} == {("u", "b"), ("v", "a")}
    assert buffer.counts().reservoir_rows == 2


def test_a_reader_turned_away_comes_in_later_only_with_a_better_row(make: Make) -> None:  # noqa: F811
    """Else which rows stay would hang on the order in which they came."""
    buffer = make(user_cap=1, item_cap=1)
    apply(buffer, buffer.claim(0, "x", 1), [
        event(0, "u", "a", key=-1.0), event(1, "u", "b", key=-2.0), event(2, "v", "a", key=-0.5),
        event(3, "u", "c", key=-3.0),
    ])
    assert {(r.user, r.item) for r in buffer.reservoir()} == {("v", "a")}


def test_a_smaller_budget_after_a_restart_is_kept_from_the_next_batch(make: Make, request) -> None:  # noqa: F811
    if "memory" in request.node.name:
        pytest.skip("what is in memory does not outlive its settings")
    big, n = make(), 0
    claim = big.claim(0, "x", 1)
    for _ in range(19):
        apply(big, claim, [event(n + i, user=f"u{n + i}", item=f"i{n + i}") for i in range(500)])
        n += 500
    assert big.counts().reservoir_rows == n
    small = make(reservoir_bytes=5000)
    apply(small, claim, [event(n, user="last")])
    assert 0 < small.counts().reservoir_bytes <= 5000
    assert len(small.reservoir()) == small.counts().reservoir_rows


def test_a_history_is_read_whole_while_it_is_written(make: Make) -> None:  # noqa: F811
    """Its articles and their times are one, however long the list of readers that is asked for."""
    buffer, over = make(), threading.Event()
    readers = [f"{n:03d}-{'reader' * 12}" for n in range(150)]  # so many that a server reads them in parts
    claims = {p: buffer.claim(p, "x", 1) for p in range(3)}

    def write() -> None:
        for n in itertools.count():
            if over.is_set():
                return
            events = [event(150 * n + i, user=u, item=f"{n}-{'item' * 8}") for i, u in enumerate(readers)]
            apply(buffer, claims[n % 3], events, partition=n % 3)
    with ThreadPoolExecutor(1) as writer:
        written, seen = writer.submit(write), list[dict[str, list[Read]]]()

        def read() -> bool:
            assert not written.done(), written.exception()
            seen.append(found := buffer.histories(readers))
            assert all(h == sorted(h, key=lambda r: -r.ts) for h in found.values())
            assert all(r.ts >= NOW and r.item for h in found.values() for r in h)
            return len(seen) >= 25 and len(found[readers[-1]]) > 1
        try:
            wait_until(read, 60, "histories have grown while they were read", every=0)
        finally:
            over.set()
    assert written.exception() is None and seen[0] != seen[-1]
