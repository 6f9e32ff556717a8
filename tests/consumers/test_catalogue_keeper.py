"""Articles into vectors: at once a candidate, encoded once per text, forgotten never."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from consumers.catalogue import CatalogueKeeper
from consumers.reread import Reread
from streamrec.adapters.memory import MemoryCatalogue
from streamrec.catalogue import LiveArticles
from streamrec.events import Article, encode

ARTICLES = "s.articles.v1"


class Encoder:
    """A text's vector is its length; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: list[str]) -> Any:
        self.asked += texts
        return np.array([[len(t)] * 4 for t in texts], np.float16)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def catalogue() -> MemoryCatalogue:
    return MemoryCatalogue(4)


@pytest.fixture
def keeper(world: Any, catalogue: MemoryCatalogue, encoder: Encoder) -> Any:
    """A function that starts one more keeper, as after a crash."""
    def start(batch: int = 32, fingerprint: str = "print") -> Any:
        handler = CatalogueKeeper(
            catalogue, encoder, fingerprint, lambda t, b: f"{t} {b}".strip(), world.dead_letters(),
            world.clock, Reread(world.board, fingerprint, world.clock), batch,
        )
        return world.loop(world.broker.subscribe([ARTICLES], "catalogue"), handler)
    return start


def publish(world: Any, *articles: Article) -> None:
    for a in articles:
        world.send(ARTICLES, a.item_id.encode(), encode(a))


def live(catalogue: MemoryCatalogue) -> dict[str, float]:
    copy = LiveArticles(4)
    copy.sync(catalogue)
    return {e.item_id: float(copy.vectors[i][0]) for i, e in enumerate(copy.entries) if copy.live[i]}


def several(items: Iterable[str], title: str = "text") -> list[Article]:
    return [Article(item_id=i, title=title) for i in items]


def test_an_article_is_a_candidate_then_its_text_counts(world, keeper, catalogue) -> None:
    publish(world, *several("abc"))
    loop = keeper(batch=2)
    world.turns(loop, 2)
    assert sorted(live(catalogue)) == ["a", "b", "c"]
    assert sorted(live(catalogue).values()) == [0, 4, 4]  # the encoder works off two a turn
    world.turns(loop, 1)
    assert set(live(catalogue).values()) == {4}


def test_a_text_is_encoded_again_only_when_it_changes(world, keeper, catalogue, encoder) -> None:
    loop = keeper()
    publish(world, Article(item_id="a", title="one", tags=["x"]))
    world.turns(loop)
    publish(world, Article(item_id="a", title="one", tags=["y"]))
    world.turns(loop)
    assert encoder.asked == ["one"] and catalogue.changes(0).entries[0].tags == ["y"]
    publish(world, Article(item_id="a", title="another"))
    world.turns(loop)
    assert encoder.asked == ["one", "another"] and live(catalogue) == {"a": 7}


def test_an_article_sent_again_while_its_text_waits_is_still_encoded(
    world, keeper, catalogue
) -> None:
    loop = keeper(batch=1)
    publish(world, *several("ab"))
    world.turns(loop, 2)
    publish(world, *several("ab"))
    world.turns(loop, 4)
    assert set(live(catalogue).values()) == {4}


def test_a_null_value_takes_the_article_away(world, keeper, catalogue) -> None:
    loop = keeper()
    publish(world, *several("ab"))
    world.turns(loop)
    world.send(ARTICLES, b"a", None)
    world.turns(loop)
    assert set(live(catalogue)) == {"b"}


def test_of_several_messages_in_a_batch_the_last_counts(world, keeper, catalogue) -> None:
    world.send(ARTICLES, b"a", None)
    publish(world, Article(item_id="a", title="one"), Article(item_id="a", title="last"))
    publish(world, *several("b"))
    world.send(ARTICLES, b"b", None)
    world.turns(keeper())
    assert live(catalogue) == {"a": 4}


def test_a_keeper_that_died_owes_its_texts_to_the_next(world, keeper, catalogue) -> None:
    first = keeper(batch=1)
    publish(world, *several("abc"))
    world.turns(first, 2)
    world.crash(first)
    world.turns(keeper(), 3)
    assert set(live(catalogue).values()) == {4}


def test_bad_articles_become_dead_letters(world, keeper, catalogue) -> None:
    world.send(ARTICLES, b"a", b"{}")
    world.send(ARTICLES, b"other", encode(Article(item_id="a", title="t")))
    world.send(ARTICLES, b"\xff", None)
    publish(world, *several(["good"]))
    world.turns(keeper())
    assert set(live(catalogue)) == {"good"}
    assert len(world.records(f"{ARTICLES}.dlq")) == 3


def test_without_a_date_an_article_is_as_old_as_its_message(world, keeper, catalogue) -> None:
    publish(world, *several("a"))
    world.turns(keeper())
    (record,) = world.records(ARTICLES)
    assert catalogue.changes(0).entries[0].published_at == record.timestamp / 1000


def test_a_change_without_a_date_makes_an_article_no_newer(world, keeper, catalogue) -> None:
    loop = keeper()
    publish(world, *several("ab"), Article(item_id="c", title="text", published_at=1e9))
    world.turns(loop)
    before = catalogue.entries("abc")
    world.clock.sleep(5e6)
    publish(world, *several("ac", "corrected"), Article(item_id="b", title="x", published_at=2e9 - 1e9 + 5))
    world.turns(loop)
    after = catalogue.entries("abc")
    assert {e.title for i, e in after.items() if i != "b"} == {"corrected"}
    assert [after[i].published_at for i in "ac"] == [before["a"].published_at, 1e9]
    assert after["b"].published_at == 1e9 + 5


def test_another_encoder_reads_everything_again_however_often_it_is_interrupted(
    world, keeper, catalogue, encoder
) -> None:
    publish(world, *several("abcdef"))
    first = keeper()
    world.turns(first)
    world.crash(first)
    for _ in range(2):  # killed before it has handled anything
        world.crash(keeper(fingerprint="another"))
    killed = keeper(fingerprint="another")
    killed.turn()  # has joined
    world.crash(killed)
    encoder.asked.clear()
    world.turns(keeper(fingerprint="another"), 4)
    assert sorted(encoder.asked) == ["text"] * 6
    encoder.asked.clear()
    world.turns(keeper(fingerprint="another"), 4)
    assert encoder.asked == []


def test_what_redis_has_lost_is_read_again_at_the_next_start_and_under_way(world, keeper, catalogue) -> None:
    publish(world, *several("abc"))
    loop = keeper()
    world.turns(loop, 4)
    for start_anew in (True, False):
        catalogue.remove("abc")
        world.board.__init__()
        if start_anew:
            world.crash(loop)
            loop = keeper()
        world.turns(loop, 12)
        assert set(live(catalogue)) == {"a", "b", "c"}, start_anew


def test_it_says_why_it_reads_again(
    world, keeper, catalogue, encoder, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    publish(world, *several("abc"))
    loop = keeper()
    world.turns(loop, 4)

    def told(lost: Any, fingerprint: str = "print") -> str:
        nonlocal loop
        world.crash(loop)
        lost()
        caplog.clear()
        capsys.readouterr()
        loop = keeper(fingerprint=fingerprint)
        world.turns(loop, 4)
        return capsys.readouterr().out + caplog.text  # by whether something has set up our logs
    assert "reading_again" not in told(lambda: None)
    committed = world.broker._groups["catalogue"].committed
    assert "none of it is committed" in told(committed.clear) and len(encoder.asked) == 3
    assert "Redis does not hold it" in told(world.board.__init__)
    assert "it was read by print" in told(lambda: None, "another")


def test_what_could_not_be_used_is_one_dead_letter_however_often_it_is_read(world, keeper, catalogue) -> None:
    world.send(ARTICLES, b"bad", b"no JSON")
    publish(world, *several("abc"))
    loop = keeper()
    world.turns(loop, 4)
    catalogue.remove("abc")
    world.board.__init__()
    world.crash(loop)
    loop = keeper()
    world.turns(loop, 12)
    assert set(live(catalogue)) == {"a", "b", "c"}
    world.send(ARTICLES, b"bad", b"no JSON either")
    world.turns(loop, 4)
    assert [r.value for r in world.records(f"{ARTICLES}.dlq")] == [b"no JSON", b"no JSON either"]
