"""The scoring worker: every request is answered, a late one from the last list, a bad one with words."""

from collections import Counter, deque
from typing import Any

import numpy as np
import pytest
from consumer_world import ANSWERS, REQUESTS, World

from consumers.last_lists import OLD_S
from consumers.model_fetch import ModelFetch
from consumers.own_texts import OwnTexts
from consumers.scorer import ScoringWorker
from consumers.serving import Serving, Wish
from streamrec.adapters.memory import MemoryCatalogue, MemoryFiles, MemoryPointers, MemoryRules
from streamrec.broker import Partition
from streamrec.catalogue import Entry
from streamrec.config import Buffer, Encoder, Model, Scorer
from streamrec.errors import RetryLater
from streamrec.events import Filters, Match, Recommendation, Request, Rule, decode, encode
from streamrec.metrics import BOARD_SCORER, BOARD_SHED
from streamrec.model.bundle import to_files
from streamrec.model.network import Recommender
from streamrec.registry import Pointer, Registry
from streamrec.scoring import Ask, Served, ServingState
from streamrec.scoring import Scorer as Ranker
from streamrec.scoring.lately import KEPT_S

DIM = 8


class Site:
    """A scoring worker as wiring builds it, over the memory adapters."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world, self.rules = world, MemoryRules()
        self.settings = Scorer(explore=0.0, sync_s=0.01, **settings)
        catalogue, clock = MemoryCatalogue(DIM), world.clock
        ids = [f"a{i}" for i in range(9)]
        catalogue.put([Entry(i, i, clock.now() - 9, ["x"], "", i) for i in ids], {i: i for i in ids})
        vectors = np.eye(9, DIM, dtype=np.float16)
        catalogue.fill([(o, vectors[int(o.item_id[1:])]) for o in catalogue.owed(9)])
        state = ServingState(world.buffer, catalogue, Buffer(), DIM)
        prior = Served("0", Recommender.initial(DIM, Model()))
        ranker = Ranker(state, world.buffer, prior, self.settings, 1, None, clock)
        self.registry = Registry(MemoryFiles(), MemoryPointers(clock))
        own = OwnTexts(catalogue, state.articles, Encoder())
        self.fetch = ModelFetch(self.registry, state.articles, "e", own)
        self.serving = Serving(ranker, self.fetch, self.rules, world.board, clock, self.settings)
        publisher = world.broker.publisher()
        self.worker = ScoringWorker(self.serving, publisher, world.dead_letters(), world.board, clock,
                               self.settings, ANSWERS)
        self.loop = world.loop(world.broker.subscribe([REQUESTS], "score"), self.worker, publisher)
        self.touches, self._seen = 0, set[str]()

    def ask(self, user: str = "u", request_id: str = "r", **wish: Any) -> None:
        request = Request(request_id=request_id, user_id=user, **wish)
        self.world.send(REQUESTS, user.encode(), encode(request))

    def publish(self, version: str, encoder: str = "e") -> None:
        files = to_files(Recommender.initial(DIM, Model()), {"encoder": encoder})
        self.registry.stage("versions", version, files, cursor={})
        old = self.registry.current()
        new = Pointer(version=version, attempt=old.attempt + 1, first_trained=old.first_trained or version)
        self.registry.pointers.move(new, old.attempt, None, None)
        self.fetch.look()
        self.world.clock.sleep(1)

    def versions(self) -> dict[str, str]:
        """Which version answers by which policy."""
        for policy in ("live", "frozen"):
            self.ask("u", policy, policy=policy)
        return {a.policy: a.model_version for a in self.answers()}

    def touched(self, *users: str) -> None:
        self.touches += 1
        request = Request(request_id=f"f{self.touches}", user_ids=list(users), trigger="feedback")
        self.world.send(REQUESTS, users[0].encode(), encode(request))

    def click(self, user: str, item: str) -> None:
        """It is known, and the list that it brings is long out."""
        self.world.click(user, item)
        self.world.turns(self.world.collector())
        self.answers()
        self.world.clock.sleep(OLD_S)

    def answers(self, turns: int = 4) -> list[Recommendation]:
        """What has been answered since the last call."""
        for _ in range(turns):
            self.loop.turn()
        found = [
            decode(Recommendation, r.value, 0.0)
            for p in range(2) for r in self.world.broker.read(Partition(ANSWERS, p), 0, 999)
        ]
        found.sort(key=lambda a: a.generated_at)
        # By id: a stale one is dated as it was made.
        new = [a for a in found if a.recommendation_id not in self._seen]
        self._seen |= {a.recommendation_id for a in new}
        return new


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


def test_a_request_is_answered_with_its_id_tier_and_items(site: Site) -> None:
    site.ask("u", "r1", n=3)
    (answer,) = site.answers()
    assert (answer.request_id, answer.user_id, answer.tier, len(answer.items)) == ("r1", "u", "popular", 3)
    site.ask("u", "r2", n=3, filters=Filters(exclude_items=["a0"]), explain=True)
    (answer,) = site.answers()
    assert "a0" not in [i.item_id for i in answer.items] and answer.items[0].reasons is not None


@pytest.mark.parametrize(("value", "named"), [
    (b'{"request_id":"r","user_id":"u","n":0}', "$.n"),
    (b'{"request_id":"r","user_id":"u","n":10000}', "$.n"),
    (b'{"request_id":"r","user_id":"u","filters":{"tag":["x"]}}', "tag"),
    (b'{"request_id":"r","user_id":"u","diversity":2}', "$.diversity"),
    (b'{"request_id":"r","user_id":"u","interests":"' + b"x" * 100_000 + b'"}', "$.interests"),
])
def test_a_request_with_a_mistake_is_answered_in_words_and_the_worker_goes_on(
    site: Site, value: bytes, named: str
) -> None:
    site.world.send(REQUESTS, b"u", value)
    site.ask("u", "good")
    by_id = {a.request_id: a for a in site.answers()}
    assert by_id["r"].items == [] and named in by_id["r"].error
    assert len(by_id["good"].items) == 9
    assert len(site.world.broker.read(Partition(f"{REQUESTS}.dlq", 0), 0, 9)) == 1


def test_a_message_that_says_not_even_who_asks_is_a_dead_letter_only(site: Site) -> None:
    site.world.send(REQUESTS, b"u", b"rubbish")
    site.ask("u", "good")
    assert [a.request_id for a in site.answers()] == ["good"]
    assert len(site.world.broker.read(Partition(f"{REQUESTS}.dlq", 0), 0, 9)) == 1


def test_after_its_deadline_a_request_gets_the_last_list_marked_stale(site: Site) -> None:
    site.ask("u", "first", n=5)
    (first,) = site.answers()
    site.world.clock.sleep(1)
    site.ask("u", "late", n=3, deadline_ms=50)
    site.ask("new", "late and unknown", n=2, deadline_ms=50)
    site.world.clock.sleep(1)
    answers = {a.request_id: a for a in site.answers()}
    late = answers["late"]
    assert late.stale and late.generated_at == first.generated_at
    assert [i.item_id for i in late.items] == [i.item_id for i in first.items[:3]]
    assert late.recommendation_id != first.recommendation_id
    unknown = answers["late and unknown"]
    assert unknown.stale and (unknown.user_id, unknown.tier, len(unknown.items)) == ("new", "popular", 2)
    site.ask("u", "in time", deadline_ms=5000)
    assert not site.answers()[0].stale


@pytest.mark.parametrize(("usual", "asked", "stale"), [
    (0.0, 0.0, True), (0.0, 0.5, False), (0.5, 0.0, False), (0.5, 0.5, True), (0.5, None, True),
])
def test_a_list_of_another_variety_will_not_do(
    world: World, usual: float, asked: float | None, stale: bool
) -> None:
    site = Site(world, diversity=usual)
    site.ask("u", "first", n=5)
    site.answers()
    site.world.clock.sleep(1)
    site.ask("u", "late", n=3, deadline_ms=50, diversity=asked)
    site.world.clock.sleep(1)
    [answer] = site.answers()
    assert answer.stale is stale


def test_a_last_list_of_all_there_is_will_do_and_its_ranks_have_no_holes(site: Site) -> None:
    site.ask("u", "first", n=50)
    (first,) = site.answers()
    assert len(first.items) == 9  # all there is
    site.world.clock.sleep(1)
    gone = first.items[1].item_id
    site.rules.change([Rule(rule_id="r", action="block", match=Match(item_ids=[gone]))], [])
    site.ask("u", "takes up the rule", explain=True)  # no plain one: it is not kept as the last
    site.answers()
    site.ask("u", "late", n=50, deadline_ms=50)
    site.world.clock.sleep(1)
    (late,) = site.answers()
    assert late.stale
    assert [i.item_id for i in late.items] == [i.item_id for i in first.items if i.item_id != gone]
    assert [i.rank for i in late.items] == list(range(1, 9))


def test_a_last_list_that_is_too_short_will_not_do(site: Site) -> None:
    site.ask("u", "first", n=3)
    site.answers()
    site.ask("u", "late", n=5, deadline_ms=50)
    site.world.clock.sleep(1)
    (late,) = site.answers()
    assert not late.stale and len(late.items) == 5


def test_where_the_readers_own_list_is_too_short_that_of_nobody_will_do(site: Site) -> None:
    site.ask("nobody", "popular", n=9)
    [popular] = site.answers()
    site.click("u", "a1")
    site.ask("u", "short", n=2)
    [short] = site.answers()
    assert short.tier == "personal"
    for n, of in ((5, popular), (2, short)):
        answer = late(site, n=n)
        assert answer.stale and (answer.user_id, answer.generated_at) == ("u", of.generated_at)


@pytest.mark.parametrize("reads", [True, False])
def test_a_short_list_does_not_cost_the_next_late_request_its_longer_one(site: Site, reads: bool) -> None:
    if reads:
        site.click("u", "a1")
    site.ask("u", "long", n=8)
    [long] = site.answers()
    site.world.clock.sleep(1)
    site.ask("u", "short", n=2)
    [short] = site.answers()
    assert short.tier == long.tier == ("personal" if reads else "popular")
    for n, of in ((5, long), (1, short)):
        answer = late(site, n=n)
        assert answer.stale and answer.generated_at == of.generated_at and len(answer.items) == n
    site.world.clock.sleep(OLD_S)
    site.ask("u", "short", n=2)  # by now it says more of the reader than the long one
    site.answers()
    assert not late(site, n=5).stale and late(site, n=2).stale


def test_who_reads_chinese_gets_a_stale_list_in_chinese_and_nobody_else_does(site: Site) -> None:
    site.ask("u", "first", n=5, locale="zh")
    [first] = site.answers()
    again = late(site, n=5, locale="zh")
    assert again.stale and [i.reason for i in again.items] == [i.reason for i in first.items]
    assert not late(site, n=5, locale="en").stale


def test_a_stale_list_goes_without_what_a_rule_pinned_that_has_ended(site: Site) -> None:
    site.rules.change([Rule(rule_id="r", action="pin", match=Match(item_ids=["a7"])),
                       Rule(rule_id="off", action="block", match=Match(item_ids=["a8"]))], [])
    site.ask("u", "first", n=9)
    [first] = site.answers()
    assert first.items[0].item_id == "a7" and first.rules == ["off", "r"]
    assert [i.item_id for i in late(site, n=5).items] == [i.item_id for i in first.items[:5]]
    site.rules.change([], ["r"])
    site.world.clock.sleep(1)
    site.answers()  # it follows
    again = late(site, n=5)
    assert again.stale and again.rules == ["off"] and again.items[0].rank == 1
    assert [i.item_id for i in again.items] == [i.item_id for i in first.items[1:6]]


def late(site: Site, **wish: Any) -> Recommendation:
    """The answer to a request whose deadline had passed when it was taken up."""
    site.ask("u", "late", deadline_ms=50, **wish)
    site.world.clock.sleep(1)
    [answer] = site.answers()
    return answer


def test_what_was_acknowledged_a_moment_ago_is_in_no_list_though_nobody_has_counted_it(site: Site) -> None:
    lately = site.serving.lately
    site.ask("u", "first", n=9)
    assert len(site.answers()[0].items) == 9
    lately.read([("u", "a1"), ("other", "a2")])
    lately.deleted("a3")
    for stale in (True, False):
        if stale:
            answer = late(site, n=9)
        else:
            site.ask("u", "fresh", n=9)
            [answer] = site.answers()
        assert answer.stale == stale
        assert {i.item_id for i in answer.items} == {f"a{n}" for n in range(9)} - {"a1", "a3"}
    rest = [f"a{n}" for n in range(9) if n != 3]
    for wish, why in ((Ask("v", 3, similar_to="a3"), "no article a3 is known"),
                      (Ask("v", 3, filters=Filters(exclude_items=rest)), "no article passes the filters")):
        assert why in (site.serving.answer([Wish(wish, "r")])[0].error or "")
    lately.announced("a3")
    site.ask("u", "fresh", n=9)
    assert {i.item_id for i in site.answers()[0].items} == {f"a{n}" for n in range(9)} - {"a1"}
    lately.read([("u", "a4")])
    site.world.clock.sleep(KEPT_S)
    site.ask("u", "later", n=9)  # it has long come round through Kafka, or never will
    assert len(site.answers()[0].items) == 9 and lately._order == deque() and lately._of == {}


def test_who_looks_at_what_a_version_would_say_sees_it_without_them_too(site: Site) -> None:
    site.answers()  # it follows
    site.serving.lately.read([("u", "a1")])
    seen = site.serving.under(None, Wish(Ask("u", 9), "look"))
    assert {i.item_id for i in seen.items} == {f"a{n}" for n in range(9)} - {"a1"}


def test_an_import_of_events_is_not_remembered_whole(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrec.scoring.lately.MOST", 3)
    lately = site.serving.lately
    lately.read([("u", "a1"), ("u", "a2"), ("u", "a1"), ("v", "a3")])
    assert lately.of("u") == {"a1", "a2"} and lately.of("v") == {"a3"}  # a1 was told again
    lately.read(("w", f"a{n}") for n in range(1000))
    assert lately.of("w") == {"a997", "a998", "a999"} and lately.of("u") == frozenset()
    assert len(lately._order) == len(lately._until) == 3 and set(lately._of) == {"w"}


def test_a_filtered_request_is_never_answered_from_another_list(site: Site) -> None:
    site.ask("u", "first")
    site.answers()
    site.ask("u", "late", filters=Filters(tags_any=["none"]), deadline_ms=1)
    site.world.clock.sleep(1)
    (late,) = site.answers()
    assert not late.stale and late.items == []


def test_refreshes_of_one_reader_are_merged_and_the_last_is_answered(world: World) -> None:
    site = Site(world, refresh_every_s=10.0)
    site.touched("u", "v")
    site.answers()
    before = world.board.total(BOARD_SHED)
    for _ in range(5):
        site.touched("u")
        assert site.answers(1) == []
    world.clock.sleep(10)
    assert Counter(a.user_id for a in site.answers()) == {"u": 1}
    assert world.board.total(BOARD_SHED) - before == 4


def test_a_waiting_refresh_outlives_a_blip_of_redis(world: World) -> None:
    site = Site(world, refresh_every_s=10.0)
    site.touched("u")
    site.answers()
    site.touched("u")
    site.answers(1)
    world.clock.sleep(10)
    real, world.buffer.histories = world.buffer.histories, away  # type: ignore[method-assign]
    with pytest.raises(RetryLater):
        site.worker.idle()
    world.buffer.histories = real  # type: ignore[method-assign]
    site.worker.idle()
    assert [a.user_id for a in site.answers()] == ["u"]


def test_what_waits_for_its_time_is_answered_before_the_process_ends(world: World) -> None:
    site = Site(world, refresh_every_s=10.0)
    site.touched("u")
    site.answers()
    site.touched("u")
    assert site.answers(1) == []  # Kafka will not bring it again
    site.loop.stop.set()
    site.loop.run()
    assert [a.user_id for a in site.answers(0)] == ["u"]


def test_a_refresh_that_fails_has_no_request_answered_twice(site: Site) -> None:
    real, failures = site.world.buffer.histories, [RetryLater("Redis is away")]

    def blip(users: Any) -> Any:
        if "u" in users and failures:
            raise failures.pop()
        return real(users)
    site.world.buffer.histories = blip  # type: ignore[method-assign]
    site.ask("w", "r")
    site.touched("u")
    assert Counter(a.user_id for a in site.answers()) == {"w": 1, "u": 1} and not failures


def away(users: Any) -> Any:
    raise RetryLater("Redis is away")


def test_interests_that_cannot_be_read_cost_nobody_else_an_answer(site: Site) -> None:
    def broken(text: str, domain: str) -> Any:
        raise RetryLater("no encoder")

    site.serving.scorer._wishes._encode = broken
    site.ask("u", "plain")
    site.ask("v", "said", interests="kafka")
    answers = {a.request_id: a for a in site.answers()}
    assert len(answers["plain"].items) == 9 and answers["said"].items == []
    assert "no encoder - at `$.interests`" in answers["said"].error


def test_old_refreshes_are_shed_and_requests_never_are(site: Site) -> None:
    site.touched("u", "v")
    site.ask("w", "r")
    site.world.clock.sleep(site.settings.refresh_max_age_s + 1)
    assert [a.user_id for a in site.answers()] == ["w"]
    assert site.world.board.total(BOARD_SHED) == 2


def test_rules_are_followed_and_named(site: Site) -> None:
    rule = Rule(rule_id="no a1", action="block", match=Match(item_ids=["a1"]))
    site.rules.change([rule], [])
    site.ask("u")
    (answer,) = site.answers()
    assert len(answer.items) == 8 and answer.rules == ["no a1"]
    site.rules.change([], ["no a1"])
    site.world.clock.sleep(1)
    site.ask("u")
    assert len(site.answers()[0].items) == 9


def test_the_newest_version_answers_and_the_first_one_ever_trained_as_frozen(site: Site) -> None:
    for version in ("1", "2"):
        site.publish(version)
        assert site.versions() == {"live": version, "frozen": "1"}


def test_a_version_made_for_another_encoders_vectors_is_refused_and_the_old_one_serves(site: Site) -> None:
    site.publish("1")
    site.publish("2", encoder="another")
    assert site.versions()["live"] == "1"
    told = site.world.board.get(BOARD_SCORER)
    assert told["version"] == "1" and told["refused"]["version"] == "2"
    assert "vectors of another" in told["refused"]["why"]
    site.publish("1")  # an operator goes back to what answers already
    assert site.versions()["live"] == "1"
    assert site.world.board.get(BOARD_SCORER) == {"version": "1", "refused": None}


def test_where_nothing_but_the_prior_answers_nobody_is_told_of_a_version(site: Site) -> None:
    site.world.board.put(BOARD_SCORER, {"version": "7", "refused": None})  # of before a restart
    site.publish("7", encoder="another")
    assert site.versions()["live"] == "0"
    told = site.world.board.get(BOARD_SCORER)
    assert told["version"] is None and told["refused"]["version"] == "7"
