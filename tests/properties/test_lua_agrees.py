"""apply.lua inside Valkey and PartitionState in Python decide the same, event by event."""

import random
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from streamrec.adapters.memory import MemoryBuffer
from streamrec.config import Buffer
from streamrec.errors import Fenced
from streamrec.replay import Applied, ReplayBuffer, a_res_key, digest

pytestmark = pytest.mark.server
USERS = [f"u{i}" for i in range(6)] + ["ü:{}%", "dismiss"]
ITEMS = [f"i{i}" for i in range(9)] + ["i1\u2028", "dismiss", "x" * 40]
KINDS = ["click", "read", "like", "dismiss", "impression", "dead"]
START = 1_700_000_000


def stream(seed: int, n: int) -> list[tuple[Any, ...]]:
    """`n` events without offset and key; from a seed, because drawing each field is slow."""
    r = random.Random(seed)
    return [
        (r.randint(0, 250), r.choice(USERS), r.choice(ITEMS), r.choice(KINDS),
         START + r.randint(-50_000, 50_000) + r.choice([0.0, 0.25, 0.1]),
         r.choices(ITEMS, k=r.randint(0, 4)), r.choice([1.0, 0.5, 0.1, 0.3333]))
        for _ in range(n)
    ]


small = st.fixed_dictionaries({
    "history": st.integers(1, 8), "row_history": st.integers(1, 5), "seen_max": st.integers(1, 150),
    "seen_age_s": st.sampled_from([5.0, 1e6]), "window_rows": st.integers(1, 40),
    "reservoir_bytes": st.integers(1, 2500), "user_cap": st.integers(1, 6),
    "item_cap": st.integers(1, 6), "half_lives_s": st.just((100.0, 5000.0, 1e6)),
})


class Agreement(RuleBasedStateMachine):
    """The same calls to both; after each, everything that can be read is equal."""

    connection: Any = None

    @initialize(values=small)
    def begin(self, values: dict[str, Any]) -> None:
        from streamrec.adapters.redis_buffer import RedisBuffer

        s = Buffer(**values)
        redis = RedisBuffer(self.connection, f"agree{uuid.uuid4().hex}", s)
        self.both: tuple[ReplayBuffer, ReplayBuffer] = (redis, MemoryBuffer(s))
        self.settings = s
        self.now, self.generation, self.incarnation = float(START), 1, "x"
        self.offsets = {0: 0, 1: 0}
        self.last: dict[int, list[Applied]] = {0: [], 1: []}
        for p in self.offsets:
            self.claim(p)

    def each(self, call: Any) -> Any:
        def tried(buffer: ReplayBuffer) -> Any:
            try:
                return call(buffer)
            except Fenced:
                return "fenced"
        redis, memory = (tried(b) for b in self.both)
        assert redis == memory
        return redis

    def claim(self, p: int) -> None:
        claims = self.__dict__.setdefault("claims", {})
        claims[p] = self.each(lambda b: b.claim(p, self.incarnation, self.generation))

    def apply(self, p: int, events: list[Applied], end: int) -> None:
        self.each(lambda b: b.apply(p, self.claims[p], self.incarnation, events, end, self.now))

    @rule(p=st.sampled_from([0, 1]), seed=st.integers(0, 10**6), size=st.integers(0, 60))
    def batch(self, p: int, seed: int, size: int) -> None:
        events = []
        for n, (event_id, *rest) in enumerate(stream(seed, size)):
            d = digest(f"{p}e{event_id}")
            events.append(Applied(self.offsets[p] + n, d, f"{p}e{event_id}", *rest, a_res_key(d), n / 3))
        self.offsets[p] += len(events)
        self.last[p] = events
        self.apply(p, events, self.offsets[p])

    @rule(p=st.sampled_from([0, 1]))
    def redelivery(self, p: int) -> None:
        self.apply(p, self.last[p], self.offsets[p])

    @rule(seconds=st.sampled_from([1.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(p=st.sampled_from([0, 1]))
    def rebalance(self, p: int) -> None:
        self.generation += 1
        self.claim(p)

    @rule(p=st.sampled_from([0, 1]))
    def a_zombie_writes(self, p: int) -> None:
        stale = self.claims[p]._replace(generation=self.generation + 1)
        self.each(lambda b: b.apply(p, stale, self.incarnation, self.last[p], 10**6, self.now))

    @rule()
    def the_topic_is_made_again(self) -> None:
        self.incarnation += "x"
        for p in self.offsets:
            self.offsets[p], self.last[p] = 0, []
            self.claim(p)

    @invariant()
    def all_that_is_read_is_equal(self) -> None:
        if not hasattr(self, "both"):
            return
        counts = self.each(lambda b: b.counts())
        assert counts.reservoir_bytes <= 2 * self.settings.reservoir_bytes  # two partitions
        self.each(lambda b: b.rows_total())
        self.each(lambda b: b.histories(USERS))
        self.each(lambda b: b.popularity({})[1])
        self.each(lambda b: b.reservoir())
        self.each(lambda b: b.window({}, 1000))
        self.each(lambda b: b.window({0: 7}, 5))


def test_lua_and_python_agree_on_any_stream(redis_connection: Any) -> None:
    Agreement.connection = redis_connection
    run_state_machine_as_test(Agreement, settings=settings(
        max_examples=80, stateful_step_count=25, deadline=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    ))
