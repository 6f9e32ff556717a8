"""Each heuristic on worlds small enough to work out by hand."""

import math
from itertools import count

import numpy as np
import pytest
from tiny_site import DAY, HOUR, TinySite

from streamrec.errors import SetupError
from streamrec.evaluation.families import EVER, FAMILIES
from streamrec.evaluation.heuristics import Content, Lexical, Newest, Popular, Random
from streamrec.evaluation.outside import Outside

CHEAP = [(f, v) for f, variants in FAMILIES.items() if f != "sasrec" for v in variants]


def test_random_is_the_same_by_seed_and_different_by_seed():
    def drawn(seed):
        site = TinySite()
        for i in range(20):
            site.announce(f"a{i}")
        return site.order(Random(seed))

    assert drawn(1) == drawn(1) != drawn(2)


def test_newest_comes_first_to_the_second_and_the_unpublished_and_the_read_do_not_come():
    site = TinySite()
    for item, at in (("old", 0), ("new", 60), ("newer", 61), ("later", 7200), ("read", 62)):
        site.announce(item, at)
    site.event("u", "read", 100)
    assert site.order(Newest(), "u", HOUR) == ["newer", "new", "old"]


def test_reads_fade_by_half_in_a_half_life():
    popular = Popular(HOUR)
    site = TinySite(popular)
    site.announce("a")
    for user in "uvw":
        site.event(user, "a", 0.0)
    site.event("x", "a", HOUR)
    assert site.score(popular, "a", at=HOUR) == pytest.approx(math.log2(3 / 2 + 1), abs=1e-4)
    assert site.score(popular, "a", at=3 * HOUR) == pytest.approx(math.log2(2.5 / 4), abs=1e-4)


@pytest.mark.parametrize("half_life", [HOUR, DAY, math.inf])
def test_events_out_of_order_count_the_same(half_life):
    times = [0.0, 5 * HOUR, 2 * HOUR, 9 * HOUR, HOUR]
    found = []
    for order in (times, sorted(times)):
        popular = Popular(half_life)
        site = TinySite(popular)
        site.announce("a")
        for n, at in enumerate(order):
            site.event(f"u{n}", "a", at)
        found.append(site.score(popular, "a", at=10 * HOUR))
    want = math.log2(sum(2 ** ((t - 10 * HOUR) / half_life) for t in times))
    assert found == pytest.approx([want, want], abs=1e-4)


def test_only_first_reads_count_not_repeats_dismissals_or_impressions():
    popular = Popular(EVER)
    site = TinySite(popular)
    for item in "abc":
        site.announce(item)
    for user in "uv":
        site.event(user, "a", 10)
    for kind in ("read", "like", "click"):
        site.event("u", "b", 20, kind)
    for user in "uvwx":
        site.event(user, "c", 30, "dismiss")
        site.event(user, "c", 30, "impression")
    assert site.order(popular) == ["a", "b", "c"]


def test_a_year_without_reads_does_not_mix_up_the_order():
    popular = Popular(HOUR)
    site = TinySite(popular)
    site.announce("never")
    for n, item in enumerate(("one", "two", "three")):
        site.announce(item)
        site.event("u", item, n * HOUR)
    assert site.order(popular, at=365 * DAY) == ["three", "two", "one", "never"]


def test_among_the_unread_the_newest_comes_first_and_hot_lets_it_pass_the_read():
    popular, hot = Popular(3 * HOUR), Popular(3 * HOUR, birth=3.0)
    site = TinySite(popular, hot)
    for item, at in (("read", 0), ("older", 10), ("new", 20)):
        site.announce(item, at)
    site.event("u", "read", 60)
    assert site.order(popular) == ["read", "new", "older"]
    assert site.order(hot) == ["read", "new", "older"]  # 4 against 3
    site.announce("newest", 6 * HOUR)  # the reads have faded to 1
    assert site.order(hot, at=6 * HOUR)[:2] == ["newest", "read"]
    assert site.order(popular, at=6 * HOUR)[0] == "read"


def vectors(site):
    for item, vector in (("x", [1, 0, 0, 0]), ("near x", [0.9, 0.1, 0, 0]), ("y", [0, 1, 0, 0]),
                         ("near y", [0, 0.95, 0.05, 0]), ("between", [1, 1, 0, 0]), ("far", [0, 0, 0, 1])):
        site.announce(item, vector=vector)
    site.announce("no text")


@pytest.mark.parametrize("kind, best", [
    ("last", "near y"), ("mean", "between"), ("faded", "between"), ("max", "near y"),
])
def test_content_is_near_what_was_read(kind, best):
    content = Content(kind)
    site = TinySite(content)
    vectors(site)
    for n, item in enumerate(("x", "no text", "y")):
        site.event("u", item, n)
    site.event("u", "far", 9, "dismiss")
    assert site.order(content, "u")[0] == best
    assert site.score(content, "between", "u") == pytest.approx(
        1.0 if kind == "mean" else {"last": 0.7071, "max": 0.7071, "faded": 0.9848}[kind], abs=2e-3
    )


def test_content_follows_a_text_that_changes_and_articles_that_come_later():
    content = Content("last")
    site = TinySite(content)
    vectors(site)
    site.event("u", "x", 0)
    assert site.order(content, "u")[0] == "near x"
    site.announce("far", vector=[1, 0, 0, 0])
    for i in range(1500):
        site.announce(f"more {i}")
    assert site.order(content, "u")[0] == "far"


@pytest.mark.parametrize("arm", [Content("mean"), Lexical("max")])
def test_without_reads_that_have_a_text_what_is_popular_comes_first(arm):
    site = TinySite(arm)
    vectors(site)
    for user in "vwx":
        site.event(user, "far", 50)
    site.event("u", "no text", 60)
    assert site.order(arm, "nobody")[0] == "far"
    if isinstance(arm, Content):
        assert site.order(arm, "u")[0] == "far"


def titles(site):
    for item, title, tags in (
        ("1", "git log", ["common"]), ("2", "git push", ["common"]), ("3", "git log graph", ["linux"]),
        ("4", "tar", ["common"]), ("5", "zip", ["osx"]), ("6", "GIT", ["linux"]), ("7", "", []),
    ):
        site.announce(item, title=title, tags=tags)


def test_lexical_is_shared_words_by_their_rarity_over_both_lengths():
    lexical = Lexical("last")
    site = TinySite(lexical)
    titles(site)
    site.event("u", "1", 0)
    idf = {w: math.log(7 / n) ** 2 for w, n in (("git", 4), ("log", 2), ("#common", 3))}
    want = {"3": (idf["git"] + idf["log"]) / math.sqrt(3 * 4), "2": (idf["git"] + idf["#common"]) / 3,
            "4": idf["#common"] / math.sqrt(3 * 2), "6": idf["git"] / math.sqrt(3 * 2), "5": 0.0, "7": 0.0}
    for item, score in want.items():
        assert site.score(lexical, item, "u") == pytest.approx(score, abs=2e-4)


def test_lexical_forgets_the_words_of_an_older_title():
    lexical = Lexical("last")
    site = TinySite(lexical)
    titles(site)
    site.event("u", "1", 0)
    assert site.order(lexical, "u")[0] == "3"
    site.announce("3", title="nothing alike")
    assert site.order(lexical, "u")[0] == "2" and site.score(lexical, "3", "u") < 1e-3


def test_lexical_of_several_reads_takes_the_best_or_the_faded_sum():
    best, summed = Lexical("max"), Lexical("faded")
    site = TinySite(best, summed)
    titles(site)
    for n, item in enumerate(("5", "1")):
        site.event("u", item, n)
    assert site.order(best, "u")[0] == site.order(summed, "u")[0] == "3"


@pytest.mark.parametrize("family, variant", CHEAP)
def test_every_variant_serves_an_empty_history_one_reader_and_one_article(family, variant):
    arm = FAMILIES[family][variant](1)
    site = TinySite(arm)
    assert site.order(arm) == []  # before any article
    site.event("u", "unknown", 1)  # which nobody has announced yet
    site.announce("only", 2, "a title", ["tag"], [1, 0, 0, 0])
    assert site.order(arm) == site.order(arm, "u") == ["only"]
    site.event("u", "only", 3)
    assert site.order(arm, "u") == [] and site.learn()[0].steps == 0
    site.announce("unknown", 4, "a title", ["tag"], [1, 0, 0, 0])
    assert set(site.order(arm)) == {"only", "unknown"}


class TopList:
    """An outside system that names what does not exist, what was read, and one article twice."""

    def __init__(self):
        self.told = []

    def observe(self, event):
        self.told.append(event.item_id)

    def recommend(self, user, t, n):
        return ["b", "ghost", "a", "b", "c"][:n] + ["d"] * (n - 5) + ["e"]


def test_an_outside_system_is_its_order_and_nothing_that_it_did_not_name():
    system = TopList()
    arm = Outside(system, "theirs")
    site = TinySite(arm)
    for item in "abcdefg":
        site.announce(item)
    site.event("u", "a", 1)
    assert site.order(arm, "u")[:3] == ["b", "c", "d"] and system.told == ["a"]
    scores = arm.scores(site.moment("u", HOUR))
    index = site.state.articles.index
    assert np.isneginf(scores[[index[i] for i in "aefg"]]).all()  # e was beyond the n asked for
    assert np.isfinite(scores[[index[i] for i in "bcd"]]).all()


class Broken(TopList):
    """Makes one mistake."""

    def __init__(self, method, does):
        super().__init__()
        setattr(self, method, does)


def raises(*arguments):
    return 1 // 0


@pytest.mark.parametrize(("method", "does", "why"), [
    ("observe", raises, r"ZeroDivisionError: .*test_heuristics.py:\d+"),
    ("recommend", raises, "ZeroDivisionError"), ("recommend", lambda *a: None, "NoneType"),
    ("recommend", lambda *a: (1 // 0 for _ in "a"), "ZeroDivisionError"),
    ("recommend", lambda *a: "a", "one text"), ("recommend", lambda *a: [1], "1, which is no article id"),
    ("score", raises, "ZeroDivisionError"), ("score", lambda *a: [0.5], r"shape \(1,\) for 2 articles"),
    ("score", lambda *a: ["much", "little"], "could not convert"),
])
def test_a_mistake_of_an_outside_system_names_it_and_its_method(method, does, why):
    arm = Outside(Broken(method, does), "theirs")
    site = TinySite(arm)
    site.announce("a")
    site.announce("b")
    with pytest.raises(SetupError, match=rf"the arm theirs made a mistake in {method}\(\): .*{why}"):
        site.event("u", "a", 1)
        moment = site.moment("u", HOUR)
        arm.among(moment, np.arange(2), arm.scores(moment))


def test_an_outside_system_may_give_any_number_of_ids_in_any_way():
    arm = Outside(Broken("recommend", lambda user, t, n: (f"a{i}" for i in count())), "theirs")
    site = TinySite(arm)
    site.announce("a1")
    site.announce("a0")
    assert site.order(arm) == ["a0", "a1"]
