"""Serving and training count as the buffer does, and one feature definition serves both."""

import random

import numpy as np

from streamrec import replay
from streamrec.config import Buffer
from streamrec.model import counters as module
from streamrec.model.counters import Counters
from streamrec.model.features import FEATURES, co_feature, item_features, join
from streamrec.replay import Applied, PartitionState, Popularity, bump

T = 1_700_000_000.0
BUFFER = Buffer(co_keep=5)


def test_the_landmark_is_the_buffers():
    assert module.LANDMARK == replay.LANDMARK


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


def test_features_from_walking_rows_equal_features_from_the_buffer():
    """What the trainer computes at an instant is what the scorer would have computed then."""
    rng = random.Random(2)
    buffers = {p: PartitionState(BUFFER) for p in range(2)}
    walked, walked_rows = Counters(BUFFER), dict.fromkeys(buffers, 0)
    claims = {p: buffer.claim("i", 0) for p, buffer in buffers.items()}
    for n in range(400):
        user, item, ts = f"u{rng.randrange(12)}", f"a{rng.randrange(30)}", T + 60.0 * n
        p = int(user[1:]) % 2
        event = Applied(n, replay.digest(f"e{n}"), f"e{n}", user, item, "click", ts, [], 1.0, -1.0)
        buffers[p].apply(claims[p], "i", [event], n + 1, ts)
        for ordinal in range(walked_rows[p] + 1, buffers[p].counts.rows + 1):
            row = buffers[p].window[ordinal]
            walked.bump(p, row.item, row.ts)
            walked.co_add(p, row.history[: replay.CO_LAST], row.item, row.ts)
        walked_rows[p] = buffers[p].counts.rows
    now, last = T + 60.0 * 500, ["a1", "a2", "a3"]
    served = Counters(BUFFER)
    for item in walked.ids:
        for p, buffer in buffers.items():
            if item in buffer.popularity:
                pop = buffer.popularity[item]
                served.update(p, item, pop.t0, pop.values, pop.total)
            served.publish(item, T)
            walked.publish(item, T)
    scale = 2.0 ** (-(now - replay.LANDMARK) / BUFFER.co_half_life_s)
    from_buffer = [{k: w * scale for k, w in b.co[i].items()}
                   for i in last for b in buffers.values() if i in b.co]
    from_rows = walked.co_query([walked.index[i] for i in last], now)
    left = join(item_features(served, now), co_feature(from_buffer, served.ids))
    right = join(item_features(walked, now), co_feature(from_rows, list(range(len(walked)))))
    assert left.shape == (len(walked), len(FEATURES))
    assert served.ids == walked.ids and np.allclose(left, right, atol=1e-6)
    assert right[:, FEATURES.index("co_read")].max() > 0


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
