"""The rehearsal reservoir is a fair sample, whatever is delivered twice and in what order."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from streamrec.replay import Reservoir, Row, a_res_key, digest, merge_reservoirs

SIZE = 100
MANY = 10**9


def row(event_id: str, weight: float = 1.0, user: str = "u", item: str = "i") -> Row:
    key = a_res_key(digest(event_id), weight)
    return Row(event_id, user, item, "click", 0.0, [], [], 1.0, key)


def filled(rows: list[Row], keep: int, user_cap: int = MANY, item_cap: int = MANY) -> Reservoir:
    reservoir = Reservoir(keep * SIZE, user_cap, item_cap)
    for r in rows:
        reservoir.offer(r, SIZE)
    reservoir.settle()
    return reservoir


def chi_square(observed: list[int], expected: list[float]) -> float:
    """Probability of so large a deviation if all is well."""
    statistic = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    return float(chi2.sf(statistic, len(observed) - 1))


def test_the_hash_of_an_event_id_is_uniform() -> None:
    u = [math.exp(a_res_key(digest(f"event-{i}"))) for i in range(20_000)]
    assert kstest(u, "uniform").pvalue > 1e-3


def test_each_place_of_a_stream_has_the_same_chance() -> None:
    n, keep, runs = 20, 5, 2000
    kept: Counter[int] = Counter()
    for run in range(runs):
        found = filled([row(f"{run}/{i}") for i in range(n)], keep).rows
        kept.update(int(e.rpartition("/")[2]) for e in found)
    # rows of one reservoir exclude each other, which makes the spread smaller by (n-keep)/(n-1)
    expected = runs * keep / n
    statistic = sum((kept[i] - expected) ** 2 / (expected * (1 - keep / n)) for i in range(n))
    assert chi2.sf(statistic * (n - 1) / n, n - 1) > 1e-3
    assert sum(kept.values()) == runs * keep


def test_the_one_row_kept_is_drawn_in_proportion_to_weight() -> None:
    weights, runs = [1.0, 2.0, 3.0, 0.5], 6000
    kept = Counter(
        next(iter(filled([row(f"{r}/{i}", w) for i, w in enumerate(weights)], 1).rows))[-1]
        for r in range(runs)
    )
    expected = [runs * w / sum(weights) for w in weights]
    assert chi_square([kept[str(i)] for i in range(4)], expected) > 1e-3


def test_of_several_kept_the_weights_count_as_in_drawing_one_by_one() -> None:
    """A-Res equals drawing without replacement, each time in proportion to weight."""
    weights, keep, runs = [1.0, 1.0, 2.0, 4.0, 8.0], 2, 6000
    rng, kept, drawn = random.Random(5), Counter[str](), Counter[str]()
    for r in range(runs):
        kept.update(e[-1] for e in filled([row(f"{r}/{i}", w) for i, w in enumerate(weights)], keep).rows)
        left = dict(enumerate(weights))
        for _ in range(keep):
            pick = rng.choices(list(left), list(left.values()))[0]
            drawn[str(pick)] += 1
            del left[pick]
    for i in range(len(weights)):
        sd = math.sqrt(runs) * 0.71  # two proportions of at most 1/2 each
        assert abs(kept[str(i)] - drawn[str(i)]) < 4.5 * sd


streams = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from("abc"), st.sampled_from("xyz")),
    max_size=80, unique_by=lambda e: e[0],
).map(lambda events: [row(f"e{n}", 1.0, u, i) for n, u, i in events])


@given(streams, st.integers(1, 20), st.data())
def test_what_comes_twice_changes_nothing(rows: list[Row], keep: int, data: st.DataObject) -> None:
    once = filled(rows, keep, 4, 5)
    again = filled(rows, keep, 4, 5)
    twice = data.draw(st.lists(st.sampled_from(rows), max_size=30)) if rows else []
    for r in twice:
        again.offer(r, SIZE)
    again.settle()
    assert (again.rows, again.threshold, again.bytes) == (once.rows, once.threshold, once.bytes)


@given(streams, st.integers(1, 20), st.randoms(use_true_random=False), st.integers(1, 7))
def test_without_caps_neither_order_nor_batches_matter(
    rows: list[Row], keep: int, rng: random.Random, batch: int
) -> None:
    shuffled = rng.sample(rows, len(rows))
    reservoir = Reservoir(keep * SIZE, MANY, MANY)
    for start in range(0, len(rows), batch):
        for r in shuffled[start : start + batch]:
            reservoir.offer(r, SIZE)
        reservoir.settle()
    assert reservoir.rows == filled(rows, keep).rows
    assert {r.key for r, _ in reservoir.rows.values()} == set(
        sorted((r.key for r in rows), reverse=True)[:keep]
    )


@given(streams, st.integers(1, 20), st.integers(1, 5), st.integers(1, 5))
def test_caps_and_budget_hold_after_each_batch(
    rows: list[Row], keep: int, user_cap: int, item_cap: int
) -> None:
    reservoir = Reservoir(keep * SIZE, user_cap, item_cap)
    for start in range(0, len(rows), 7):
        for r in rows[start : start + 7]:
            reservoir.offer(r, SIZE)
        reservoir.settle()
        held = [r for r, _ in reservoir.rows.values()]
        assert reservoir.bytes == SIZE * len(held) <= keep * SIZE
        assert max(Counter(r.user for r in held).values(), default=0) <= user_cap
        assert max(Counter(r.item for r in held).values(), default=0) <= item_cap
        assert all(r.key > reservoir.threshold for r in held)


@given(streams, st.lists(st.integers(0, 2), min_size=80, max_size=80), st.integers(1, 15))
def test_merged_partitions_are_the_largest_keys_of_the_whole_stream(
    rows: list[Row], where: list[int], keep: int
) -> None:
    parts = [filled([r for r, p in zip(rows, where, strict=False) if p == n], keep) for n in range(3)]
    merged = merge_reservoirs([([r for r, _ in p.rows.values()], p.threshold) for p in parts], MANY)
    floor = max(p.threshold for p in parts)
    assert merged == sorted((r for r in rows if r.key > floor), key=lambda r: -r.key)
    one = filled(rows, max(len(merged), 1))
    if merged:  # the very rows that one reservoir of that size over the whole stream keeps
        assert {r.event_id for r in merged} == set(one.rows)


def test_merging_holds_the_cap_of_an_article() -> None:
    parts = [([row(f"{p}/{i}") for i in range(10)], -math.inf) for p in range(3)]
    merged = merge_reservoirs(parts, 4)
    best = sorted((r.key for rows, _ in parts for r in rows), reverse=True)[:4]
    assert [r.key for r in merged] == best


@settings(max_examples=50)
@given(st.floats(1e-6, 1e6), st.text(min_size=1, max_size=20))
def test_keys_are_finite_whatever_the_weight(weight: float, event_id: str) -> None:
    key = a_res_key(digest(event_id), weight)
    assert math.isfinite(key) and key < 0


def test_a_reservoir_of_nothing_keeps_nothing() -> None:
    assert filled([row("a")], 0).rows == {}
    assert merge_reservoirs([], 5) == []
    assert filled([], 3).threshold == -math.inf
    assert pytest.approx(math.exp(a_res_key("0" * 16))) == 0.5 / 2**64
