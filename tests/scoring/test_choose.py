"""A list shows no article twice, no source everywhere, and as much variety as was asked for."""

import numpy as np
import pytest
from scoring_site import DIM, Site, ids

from streamrec.catalogue import Entry
from streamrec.scoring.calibrate import Mix
from streamrec.scoring.choose import Caps, choose

EYE = np.eye(DIM, dtype=np.float32)


def entry(n: int, source: str = "", tag: str = "", title: str = "") -> Entry:
    return Entry(f"a{n}", title or f"t{n}", 0.0, [tag] if tag else [], "", "", source)


def chosen(vectors, n=3, diversity=0.0, sources=(), tags=(), titles=(), caps=(0, 0), scores=None):
    def at(of, i):
        return of[i] if of else ""

    p = len(vectors)
    entries = [entry(i, at(sources, i), at(tags, i), at(titles, i)) for i in range(p)]
    ranked = np.linspace(1, 0, p, dtype=np.float32) if scores is None else np.array(scores, np.float32)
    return choose(ranked, np.array(vectors, np.float32), entries, n, diversity, Caps(*caps), 0.97)


def test_one_text_under_two_ids_is_shown_once_the_better_ranked() -> None:
    near = EYE[0] + 0.05 * EYE[1]
    near /= np.linalg.norm(near)
    assert chosen([EYE[0], near, EYE[2], EYE[3]]) == [0, 2, 3]


def test_articles_without_a_text_are_not_alike() -> None:
    assert chosen([0 * EYE[0]] * 4, titles=["same"] * 4) == [0, 1, 2]


def test_one_title_makes_two_near_texts_one_article() -> None:
    near = 0.9 * EYE[0] + 0.43 * EYE[1]
    assert chosen([EYE[0], near, EYE[2]], titles=["News", "news ", "Other"]) == [0, 2]
    assert chosen([EYE[0], near, EYE[2]], titles=["News", "Else", "Other"]) == [0, 1, 2]


def test_a_cap_leaves_room_for_other_sources_and_topics() -> None:
    vectors = list(EYE[:6])
    assert chosen(vectors, 4, sources=["x", "x", "x", "y", "x", ""], caps=(2, 0)) == [0, 1, 3, 5]
    assert chosen(vectors, 4, tags=["t", "t", "s", "t", "", ""], caps=(0, 1)) == [0, 2, 4, 5]


def test_diversity_0_is_the_ranking_and_1_the_most_different() -> None:
    a, b = EYE[0], 0.8 * EYE[0] + 0.6 * EYE[1]
    vectors = [a, b, b, EYE[2], EYE[3]]
    assert chosen(vectors, 3, 0.0) == [0, 1, 3]
    assert chosen(vectors, 3, 0.7) == [0, 3, 4]
    likeness = [np.dot(vectors[i], vectors[j]) for i in (0,) for j in chosen(vectors, 3, 1.0)[1:]]
    assert max(likeness) == 0


def test_diversity_trades_score_for_variety_steadily() -> None:
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(5, DIM))
    vectors = [t / np.linalg.norm(t) for t in (topics[i % 5] + 0.4 * rng.normal(size=DIM) for i in range(60))]
    scores = np.sort(rng.normal(size=60))[::-1] + 3 * np.array([i % 5 == 0 for i in range(60)])
    order = np.argsort(-scores)
    vectors, scores = [vectors[i] for i in order], scores[order]

    def alike(at):
        m = np.array([vectors[i] for i in at])
        return float((m @ m.T)[np.triu_indices(len(at), 1)].mean())

    lists = [chosen(vectors, 10, d, scores=scores) for d in (0.0, 0.3, 0.6, 0.9)]
    likeness = [alike(at) for at in lists]
    assert likeness == sorted(likeness, reverse=True) and likeness[0] > likeness[-1] + 0.2
    assert sum(scores[i] for i in lists[0]) >= sum(scores[i] for i in lists[-1])


@pytest.mark.parametrize("n", [0, 1, 50])
def test_there_are_never_more_than_there_are(n: int) -> None:
    assert len(chosen(list(EYE[:4]), n)) == min(n, 4)


def test_a_request_may_name_its_diversity_and_duplicates_do_not_shorten_the_list() -> None:
    site = Site()
    for i in range(40):
        site.article(f"same{i}", EYE[0])
    site.announce(6)
    assert len(ids(site.answer("u", 5))) == 5
    same = [i for i in ids(site.answer("u", 5)) if i.startswith("same")]
    assert len(same) <= 1
    assert len(ids(site.answer("u", 5, diversity=1.0))) == 5


def test_a_request_may_name_its_diversity() -> None:
    site = Site(duplicate=1.01)
    for i in range(20):
        site.article(f"near{i}", EYE[0] + 0.3 * EYE[1 + i % 2], age=1)  # new: better
        site.article(f"far{i}", EYE[i % DIM], age=1e5)
    plain, varied = (ids(site.answer("u", 6, diversity=d)) for d in (0.0, 1.0))
    assert all(i.startswith("near") for i in plain) and sum(i.startswith("far") for i in varied) >= 2


def tagged(tags):
    return [Entry(f"a{n}", f"t{n}", 0.0, list(of), "", "") for n, of in enumerate(tags)]


def mixed(weight, tags, read, n=4):
    """Tags of the list chosen among articles with these tags, best first, for a reader of such."""
    entries, scores = tagged(tags), np.linspace(1, 0, len(tags), dtype=np.float32)
    mix = Mix(tagged(read), entries, weight)
    at = choose(scores, np.zeros((len(tags), DIM), np.float32), entries, n, 0.0, Caps(0, 0), 0.97, mix=mix)
    return ["".join(tags[i]) for i in at]


def test_a_calibrated_list_has_the_tags_as_the_reader_reads_them() -> None:
    tags, read = ["a"] * 6 + ["b"] * 3 + ["c"], ["a", "a", "a", "b"]
    assert mixed(0.0, tags, read) == ["a"] * 4
    assert sorted(mixed(0.9, tags, read)) == ["a", "a", "a", "b"]
    assert sorted(mixed(0.9, tags, ["a", "c"])) == ["a", "a", "a", "c"]  # there is no second c
    assert mixed(0.9, tags, []) == ["a"] * 4  # who has read nothing has no mix


def test_the_misfit_of_a_list_is_its_divergence_from_the_readers_mix() -> None:
    mix = Mix(tagged(["a", "ab"]), tagged(["a", "b", "x", ""]), 0.5)  # wants 3/4 a, 1/4 b
    a = 0.75 * np.log(0.75 / (0.99 + 0.0075)) + 0.25 * np.log(0.25 / 0.0025)
    assert mix.misfits() == pytest.approx([a / np.log(100), (0.75 * np.log(100) + 0.25 * np.log(
        0.25 / (0.99 + 0.0025))) / np.log(100), 1.0, 1.0])
    mix.take(tagged(["ab"])[0])
    assert mix.misfits()[0] == pytest.approx(0.0, abs=1e-12)  # half a and b, then a


def test_a_request_may_name_its_calibration() -> None:
    site = Site()
    rng = np.random.default_rng(0)
    for n in range(12):
        site.article(f"a{n}", EYE[0] + 0.5 * rng.normal(size=DIM), tags=["often"])
        site.article(f"b{n}", EYE[1] + 0.5 * rng.normal(size=DIM), tags=["seldom"])
    for item in ("a0", "a1", "a2", "b0"):
        site.event("u", item)
    lists = {c: ids(site.answer("u", 8, calibration=c)) for c in (0.0, 1.0)}
    assert sum(i.startswith("b") for i in lists[1.0]) == 2 and lists[0.0] != lists[1.0]


@pytest.mark.parametrize("explore", [0.0, 0.25, 0.5])
def test_what_the_reader_knows_does_not_come_again_under_another_name(explore: float) -> None:
    site = Site(explore=explore)
    for n in range(6):
        site.article(f"a{n}", EYE[n], title=f"Article {n}")
    site.article("copy", EYE[0], title="Another title")
    site.article("again", EYE[1] + 0.5 * EYE[7], title="Article 1")  # the title is the same, the text much so
    assert "copy" in {i for _ in range(9) for i in ids(site.answer("u", 7))} | set(ids(site.answer("u", 8)))
    for wish in ({"session": ["a0", "a1"]}, {"similar_to": "a0", "session": ["a1"]}):
        for _ in range(9):
            assert not {"copy", "again"} & set(ids(site.answer("u", 8, **wish)))
    site.event("u", "a0", "dismiss")
    site.event("u", "a1")
    for policy in ("live", "popularity"):
        assert set(ids(site.answer("u", 8, policy))) == {"a2", "a3", "a4", "a5"}


def test_what_the_reader_knows_counts_for_no_cap() -> None:
    site = Site(per_source=1)
    site.article("read", EYE[0], source="s")
    site.article("next", EYE[1], source="s")
    assert ids(site.answer("u", 3, session=["read"])) == ["next"]


@pytest.mark.parametrize(("caps", "n"), [({"per_topic": 2}, 60), ({"per_source": 2}, 10), ({}, 10)])
def test_neither_caps_nor_copies_cost_a_list_its_places(caps: dict[str, int], n: int) -> None:
    """Though all that is ranked first is of one kind, or one story under many names."""
    site, rng = Site(rerank=50, **caps), np.random.default_rng(1)
    for i in range(150):
        near = EYE[0] + (0.01 if not caps else 3.0) * rng.normal(size=DIM) / DIM
        site.article(f"first{i}", near, ["kafka"], source="one")
        site.event(f"r{i}", f"first{i}")
    for i in range(200):
        site.article(f"other{i}", rng.normal(size=DIM), [f"t{i % 50}"], source=f"s{i % 50}")
    site.event("u", "first0")
    found = site.answer("u", n)
    assert len(ids(found)) == n
    kinds = [i[:5] for i in ids(found)]
    assert kinds.count("first") == (2 if caps else 0)


@pytest.mark.parametrize("kinds", ["topics", "stories"])
def test_a_list_is_full_though_what_ranks_first_is_all_of_one_kind_after_another(kinds: str) -> None:
    """The newest 60 are of one topic, the next 60 of another; or copies of one story, and of another."""
    site = Site(rerank=50, **({"per_topic": 1} if kinds == "topics" else {}))
    rng, n = np.random.default_rng(1), 8 if kinds == "stories" else 12
    for i in range(60 * n):
        text = EYE[i // 60] + 0.01 * rng.normal(size=DIM) if kinds == "stories" else rng.normal(size=DIM)
        site.article(f"a{i}", text, [f"t{i // 60}"], age=60.0 * i)
    for policy in ("live", "popularity"):
        found = site.answer("u", n, policy)
        assert len({int(i[1:]) // 60 for i in ids(found)}) == len(ids(found)) == n
