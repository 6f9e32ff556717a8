"""Reasons are parts of the score: what is named lifts it, and without it the score falls most."""

from typing import Any

import numpy as np
import pytest
import torch
from scoring_site import DIM, NOW, Site

from streamrec.config import Model
from streamrec.model.features import FEATURES
from streamrec.model.network import Recommender
from streamrec.replay import Read
from streamrec.scoring import Served
from streamrec.scoring.batch import Batch, Reader

EYE, DAY = np.eye(DIM), 86_400.0


def trained(seed: int = 0) -> Recommender:
    """A network whose every part says something."""
    torch.manual_seed(seed)
    net = Recommender.initial(DIM, Model())
    with torch.no_grad():
        net.weights.copy_(0.2 * torch.randn(len(FEATURES)).abs())
        net.query.copy_(0.3 * torch.randn(DIM))
        net.interplay[-1].weight.copy_(0.2 * torch.randn_like(net.interplay[-1].weight))
    return net


@pytest.fixture
def site() -> Site:
    site = Site()
    for n in range(6):
        site.article(f"s{n}", EYE[0] + 0.7 * EYE[n + 1], ["streams"], title=f"Streams {n}")
    for n in range(6):
        site.article(f"f{n}", -EYE[0] + 0.7 * EYE[n + 1], ["food"], title=f"Food {n}")
    return site


def test_the_article_read_that_counts_most_is_named_in_both_languages(site: Site) -> None:
    site.event("u", "s0")
    site.event("u", "f0", at=NOW + 1)
    answer = site.answer("u", 10, explain=True)
    for item in answer.items[:2]:
        read = next(r for r in item.reasons if r.kind == "read")
        assert read.item_id == ("s0" if item.item_id[0] == "s" else "f0") and read.weight > 0
    first = answer.items[0]
    named = next(r for r in first.reasons if r.kind == "read")
    assert named.text == f"because you read “{'Streams 0' if first.item_id[0] == 's' else 'Food 0'}”"
    chinese = site.answer("u", 10, explain=True, locale="zh").items[0]
    assert any(r.text.startswith("因为你读过《") for r in chinese.reasons)
    assert all(i.reasons == [] for i in site.answer("u").items)


def test_reasons_stand_with_the_strongest_first_and_only_if_they_lift(site: Site) -> None:
    site.event("u", "s0")
    for item in site.answer("u", 10, explain=True).items:
        weights = [r.weight for r in item.reasons if r.weight is not None]
        assert weights == sorted(weights, reverse=True) and all(w > 0 for w in weights)


def test_nothing_is_claimed_of_a_reader_never_seen(site: Site) -> None:
    site.event("x", "s1")
    kinds = {r.kind for i in site.answer("new", 9, explain=True).items for r in i.reasons}
    assert kinds <= {"popularity", "freshness"}


def test_interests_are_a_reason_where_they_lift(site: Site) -> None:
    site.interests["streams"] = EYE[0]
    first = site.answer("new", 3, interests="streams", explain=True).items[0]
    assert any(r.kind == "interests" and r.weight > 0 for r in first.reasons)


def test_what_has_nothing_to_do_with_the_interests_is_not_said_to_fit_them(site: Site) -> None:
    site.interests["far"] = EYE[7] + 0.2 * EYE[0]  # a cosine of .16 with the nearest
    site.event("u", "s0")
    items = [i for user in ("new", "u") for i in site.answer(user, 9, interests="far", explain=True).items]
    assert items and not [r for i in items for r in i.reasons if r.kind == "interests"]
    assert not [i for i in items[:9] if "interests" in i.reason]


def test_more_like_this_names_this(site: Site) -> None:
    first = site.answer("u", 3, similar_to="s0", explain=True).items[0]
    assert any(r.kind == "similar" and r.item_id == "s0" for r in first.reasons)


def test_who_has_read_nothing_is_not_told_that_they_have(site: Site) -> None:
    site.interests["streams"] = EYE[0]
    said = site.answer("new", 9, interests="streams", explain=True).items
    alike = site.answer("new", 9, similar_to="s0", explain=True).items
    texts = {r.text for i in (*said, *alike) for r in i.reasons} | {i.reason for i in (*said, *alike)}
    assert not [t for t in texts if "you read" in t]
    assert "close to the article you asked about" in {i.reason for i in alike}


def test_rounding_is_no_reason(site: Site) -> None:
    """All articles are of one age: none is newer than the others."""
    site.event("u", "s0")
    items = site.answer("u", 9, explain=True).items
    assert not [r for i in items for r in i.reasons if r.kind == "freshness"]
    assert "new" not in {i.reason for i in items}


def test_only_what_has_come_of_late_is_called_new() -> None:
    site, net = Site(), Recommender.initial(DIM, Model())
    with torch.no_grad():
        net.weights[FEATURES.index("age")], net.mean[FEATURES.index("age")] = -1.0, 8.0
    site.scorer.swap(Served("1", net))
    for n in range(6):
        site.article(f"old{n}", EYE[n], age=(20 + 60 * n) * DAY)
    site.article("older", EYE[6], age=900 * DAY)
    site.event("other", "older")  # which says what time it is
    assert not said(site.answer("u", 9, explain=True), "new")
    site.article("new", EYE[7], age=2 * DAY)
    assert said(site.answer("u", 9, explain=True), "new") == {"new"}


@pytest.mark.parametrize(("once", "ago", "since", "lately"), [
    (20, 100 * DAY, 1, 0.0), (100, 4 * DAY, 100, DAY / 2),
])
def test_what_nobody_has_read_for_three_days_is_not_popular_now_however_much_it_was(
    once: int, ago: float, since: int, lately: float
) -> None:
    site = Site()
    for n in range(8):
        site.article(f"a{n}", EYE[n], age=400 * DAY)
    for n in range(once):
        site.event(f"once{n}", "a0", at=NOW - ago)
    for n in range(since):
        site.event(f"since{n}", "a1", at=NOW - lately)
    assert said(site.answer("u", 9, explain=True), "popular now") == {"a1"}


def test_by_popularity_alone_popular_is_what_is_read_and_new_what_has_come_of_late() -> None:
    site = Site()
    for n in range(4):
        site.article(f"a{n}", EYE[n], age=400 * DAY if n < 2 else 60.0)
    site.event("v", "a0")
    answer = site.answer("u", 4, "popularity")
    assert {i.item_id: i.reason for i in answer.items} == {
        "a0": "popular now", "a1": "by its popularity and age together", "a2": "new", "a3": "new"}
    explained = site.answer("u", 4, "popularity", explain=True)
    assert [[r.text for r in i.reasons] for i in explained.items] == [[i.reason] for i in explained.items]


def test_where_no_part_lifts_over_the_list_the_largest_is_named(site: Site) -> None:
    """All are close to the article asked about, one of them less than the others."""
    answer = site.answer("u", 5, similar_to="s0")
    assert {i.reason for i in answer.items} == {"close to the article you asked about"}


def test_what_is_least_close_of_all_is_not_called_close() -> None:
    site = Site()
    for n in range(7):
        site.article(f"a{n}", 0.6 * EYE[0] + 0.8 * EYE[n + 1] if n else EYE[0], age=400 * DAY)
    site.article("far", 0.1 * EYE[0] + 0.99 * EYE[7], age=400 * DAY)
    site.event("u", "a0")
    answer = {i.item_id: i.reason for i in site.answer("u", 9).items}
    assert answer["far"] == "a good fit on the whole"


def test_the_title_of_a_deleted_article_is_not_said_any_more(site: Site) -> None:
    site.event("u", "s0")
    site.event("u", "f0", at=NOW + 1)
    assert said(site.answer("u", 10, explain=True), "because you read “Streams 0”")
    site.catalogue.remove(["s0"])
    answer = site.answer("u", 10, explain=True)
    assert not said(answer, "because you read “Streams 0”")
    assert said(answer, "because you read “Food 0”")


def test_nothing_is_close_to_a_read_without_a_text(site: Site) -> None:
    site.event("other", "ghost")
    site.event("other", "s1", at=NOW + 1)
    for wish in ({"session": ["ghost"]}, {"session": ["nothing"]}):
        assert not said(site.answer("u", 9, explain=True, **wish), "close to what you read")
    site.interests["streams"] = EYE[0]
    answer = site.answer("u", 9, explain=True, session=["ghost"], interests="streams")
    assert not said(answer, "close to what you read") and said(answer, "fits the interests you named")
    assert said(site.answer("u", 9, explain=True, session=["s0"]), "close to what you read")


def said(answer: Any, text: str) -> set[str]:
    """Of which articles something is said."""
    return {i.item_id for i in answer.items if text in (i.reason, *(r.text for r in i.reasons))}


def test_without_the_article_that_is_named_a_score_falls_more_than_without_any_other() -> None:
    site, rng = Site(), np.random.default_rng(0)
    site.announce(120)
    for k in range(400):
        site.event(f"c{rng.integers(60)}", f"a{rng.integers(120)}", at=NOW + k)
    site.scorer.swap(Served("1", trained()))
    answers = faithful = 0
    while answers < 1000:
        session = [f"a{i}" for i in rng.choice(120, int(rng.integers(2, 9)), replace=False)]
        [item] = site.answer("nobody", 1, session=session, explain=True).items
        named = [r.item_id for r in item.reasons if r.kind == "read"]
        if named:
            answers += 1
            faithful += named[0] == _costliest(site, session, item.item_id)
    assert faithful >= 950


def _costliest(site: Site, session: list[str], item: str) -> str:
    """The read whose absence lowers an article's score most, by asking the scorer anew."""
    state = site.scorer.state
    row = np.array([state.articles.index[item]])
    histories = [[Read(i, state.now(), "read") for i in session if i != left] for left in session]
    batch = Batch(state, site.scorer.live, [Reader(h) for h in histories], False, 500)
    with torch.no_grad():
        return session[int(np.argmin([s[0] for s in batch.full([row] * len(session))]))]
