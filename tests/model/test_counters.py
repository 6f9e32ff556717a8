"""Serving and training count as the buffer does, and one feature definition serves both."""

import random

import numpy as np
import pytest

from streamrec import replay
from streamrec.config import Buffer
from streamrec.errors import CorruptArtefact
from streamrec.model import co_reads
from streamrec.model.counters import FADE, NEAR_FADE, Counters
from streamrec.model.features import CO, FEATURES, SHARE, all_features, co_features, item_features
from streamrec.model.words import Words
from streamrec.replay import Applied, PartitionState, Popularity, bump

T = 1_700_000_000.0
BUFFER = Buffer(co_keep=5, near_keep=5)


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
            walked.co_add(p, row.history, row.item, row.ts)
    for item in reversed(walked.ids):  # the scorer may number articles in another order
        served.publish(item, T)
        walked.publish(item, T)
        for p, buffer in buffers.items():
            pop = buffer.popularity.get(item)
            if pop:
                served.update(p, item, pop.t0, pop.values, pop.total)
    tables = co_reads.tables(served)
    for table, p, item, partner, weight in co_reads.from_files(co_reads.to_files(walked)):
        tables[table].set(p, served.add(item), served.add(partner), weight)
    now, found = T + 60.0 * 500, []
    for side in (walked, served):
        at = [side.index[item] for item in walked.ids]
        read, text = [side.index[a] for a in ("a1", "a2", "a3")], np.zeros((len(side), 4))
        text[at, 0] = np.linspace(0, 1, len(at))
        found.append(all_features(side, now, np.array(at), read, text, Words()))
    assert found[0].shape == (len(walked), len(FEATURES))
    assert np.allclose(found[0], found[1], atol=1e-6)
    for name in ("co_read", "co_near"):
        assert found[0][:, FEATURES.index(name)].max() > 0


def test_an_article_keeps_its_strongest_partners():
    """Up to twice as many between two cuts; of equals, the first by name."""
    counters = Counters(BUFFER)
    for n in range(2 * BUFFER.co_keep):
        for _ in range(20 - n):
            counters.co_add(0, ["a"], f"b{n}", T)
    everything = counters.co_query([counters.index["a"]], T).after[0]
    assert len(everything) == 2 * BUFFER.co_keep
    counters.co_add(0, ["a"], "late", T)
    kept = counters.co_query([counters.index["a"]], T).after[0]
    assert {counters.ids[i] for i in kept} == {f"b{n}" for n in range(BUFFER.co_keep)}


def test_a_new_partner_has_time_to_outgrow_an_old_one():
    counters = Counters(BUFFER)
    for n in range(BUFFER.co_keep):
        counters.co_add(0, ["a"], f"b{n}", T)
        counters.co_add(0, ["a"], f"b{n}", T)
    for _ in range(3):
        counters.co_add(0, ["a"], "new", T)
    for n in range(BUFFER.co_keep):
        counters.co_add(0, ["a"], f"once{n}", T)
    kept = counters.co_query([counters.index["a"]], T).after[0]
    assert "new" in {counters.ids[i] for i in kept} and len(kept) == BUFFER.co_keep


def test_the_cosine_to_the_last_reads_is_the_one_worked_by_hand():
    """Two readers read a and b, in either order, and one of them c after both."""
    counters = Counters(BUFFER)
    for history, item in (([], "a"), (["a"], "b"), (["b", "a"], "c"), ([], "b"), (["b"], "a")):
        counters.bump(0, item, T)
        counters.co_add(0, history, item, T)
    a, b, c = (counters.index[i] for i in "abc")
    found = counters.co_query([a, c], T + 1e9)  # a was read after c; near counts do not fade
    of_a, of_c = 1 / np.sqrt(2 + 1), FADE / np.sqrt(1 + 1)
    cosines = {a: of_c * NEAR_FADE, b: of_a * 2 + of_c * 1, c: of_a * NEAR_FADE}
    assert found.near.tolist() == sorted((a, b, c))
    expected = [cosines[i] / np.sqrt({a: 2, b: 2, c: 1}[i] + 1) for i in sorted(cosines)]
    assert np.allclose(found.cosine, expected)
    some = counters.co_query([a, c], T, np.array([c, counters.add("unread"), a]))
    assert np.allclose(some.cosine, [*np.array(expected)[[a, c]], 0.0])
    feats = co_features(found, np.array([c, a]), np.array([1, 2]))[:, CO.index("co_near")]
    assert np.allclose(feats, np.log1p(SHARE * np.array([cosines[c] / 2**0.5, cosines[a] / 3**0.5])))


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
    assert len(counters) == 1 and not [*counters.co.items(), *counters.near.items()]


def test_co_reads_that_name_articles_which_are_not_there_are_refused():
    counters = Counters(BUFFER)
    counters.co_add(0, ["a"], "b", T)
    files = co_reads.to_files(counters)
    assert len(co_reads.from_files(files)) == 3 and not [*co_reads.from_files({})]
    for broken in ({co_reads.IDS: b'["a"]'}, {co_reads.IDS: b"["}, {co_reads.FILE: b"rubbish"}):
        with pytest.raises(CorruptArtefact):
            co_reads.from_files({**files, **broken})
