"""What a request may ask for: filters, this visit, stated interests, more like this."""

import numpy as np
import pytest
from scoring_site import DIM, NOW, Site, ids

from streamrec.catalogue import Entry
from streamrec.events import Filters, Match, Request, Rule
from streamrec.model.features import FEATURES
from streamrec.model.words import Words
from streamrec.scoring import Ask

EYE = np.eye(DIM)


@pytest.fixture
def site() -> Site:
    site = Site()
    site.article("kafka", EYE[0], ["streams", "java"], "en", "acm", "papers", title="Streams with Kafka")
    site.article("flink", EYE[0] + 0.6 * EYE[1], ["streams"], "en", "acm", age=9e6)
    site.article("soup", EYE[2], ["food"], "fr", "lemonde")
    site.article("bread", EYE[2] + 0.6 * EYE[3], ["food", "baking"], "de", "zeit", title="Bread")
    site.article("derby", EYE[4], ["sport"], "en", "bbc")
    return site


@pytest.mark.parametrize(("filters", "passing"), [
    (Filters(tags_any=["food", "sport"]), {"soup", "bread", "derby"}),
    (Filters(tags_all=["food", "baking"]), {"bread"}),
    (Filters(tags_none=["food"]), {"kafka", "flink", "derby"}),
    (Filters(lang="en", tags_none=["sport"]), {"kafka", "flink"}),
    (Filters(source="acm"), {"kafka", "flink"}),
    (Filters(domain="papers"), {"kafka"}),
    (Filters(published_after=NOW - 1000.0), {"kafka", "soup", "bread", "derby"}),
    (Filters(exclude_items=["soup", "unknown"]), {"kafka", "flink", "bread", "derby"}),
    (Filters(), {"kafka", "flink", "soup", "bread", "derby"}),
])
def test_each_filter_lets_through_what_it_says(site: Site, filters: Filters, passing: set[str]) -> None:
    assert set(ids(site.answer("u", 9, filters=filters))) == passing
    assert set(ids(site.answer("u", 9, "popularity", filters=filters))) == passing


def test_filters_that_leave_nothing_are_an_empty_list_with_the_reason(site: Site) -> None:
    answer = site.answer("u", filters=Filters(tags_all=["food", "sport"]))
    assert answer.items == [] and answer.error == "no article passes the filters - at `$.filters`"
    for item in ("soup", "bread"):
        site.event("u", item)
    answer = site.answer("u", filters=Filters(tags_any=["food"]))
    assert answer.items == [] and answer.error == (
        "this reader has read or dismissed every article that passes the filters - at `$.filters`")
    answer = site.answer("u", filters=Filters(exclude_items=["kafka", "flink", "derby"]))
    assert answer.error.endswith("at `$.filters`")
    for item in ("kafka", "flink", "derby"):
        site.event("u", item)
    assert site.answer("u").error == "no article is live that this reader has not read"


def test_filters_follow_an_article_whose_tags_change_or_that_goes(site: Site) -> None:
    assert set(ids(site.answer("u", filters=Filters(tags_any=["food"])))) == {"soup", "bread"}
    site.article("soup", EYE[2], ["sport"])
    site.catalogue.remove(["bread"])
    assert ids(site.answer("u", filters=Filters(tags_any=["food"]))) == []
    assert set(ids(site.answer("u", filters=Filters(tags_any=["sport"])))) == {"soup", "derby"}


def test_the_tier_says_what_the_list_is_made_of(site: Site) -> None:
    site.interests["stream processing"] = EYE[0]
    assert site.answer("new").tier == "popular"
    assert site.answer("new", interests="stream processing").tier == "interests"
    assert site.answer("new", session=["soup"], interests="stream processing").tier == "session"
    assert site.answer("new", similar_to="soup").tier == "similar"
    site.event("u", "soup")
    assert site.answer("u", session=["kafka"]).tier == "personal"
    assert site.answer("u", policy="popularity").tier == "popular"


def test_a_read_of_what_nobody_knows_is_nothing_a_list_is_made_of(site: Site) -> None:
    site.interests["stream processing"] = EYE[0]
    assert site.answer("new", session=["nothing"]).tier == "popular"
    assert site.answer("new", session=["nothing"], interests="stream processing").tier == "interests"
    site.event("ghosts", "ghost")  # read, but never announced
    assert site.answer("ghosts").tier == "popular"
    assert site.answer("ghosts", session=["ghost", "soup"]).tier == "session"
    site.event("ghosts", "bread")  # from here on others have read it, too
    assert site.answer("new", session=["ghost"]).tier == "session"


def test_a_visit_counts_as_if_it_had_been_read(site: Site) -> None:
    assert ids(site.answer("new", 2, session=["kafka"]))[0] == "flink"
    assert "kafka" not in ids(site.answer("new", 9, session=["kafka", "unknown"]))
    site.event("u", "kafka")
    from_topic = {i.item_id: i.score for i in site.answer("u", 9).items}
    from_visit = {i.item_id: i.score for i in site.answer("other", 9, session=["kafka"]).items}
    assert from_visit == pytest.approx(from_topic, abs=1e-4)


def test_what_a_reader_says_to_like_rises_without_any_read(site: Site) -> None:
    site.interests["baking at home"] = EYE[3] + 0.3 * EYE[2]
    site.interests["distributed logs"] = EYE[0]
    assert ids(site.answer("new", 1, interests="baking at home")) == ["bread"]
    assert ids(site.answer("new", 2, interests="distributed logs")) == ["kafka", "flink"]
    blank = site.answer("new", 9, interests="   ")
    assert blank.tier == "popular" and ids(blank) == ids(site.answer("new", 9))


@pytest.mark.parametrize("reads", [1, 3, 20])
def test_stated_interests_are_heard_beside_many_reads(reads: int) -> None:
    site, rng = Site(), np.random.default_rng(0)
    for topic in range(3):
        for n in range(30):
            site.article(f"{topic}-{n}", EYE[topic] + rng.normal(0, 0.2, DIM), age=9e6)
    for n in range(reads):
        site.event("u", f"1-{n}", at=NOW - n)
    site.interests["the first topic"] = EYE[0]

    def of_it(user: str) -> int:
        return sum(i.startswith("0-") for i in ids(site.answer(user, 6, interests="the first topic")))

    assert of_it("new") == 6 and of_it("u") >= 3
    assert sum(i.startswith("1-") for i in ids(site.answer("u", 6))) == 6


def test_what_is_popular_and_new_does_not_drown_stated_interests() -> None:
    for weight, heard in ((0.0, False), (10.0, True)):
        site, rng = Site(interests=weight), np.random.default_rng(0)
        site.interests["the old topic"] = EYE[0]
        site.scorer.live.net.log_temperature.data.fill_(0.0)  # as where news is read whatever it is about
        for n in range(300):  # more than get the full score, and read by a crowd
            site.article(f"new-{n}", EYE[1] + rng.normal(0, 0.2, DIM), age=60)
            site.event(f"crowd{n}", f"new-{n}", at=NOW - 60)
        for n in range(6):
            site.article(f"old-{n}", EYE[0] + rng.normal(0, 0.2, DIM), age=400 * 86_400)
        found = site.answer("u", 6, interests="the old topic", explain=True)
        assert (sum(i.startswith("old-") for i in ids(found)) == 6) is heard
        if heard:
            assert {i.reason for i in found.items} == {"fits the interests you named"}
            assert all(i.reasons[0].kind == "interests" for i in found.items)


def test_words_of_the_interests_count_in_titles(site: Site) -> None:
    site.interests["bread"] = site.interests["none"] = EYE[7]
    state, wishes = site.scorer.state, site.scorer._wishes
    site.scorer.follow()
    row, at = np.array([state.articles.index["bread"]]), FEATURES.index("words_last")
    from streamrec.scoring.batch import Batch

    found = []
    for interests in ("bread", "none"):
        ask = Ask("new", 1, interests=interests)
        reader = wishes.reader(ask, [], wishes.stated(ask))
        found.append(Batch(state, site.scorer.live, [reader], False, 500).features(0, row)[0])
    assert found[0][at] == pytest.approx(1.0) and found[1][at] == 0.0


def test_interests_that_nothing_here_has_to_do_with_are_an_error(site: Site) -> None:
    site.scorer._wishes._encode = lambda text, domain: (text, np.zeros(DIM, np.float16))
    answer = site.answer("new", 3, interests="สวัสดี")
    assert answer.items == [] and answer.error.endswith("knows a word of them - at `$.interests`")
    assert answer.tier == "interests"
    site.article("breads", EYE[3], title="面包与汤的食谱")
    assert site.answer("new", 3, interests="法国面包").error is None, "a title has a word of them"


def test_titles_of_a_script_without_spaces_share_their_words() -> None:
    words = Words()
    thai = "ข่าวเทคโนโลยีวันนี้", "เทคโนโลยีใหม่"
    for row, title in enumerate(("深度学习入门", "机器学习与统计", "今日天气", *thai, "Deep学习")):
        words.put(row, title, [])
    rows = np.arange(6)
    to_learning, to_thai = (words.features(rows, [read])[:, 0] for read in (0, 4))
    assert to_learning[1] > 0 and to_learning[5] > 0 and to_learning[[2, 3, 4]].tolist() == [0.0] * 3
    assert to_thai[3] > 0 and to_thai[[0, 1, 2, 5]].tolist() == [0.0] * 4


def test_more_like_this_ranks_by_likeness_and_not_by_what_is_popular(site: Site) -> None:
    for n in range(20):
        site.event(f"crowd{n}", "derby")
    assert ids(site.answer("u", 1)) == ["derby"]
    assert ids(site.answer("u", 2, similar_to="soup"))[0] == "bread"
    assert "soup" not in ids(site.answer("u", 9, similar_to="soup"))


def test_more_like_an_article_of_which_nothing_is_known_is_empty_and_says_why(site: Site) -> None:
    site.catalogue.put([Entry("bare", "", NOW, [], "", "h")], {})
    answer = site.answer("u", similar_to="bare")
    assert answer.items == [] and answer.error == (
        "nothing is like bare yet: it has no text that the encoder reads, and nobody has read it with others "
        "- at `$.similar_to`")
    site.catalogue.put([Entry("titled", "深度学习", NOW, [], "", "h")], {})  # words, but no vector
    assert "nothing is like titled yet" in (site.answer("u", similar_to="titled").error or "")
    for reader in "vw":
        site.event(reader, "bare")
        site.event(reader, "soup")
    assert ids(site.answer("u", 1, similar_to="bare")) == ["soup"]


def test_more_like_the_one_article_that_passes_the_filters_says_that(site: Site) -> None:
    answer = site.answer("u", similar_to="derby", filters=Filters(tags_any=["sport"]))
    assert answer.items == [] and answer.error == "no other article passes the filters - at `$.filters`"


@pytest.mark.parametrize("blank", ["", " ", "...!!!", "\u200b", "🎉"])
def test_words_without_a_word_and_filters_without_a_filter_are_no_wish(blank: str) -> None:
    ask = Ask.of("u", Request(request_id="r", interests=blank, filters=Filters(), session=["a", "b", "a"]))
    assert (ask.interests, ask.filters, ask.session) == ("", None, ("a", "b"))


def test_more_like_an_unknown_article_says_so(site: Site) -> None:
    answer = site.answer("u", similar_to="nothing")
    assert answer.items == [] and answer.error == "no article nothing is known - at `$.similar_to`"


def test_more_like_an_article_that_has_gone_or_was_never_announced_says_so(site: Site) -> None:
    site.event("u", "ghost")
    site.catalogue.remove(["soup"])
    for item in ("ghost", "soup"):
        assert "is known" in site.answer("other", similar_to=item).error


def test_nothing_is_kept_of_labels_that_nobody_has(site: Site) -> None:
    site.answer("u", filters=Filters(tags_none=[f"made up {n}" for n in range(100)]))
    attributes = site.scorer.state.attributes
    assert len(attributes._arrays) == 0 and len(attributes._rows) < 30


def test_many_copies_of_what_was_read_cost_nobody_the_other_articles() -> None:
    site = Site(rerank=20)
    for n in range(40):
        site.article(f"copy{n}", EYE[0], title="Kafka")
    site.article("read", EYE[0], title="Kafka")
    for n in range(20):
        site.article(f"other{n}", -EYE[0] + (n + 1) * EYE[1 + n % 7], age=9e6)
    found = ids(site.answer("u", session=["read"]))
    assert len(found) == 5 and all(item.startswith("other") for item in found)
    site.scorer.rules.replace([Rule(rule_id="r", action="pin", match=Match(item_ids=["copy7"]), position=1)])
    assert ids(site.answer("u", session=["read"]))[0] == "copy7"  # an editor may


def test_where_only_copies_are_left_one_is_shown_rather_than_nothing() -> None:
    site = Site(rerank=20)
    for n in range(40):
        site.article(f"copy{n}", EYE[0], lang="en", title="Kafka")
    site.article("other", EYE[1], title="Cars")
    lone = site.answer("u", session=["copy3", "other"])
    assert len(lone.items) == 1 and ids(lone)[0] not in ("copy3", "other") and lone.error is None
    assert ids(site.answer("v", similar_to="copy3")) == ["other"]
    assert len(site.answer("w", similar_to="copy3", filters=Filters(lang="en")).items) == 1
