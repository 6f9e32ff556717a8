"""The promises of streamrec.catalogue.Catalogue, kept by Redis and by the fake."""

import numpy as np
import pytest

from streamrec.adapters.memory import MemoryCatalogue
from streamrec.catalogue import Catalogue, Entry, LiveArticles, LiveTexts, text_hash

DIM = 4


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.server)])
def catalogue(request: pytest.FixtureRequest, prefix: str) -> Catalogue:
    if request.param == "memory":
        return MemoryCatalogue(DIM)
    from streamrec.adapters.redis_store import RedisCatalogue

    return RedisCatalogue(request.getfixturevalue("redis_connection"), prefix, DIM)


def entry(item: str, text: str = "", **more) -> Entry:
    return Entry(item, more.get("title", text), 1.75e9, more.get("tags", []), "en", text_hash(text, "e"))


def put(catalogue: Catalogue, *items: str, text: str = "text") -> None:
    catalogue.put([entry(i, text) for i in items], {i: text for i in items})


def vectors(catalogue: Catalogue) -> dict[str, list[float]]:
    live = LiveArticles(DIM)
    live.sync(catalogue)
    return {e.item_id: live.vectors[i].tolist() for i, e in enumerate(live.entries) if live.live[i]}


def fill(catalogue: Catalogue, value: float, limit: int = 99) -> list[str]:
    owed = catalogue.owed(limit)
    catalogue.fill([(o, np.full(DIM, value, np.float16)) for o in owed])
    return [o.item_id for o in owed]


def test_an_article_is_a_candidate_at_once_and_its_text_counts_later(catalogue: Catalogue) -> None:
    put(catalogue, "a")
    assert vectors(catalogue) == {"a": [0.0] * DIM} and catalogue.size() == 1
    (owed,) = catalogue.owed(9)
    assert (owed.item_id, owed.text, owed.text_hash) == ("a", "text", text_hash("text", "e"))
    catalogue.fill([(owed, np.ones(DIM, np.float16))])
    assert vectors(catalogue) == {"a": [1.0] * DIM}
    assert catalogue.owed(9) == []


def test_what_is_owed_is_asked_for_until_filled_newest_first(catalogue: Catalogue) -> None:
    for item in "abc":
        put(catalogue, item)
    assert [o.item_id for o in catalogue.owed(9)] == ["c", "b", "a"]
    assert {o.item_id for o in catalogue.owed(9)} == set("abc")  # whoever took them has died
    fill(catalogue, 1.0)
    assert catalogue.owed(9) == []


def test_owed_gives_no_more_than_asked(catalogue: Catalogue) -> None:
    put(catalogue, *"abcde")
    assert len(catalogue.owed(2)) == 2
    done = [item for _ in range(5) for item in fill(catalogue, 1.0, 2)]
    assert sorted(done) == list("abcde") and catalogue.owed(9) == []


def test_a_vector_for_a_text_that_changed_meanwhile_is_ignored(catalogue: Catalogue) -> None:
    put(catalogue, "a", text="old")
    old = catalogue.owed(9)
    put(catalogue, "a", text="new")
    catalogue.fill([(o, np.ones(DIM, np.float16)) for o in old])
    assert vectors(catalogue) == {"a": [0.0] * DIM}
    assert [o.text for o in catalogue.owed(9)] == ["new"]


def test_a_vector_for_an_article_that_has_gone_is_ignored(catalogue: Catalogue) -> None:
    put(catalogue, "a")
    owed = catalogue.owed(9)
    catalogue.remove(["a"])
    catalogue.fill([(o, np.ones(DIM, np.float16)) for o in owed])
    assert vectors(catalogue) == {} and catalogue.entries(["a"]) == {} and catalogue.owed(9) == []


def test_new_tags_keep_the_vector_of_the_same_text(catalogue: Catalogue) -> None:
    put(catalogue, "a")
    fill(catalogue, 2.0)
    catalogue.put([entry("a", "text", tags=["sport"])], {})
    assert vectors(catalogue) == {"a": [2.0] * DIM} and catalogue.owed(9) == []
    assert catalogue.changes(0).entries[0].tags == ["sport"]


def test_new_tags_do_not_make_us_forget_a_text_that_still_waits(catalogue: Catalogue) -> None:
    put(catalogue, "a")
    catalogue.put([entry("a", "text", tags=["sport"])], {})  # known text: nobody gives it again
    assert fill(catalogue, 1.0) == ["a"]
    assert vectors(catalogue) == {"a": [1.0] * DIM}


def test_a_text_taken_back_leaves_no_vector_behind(catalogue: Catalogue) -> None:
    put(catalogue, "a")
    fill(catalogue, 1.0)
    catalogue.put([entry("a", "")], {})
    assert vectors(catalogue) == {"a": [0.0] * DIM}


def test_a_removed_article_is_a_tombstone_for_those_who_knew_it(catalogue: Catalogue) -> None:
    put(catalogue, "a", "b")
    known = catalogue.changes(0).cursor
    catalogue.remove(["a", "never seen"])
    after = catalogue.changes(known)
    assert after.removed == ["a"] and after.entries == [] and catalogue.size() == 1
    assert catalogue.changes(after.cursor).cursor == after.cursor
    put(catalogue, "a")
    back = catalogue.changes(after.cursor)
    assert [e.item_id for e in back.entries] == ["a"] and back.removed == []


def test_a_follower_sees_what_was_removed_as_not_live(catalogue: Catalogue) -> None:
    live = LiveArticles(DIM)
    put(catalogue, "a", "b")
    live.sync(catalogue)
    catalogue.remove(["b"])
    before = live.cursor
    live.sync(catalogue)
    assert live.changed_since(before) == [live.index["b"]]
    before = live.cursor
    live.sync(catalogue)
    assert [bool(x) for x in live.live] == [True, False] and live.changed_since(before) == []


def test_paging_through_changes_skips_nothing(catalogue: Catalogue) -> None:
    put(catalogue, *[f"one{i}" for i in range(7)])  # one number for seven: never split
    for i in range(9):
        put(catalogue, f"a{i}", f"b{i}")
        if i % 2:
            catalogue.remove([f"a{i}", f"one{i}"])
    expected = {e.item_id for e in catalogue.changes(0).entries}
    for limit in (1, 2, 3, 5, 100):
        seen: set[str] = set()
        cursor = 0
        while (page := catalogue.changes(cursor, limit)).cursor != cursor:
            assert page.cursor > cursor and len(page.entries) == len(page.vectors)
            seen = (seen | {e.item_id for e in page.entries}) - set(page.removed)
            cursor = page.cursor
        assert seen == expected, limit


def test_entries_are_those_of_known_articles(catalogue: Catalogue) -> None:
    put(catalogue, "a", text="x")
    found = catalogue.entries(["a", "b"])
    assert set(found) == {"a"} and found["a"] == catalogue.changes(0).entries[0]
    assert found["a"].text_hash == text_hash("x", "e") and catalogue.entries([]) == {}
    assert text_hash("x", "e") != text_hash("x", "another encoder")


def test_nothing_known_is_nothing_changed(catalogue: Catalogue) -> None:
    catalogue.put([], {})
    catalogue.remove([])
    catalogue.fill([])
    empty = catalogue.changes(0)
    assert empty.entries == [] and empty.removed == [] and empty.vectors.shape == (0, DIM)


def test_texts_are_kept_encoded_or_not_until_changed_or_removed(catalogue: Catalogue) -> None:
    put(catalogue, "a", "b", text="first")
    fill(catalogue, 1.0)
    put(catalogue, "a", text="second")
    catalogue.put([entry("c")], {})  # an article without a text
    assert catalogue.texts(["a", "b", "c", "unknown"]) == {"a": "second", "b": "first"}
    catalogue.put([entry("a", "second", title="again")], {})  # the same text
    catalogue.put([entry("b", "")], {})
    assert catalogue.texts(["a", "b"]) == {"a": "second"} and catalogue.texts([]) == {}
    catalogue.remove(["a"])
    assert catalogue.texts(["a"]) == {}


def test_a_copy_of_the_texts_follows(catalogue: Catalogue) -> None:
    live, copied = LiveArticles(DIM), LiveTexts()
    put(catalogue, *"abc", text="one")
    live.sync(catalogue)
    copied.sync(catalogue, live, page=2)
    assert [copied.of(i) for i in "abcd"] == ["one", "one", "one", ""]
    put(catalogue, "b", text="two")
    catalogue.remove(["c"])
    live.sync(catalogue)
    copied.sync(catalogue, live)
    assert [copied.of(i) for i in "abc"] == ["one", "two", ""]


def test_impressions_that_explore_add_up_and_go_with_their_article(catalogue: Catalogue) -> None:
    put(catalogue, *"ab")
    assert catalogue.explored({"a": 2, "nobody": 3}) == {"a": 2, "nobody": 0}
    assert catalogue.explored({"b": 1, "a": 5}) == {"b": 1, "a": 7} and catalogue.explored({}) == {}
    put(catalogue, "a", "nobody", text="another")
    assert catalogue.explored({"a": 1, "nobody": 1}) == {"a": 8, "nobody": 1}
    catalogue.remove(["a"])
    put(catalogue, "a")
    assert catalogue.explored({"a": 1}) == {"a": 1}


def test_a_catalogue_is_itself_and_no_other(catalogue: Catalogue) -> None:
    before = catalogue.identity()
    put(catalogue, "a")
    assert catalogue.identity() == before != MemoryCatalogue(DIM).identity()
