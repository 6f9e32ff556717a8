"""Serving and training count as the buffer does, and one feature definition serves both."""

import random

import numpy as np

from streamrec import replay
from streamrec.config import Buffer
from streamrec.model import co_reads
from streamrec.model.counters import Counters
from streamrec.model.features import CO_LAST, FEATURES, all_features, item_features
from streamrec.model.words import Words
from streamrec.replay import Applied, PartitionState, Popularity, bump

T = 1_700_000_000.0
BUFFER = Buffer(co_keep=5)


def test_bump_equals_the_buffers_recursion_on_random_streams():
    rng = random.Random(1)
    counters, expected = Counters(BUFFER), {}
    for _ in range(2000):
        place = rng.randrange(3), f"a{rng.randrange(20)}"
        ts = T + rng.uniform(0, 3e5)  # often late
        zero = Popularity(ts, [0.0] * 3, 0)
        expected[place] = bump(expected.get(place, zero), ts, BUFFER.half_lives_s)
        counters.bump(*place, ts)
    for (partition, item), pop in expected.items():
        p, i = counters.partitions[partition], counters.index[item]
        kept = Popularity(counters.t0[p, i], counters.values[p, i].tolist(), counters.total[p, i])
        assert kept == pop


def test_features_at_training_time_equal_those_at_serving_time():
    """The trainer walks through rows; the scorer takes the buffer's counters and co-read files."""
    rng = random.Random(2)
    buffers = {p: PartitionState(BUFFER) for p in range(2)}
    claims = {p: buffer.claim("i", 0) for p, buffer in buffers.items()}
    walked, served = Counters(BUFFER), Counters(BUFFER)
    for n in range(400):
        user, item, ts = f"u{rng.randrange(12)}", f"a{rng.randrange(30)}", T + 60.0 * n
        p, rows = int(user[1:]) % 2, buffers[int(user[1:]) % 2].counts.rows
        event = Applied(n, replay.digest(f"e{n}"), f"e{n}", user, item, "click", ts, [], 1.0, -1.0)
        buffers[p].apply(claims[p], "i", [event], n + 1, ts)
        if buffers[p].counts.rows > rows:
            row = buffers[p].window[rows + 1]
            walked.bump(p, row.item, row.ts)
            walked.co_add(p, row.history[: CO_LAST], row.item, row.ts)
    for item in reversed(walked.ids):  # the scorer may number articles in another order
        served.publish(item, T)
        walked.publish(item, T)
        for p, buffer in buffers.items():
            pop = buffer.popularity.get(item)
            if pop:
                served.update(p, item, pop.t0, pop.values, pop.total)
    for co_read in co_reads.from_files(co_reads.to_files(walked)):
        served.co_set(*co_read)
    now, found = T + 60.0 * 500, []
    for side in (walked, served):
        at = [side.index[item] for item in walked.ids]
        read, text = [side.index[a] for a in ("a1", "a2", "a3")], np.zeros((len(side), 4))
        text[at, 0] = np.linspace(0, 1, len(at))
        found.append(all_features(side, now, np.array(at), read, text, Words()))
    assert found[0].shape == (len(walked), len(FEATURES))
    assert np.allclose(found[0], found[1], atol=1e-6)
    assert found[0][:, FEATURES.index("co_read")].max() > 0


def test_an_article_keeps_its_strongest_partners_only():
    counters = Counters(BUFFER)
    for n in range(8):
        for _ in range(8 - n):
            counters.co_add(0, ["a"], f"b{n}", T)
    kept = counters.co_query([counters.index["a"]], T)[0]
    assert {counters.ids[i] for i in kept} == {f"b{n}" for n in range(BUFFER.co_keep)}


def test_popularity_halves_in_its_half_life():
    counters = Counters(BUFFER)
    counters.bump(0, "a", T)
    counters.bump(1, "a", T)
    assert np.allclose(counters.decayed(T), 2.0)
    for k, half_life in enumerate(BUFFER.half_lives_s):
        assert np.isclose(counters.decayed(T + half_life)[0, k], 1.0)
    assert counters.totals().tolist() == [2]


def test_an_unknown_publication_time_is_nan():
    counters = Counters(BUFFER)
    counters.publish("a", None)
    counters.publish("b", T)
    age = item_features(counters, T + BUFFER.half_lives_s[0])[:, FEATURES.index("age")]
    assert np.isnan(age[0]) and np.isclose(age[1], np.log(2.0))


def test_a_copy_shares_nothing():
    counters = Counters(BUFFER)
    counters.bump(0, "a", T)
    twin = counters.copy()
    twin.bump(0, "b", T)
    twin.co_add(0, ["a"], "b", T)
    assert len(counters) == 1 and not counters.co
