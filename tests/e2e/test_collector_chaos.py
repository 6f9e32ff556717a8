"""kill -9 of collectors under load: no event lost, none doubled - and auto-commit fails the same.

`make chaos` runs this with CHAOS_KILLS=50.
"""

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from streamrec.config import Buffer
from streamrec.replay import PartitionState, merge_histories, merge_reservoirs
from tests.e2e.harness import Stack, wait_until
from tests.e2e.load import ARTICLES, READERS, Load, kill_under_load, on_paper, whole_topic

KILLS = int(os.environ.get("CHAOS_KILLS", "5"))
CONTROL_KILLS = 5  # each doubles thousands: auto-commit waits 5 s, longer than a worker lives
RATE = 3000.0
ROOMY = Buffer(row_history=5, seen_max=5_000_000, window_rows=5_000_000, user_cap=20, item_cap=20,
               reservoir_bytes=100_000_000)
pytestmark = [pytest.mark.server, pytest.mark.timeout(120 + 10 * KILLS)]


def test_no_event_is_lost_or_doubled_when_collectors_are_killed(stack: Stack) -> None:
    stack.configure(buffer=ROOMY)
    buffer = stack.parts.buffer
    with Load(stack.parts.broker, stack.topic("feedback"), RATE) as load:
        kill_under_load(
            lambda: stack.start("collect"), lambda: buffer.counts().stored, KILLS,
            random.Random(KILLS),
        )
    log = whole_topic(stack.parts.broker, stack.topic("feedback"))
    messages = len(load.sent) + load.redelivered + load.invalid
    assert sum(map(len, log.values())) == messages, "Kafka holds what was published"
    wait_until(lambda: drained(stack, messages), 60, "everything published is in the buffer")

    assert buffer.audit(load.sent) == (len(load.sent), 0)
    states = on_paper(log, ROOMY)
    same_counts(stack, states, load)
    same_histories(stack, states)
    same_popularity(stack, states)
    same_rows(stack, states)
    letters = whole_topic(stack.parts.broker, stack.topic("feedback") + ".dlq")
    assert sum(map(len, letters.values())) >= load.invalid
    print(f"{KILLS} kills, {messages} messages, {len(load.sent)} events, "
          f"{load.redelivered} redelivered, {load.invalid} invalid: 0 lost, 0 doubled")


def drained(stack: Stack, messages: int) -> bool:
    c = stack.parts.buffer.counts()
    return c.stored + c.duplicates + c.dead >= messages


def same_counts(stack: Stack, states: dict[int, PartitionState], load: Load) -> None:
    found = stack.parts.buffer.counts()
    assert (found.stored, found.duplicates, found.dead) == (
        len(load.sent), load.redelivered, load.invalid)
    for name in ("impressions", "repeats", "rows"):
        want = sum(getattr(s.counts, name) for s in states.values())
        assert getattr(found, name) == want, name


def same_histories(stack: Stack, states: dict[int, PartitionState]) -> None:
    readers = [f"u{i}" for i in range(READERS)]
    found = stack.parts.buffer.histories(readers)
    for reader in readers:
        parts = [s.histories.get(reader, []) for s in states.values()]
        assert found[reader] == merge_histories(parts, ROOMY.history), reader


def same_popularity(stack: Stack, states: dict[int, PartitionState]) -> None:
    _, found = stack.parts.buffer.popularity({})
    for partition, state in states.items():
        assert found.get(partition, {}).keys() == state.popularity.keys()
        for item, want in state.popularity.items():
            got = found[partition][item]
            assert got.total == want.total
            assert got.values == pytest.approx(want.values, rel=1e-9)
    assert len({i for s in states.values() for i in s.popularity}) == ARTICLES


def same_rows(stack: Stack, states: dict[int, PartitionState]) -> None:
    rows = stack.parts.buffer.window({}, 10**9)
    for partition, state in states.items():
        got = {w.ordinal: w.row for w in rows if w.partition == partition}
        assert got == state.window, "each window row once, in order"
    kept = merge_reservoirs(
        [([r for r, _ in s.reservoir.rows.values()], s.reservoir.threshold)
         for s in states.values()], ROOMY.item_cap)
    assert {r.event_id for r in stack.parts.buffer.reservoir()} == {r.event_id for r in kept}


def test_auto_commit_loses_or_doubles_under_the_same_kills(stack: Stack) -> None:
    redis, key = stack.parts.redis.client, f"{stack.prefix}:control"
    script = str(Path(__file__).with_name("autocommit.py"))
    feedback = stack.topic("feedback")
    where = (stack.env["STREAMREC_KAFKA__BOOTSTRAP_SERVERS"], stack.env["STREAMREC_REDIS__URL"])

    with Load(stack.parts.broker, feedback, RATE) as load:
        kill_under_load(
            lambda: stack.start("control", script, *where, feedback, key),
            lambda: redis.llen(key), CONTROL_KILLS, random.Random(KILLS),
        )
    wait_until(lambda: settled(stack, key), 30, "the control has read everything", every=2.0)
    found = Counter(e.decode() for e in redis.lrange(key, 0, -1))
    lost = len(set(load.sent) - found.keys())
    doubled = sum(found.values()) - len(found) - load.redelivered
    print(f"auto-commit, {CONTROL_KILLS} kills, {len(load.sent)} events: {lost} lost, {doubled} doubled")
    assert lost or doubled > 0


_last: dict[str, int] = {}


def settled(stack: Stack, key: str) -> bool:
    n = stack.parts.redis.client.llen(key)
    same, _last[key] = _last.get(key) == n, n
    return same
