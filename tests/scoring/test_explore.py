"""Exploring places: bounded impressions, and chances that are the true ones."""

from collections import Counter

import numpy as np
import pytest
import torch
from scoring_site import DIM, NOW, Site, ids

from streamrec.config import Model
from streamrec.errors import RetryLater
from streamrec.events import Match, Rule
from streamrec.model.network import Recommender
from streamrec.scoring import Ask, Served
from streamrec.scoring.explore import EVEN, Explorer, mixed

CLICKS = np.random.default_rng(3).uniform(0.05, 0.5, 30)


def anything(rows, listed):
    return np.ones(len(rows), bool)


def test_the_chance_of_each_draw_is_the_share_it_is_drawn_with() -> None:
    pool, scores = np.arange(12), np.linspace(-2, 2, 12).astype(np.float32)
    explorer, drawn, told = Explorer(10**9, 1), Counter(), {}
    n = 6000
    for _ in range(n):
        found = explorer.place([], explorer.draw(pool, scores, 3), 3, anything)
        for place, (row, chance, _) in enumerate(found):
            drawn[place, row] += 1
            told[place, row] = chance
    assert len({row for _, row in drawn}) == 12
    for key, chance in told.items():
        assert drawn[key] / n == pytest.approx(chance, abs=4 * (chance * (1 - chance) / n) ** 0.5)
    for place in range(3):
        assert sum(c for (p, _), c in told.items() if p == place) == pytest.approx(1.0)


@pytest.mark.parametrize("explore, n, per_source", [
    (0.2, 5, 0), (0.5, 5, 0), (0.1, 5, 0), (0.34, 10, 0), (0.9, 3, 0), (0.5, 5, 1), (0.5, 4, 2), (0.9, 2, 0),
    (1.0, 4, 0),
])
def test_propensities_of_whole_lists_are_the_true_chances(explore: float, n: int, per_source: int) -> None:
    """What the network makes of all features together turns the fast score's order upside down."""
    site = Site(explore=explore, explore_times=10**9, per_source=per_source)
    for i in range(14):
        site.article(f"a{i}", np.random.default_rng(i).normal(size=DIM), source=f"s{i // 2}")
    for i in range(14):
        for _ in range(i):
            site.event(f"u{i}", f"a{i}")
    net = Recommender.initial(DIM, Model())
    torch.nn.init.normal_(net.interplay[-1].weight, std=3.0, generator=torch.Generator().manual_seed(1))
    site.scorer.swap(Served("1", net))
    shown, told, lists = Counter(), Counter(), 800
    for _ in range(lists):
        items = site.answer("u", n).items
        assert len({i.item_id for i in items}) == n
        for i in items:
            shown[i.rank, i.item_id] += 1
            told[i.rank, i.item_id] = i.propensity
    for place, chance in told.items():
        error = (chance * (1 - chance) / lists) ** 0.5
        assert shown[place] / lists == pytest.approx(chance, abs=4.5 * error + 1e-9)
    for rank in range(1, n + 1):
        assert sum(c for (r, _), c in told.items() if r == rank) == pytest.approx(1.0, abs=0.02)
    assert sum(c < 1 for c in told.values()) > 5


def test_exploring_shows_no_article_under_two_names() -> None:
    site = Site(explore=0.5)
    site.announce(3)
    for i in range(12):
        site.article(f"copy{i}", np.eye(DIM)[i % 4], age=i)
    for _ in range(30):
        copies = [int(i[4:]) % 4 for i in ids(site.answer("u", 8)) if i.startswith("copy")]
        assert len(set(copies)) == len(copies) and len(copies) >= 2


@pytest.mark.parametrize("capped", [{"per_source": 1}, {"per_topic": 2}, {"per_source": 2, "per_topic": 3}])
def test_places_that_explore_side_by_side_keep_the_caps(capped: dict[str, int]) -> None:
    """Most of what is new is of one source, and a third of it of one topic."""
    site = Site(explore=0.4, explore_times=10**9, **capped)
    for i in range(90):
        site.article(f"a{i}", np.random.default_rng(i).normal(size=DIM), age=i,
                     tags=[f"t{i // 2 % 14}" if i % 3 else "t"], source="s" if i % 2 else f"s{i}")
    of = {e.item_id: e for e in site.catalogue.changes(0).entries}
    explored = set[str]()
    for _ in range(100):
        items = site.answer("u", 10).items
        sources = Counter(of[i.item_id].source for i in items)
        topics = Counter(of[i.item_id].tags[0] for i in items)
        assert max(sources.values()) <= capped.get("per_source", 99)
        assert max(topics.values()) <= capped.get("per_topic", 99)
        explored |= {i.item_id for i in items if i.propensity < 1}
    assert len(explored) > 20


def test_no_article_has_no_chance_and_better_ones_have_more() -> None:
    chances = mixed(np.array([0.0, 1.0, 9.0], np.float32))
    assert chances.sum() == pytest.approx(1) and (chances >= EVEN / 3).all() and (np.diff(chances) > 0).all()


def test_an_article_is_explored_so_often_and_no_more() -> None:
    site = Site(explore=0.2, explore_times=7)
    site.announce(8)
    given = Counter(i.item_id for _ in range(60) for i in site.answer("u", 5).items if i.propensity < 1)
    assert max(given.values()) == 7
    assert len(ids(site.answer("u", 5))) >= 4


def given_by(site: Site, batches: int, readers: int, n: int) -> list[int]:
    """How often each article was explored, after so many batches of lists of n more."""
    site.scorer.follow()
    for _ in range(batches):
        site.scorer.rank([Ask(f"u{i}", n) for i in range(readers)])
        site.scorer.follow()
    return list(site.catalogue.explored(dict.fromkeys(site.scorer.state.articles.index, 0)).values())


def test_a_batch_of_many_readers_keeps_the_bound() -> None:
    site = Site(explore=0.2, explore_times=7)
    site.announce(60)
    given = given_by(site, batches=8, readers=64, n=5)
    assert len(given) == 60 and max(given) == 7 and given.count(7) > 40


def test_of_many_new_articles_all_are_explored() -> None:
    site = Site(explore=0.5, explore_times=2)
    site.announce(400)
    given = given_by(site, batches=20, readers=40, n=4)
    assert len(given) == 400 and given.count(2) > 390


@pytest.mark.parametrize("pinned", [False, True])
def test_propensities_are_the_true_chances_in_lists_that_caps_leave_short(pinned: bool) -> None:
    """A place and a half explore: what the half shows may not move what stands behind it."""
    site = Site(explore=0.3, explore_times=10**9, per_source=1)
    for i in range(14):
        site.article(f"a{i}", np.random.default_rng(i).normal(size=DIM), age=i, source=f"s{i % 4}")
    if pinned:
        match = Match(item_ids=["a13"])
        site.scorer.rules.replace([Rule(rule_id="p", action="pin", position=5, match=match)])
    shown, lists, chances = Counter(), 600, {}
    for _ in range(lists):
        for i in site.answer("u", 5).items:
            shown[i.rank, i.item_id] += 1
            chances.setdefault((i.rank, i.item_id), set()).add(round(i.propensity, 9))
    for place, (chance,) in chances.items():  # which is always the same one
        error = (chance * (1 - chance) / lists) ** 0.5
        assert shown[place] / lists == pytest.approx(chance, abs=4.5 * error + 1e-9)


def test_scorers_share_the_bound_and_a_new_one_knows_of_it() -> None:
    """A new one asks before its first list; later each is told when it has explored an article itself."""
    site = Site(explore=0.2, explore_times=7)
    site.announce(8)
    for _ in range(40):
        site.answer("u", 5)
    given = {f"a{i}": 0 for i in range(8)}
    assert sorted(site.catalogue.explored(given).values()) == [0] * 4 + [7] * 4, "4 are listed anyway"
    for _ in range(3):
        another = Site(site.catalogue, explore=0.2, explore_times=7)
        assert max(given_by(another, batches=1, readers=64, n=5)) == 7


def test_a_store_that_takes_no_count_costs_no_answer() -> None:
    site = Site(explore=0.2)
    site.announce(8)
    assert len(ids(site.answer("u", 5))) == 5

    def full(given):
        raise RetryLater("Redis is full")
    counted, site.catalogue.explored = site.catalogue.explored, full
    site.announce(3, first=8)
    assert len(ids(site.answer("u", 9))) == 9 and site.scorer.live.rows == 11
    site.catalogue.explored = counted
    site.answer("u", 5)
    assert sum(counted({f"a{i}": 0 for i in range(11)}).values()) == 2


def test_inverse_propensities_estimate_a_policy_without_bias() -> None:
    """The click rate of "always the first of each pool", from what another policy has shown."""
    pool, scores = np.arange(30), np.random.default_rng(5).normal(size=30).astype(np.float32)
    rng, explorer = np.random.default_rng(0), Explorer(10**9, 2)
    estimates = []
    for _ in range(8000):
        found = explorer.place([], explorer.draw(pool, scores, 2), 2, anything)
        for place, (row, chance, _) in enumerate(found):
            click = rng.random() < CLICKS[row]
            estimates.append(click / chance if row == place else 0.0)
    truth = CLICKS[:2].mean()
    error = np.std(estimates) / len(estimates) ** 0.5
    assert abs(np.mean(estimates) - truth) < 3 * error and error < truth / 4


def test_the_newest_are_explored_first() -> None:
    site = Site(explore=0.5)
    for i in range(150):
        site.article(f"a{i}", np.random.default_rng(i).normal(size=DIM), age=i)
    explored = {i.item_id for _ in range(100) for i in site.answer("u", 4).items if i.propensity < 1}
    assert explored <= {f"a{i}" for i in range(104)} and len(explored) > 40


@pytest.mark.parametrize("n, pins", [(1, []), (2, []), (3, []), (10, [2, 3, 4, 5, 6, 7, 8, 9, 10]), (3, [2])])
def test_no_list_begins_with_an_article_that_is_tried_out(n: int, pins: list[int]) -> None:
    """Not even where one place alone is left."""
    site = Site(explore=0.9, explore_times=10**9)
    site.announce(30)
    site.event("somebody", "a29")
    site.scorer.rules.replace(pin(f"a{p}", p) for p in pins)
    explored = set[int]()
    for _ in range(60):
        items = site.answer("u", n).items
        assert len(items) == n and items[0].item_id == "a29" and items[0].propensity == 1
        explored |= {i.rank for i in items if i.propensity < 1}
    assert explored == set(range(2, n + 1)) - set(pins)


def pin(item: str, position: int) -> Rule:
    return Rule(rule_id=item, action="pin", match=Match(item_ids=[item]), position=position)


def test_behind_a_first_place_from_an_editor_all_others_may_explore() -> None:
    site = Site(explore=1.0, explore_times=10**9)
    site.announce(30)
    site.scorer.rules.replace([pin("a7", 1)])
    items = [site.answer("u", 3).items for _ in range(60)]
    assert {i[0].item_id for i in items} == {"a7"}
    assert all(i.propensity < 1 for of in items for i in of[1:])


def test_where_nothing_else_is_left_what_is_explored_comes_first() -> None:
    explorer, pool = Explorer(10**9, 1), np.arange(4)
    lots = explorer.draw(pool, np.zeros(4, np.float32), 1)
    [first] = explorer.place([], lots, 2, anything)
    assert first.explores


DAY = 86_400.0


@pytest.mark.parametrize("read_at", [NOW, NOW - 3650 * DAY])
def test_articles_older_than_the_bound_are_explored_no_more(read_at: float) -> None:
    """Counted from the newest read, so in a log of years ago, too."""
    site = Site(explore=0.5, explore_times=10**9, explore_age_s=3 * DAY)
    for i in range(40):
        age = NOW - read_at + (i % 2) * 3 * DAY + 60
        site.article(f"a{i}", np.random.default_rng(i).normal(size=DIM), age=age)
    site.event("somebody", "a1", at=read_at)
    items = [i for _ in range(60) for i in site.answer("u", 6).items]
    assert {int(i.item_id[1:]) % 2 for i in items if i.propensity < 1} == {0}


def test_where_all_is_old_nothing_is_explored_and_lists_are_whole() -> None:
    site = Site(explore=0.5, explore_age_s=DAY)
    site.announce(20)
    site.event("somebody", "a1", at=NOW + DAY)
    assert [i.propensity for i in site.answer("u", 6).items] == [1.0] * 6
