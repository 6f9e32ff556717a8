"""What HTTP promises: the same answers as on the topics, 202 only once Kafka has it, mistakes by name."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client import REGISTRY
from starlette.testclient import TestClient
from web_site import DIM, WebSite

from consumers.interests import Interests
from streamrec.errors import RetryLater
from streamrec.events import Article, Feedback, Match, Recommendation, Rule, decode
from tests.e2e.harness import wait_until

NOW = 2e9


@pytest.fixture
def site() -> WebSite:
    return WebSite()


@pytest.fixture
def http(site: WebSite) -> Iterator[httpx.Client]:
    with site.client() as client:
        yield client


def ids(answer: Any) -> list[str]:
    return [i["item_id"] for i in answer.json()["items"]]


def ask(http: httpx.Client, **wish: Any) -> Any:
    return http.post("/v1/recommendations", json=wish)


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status and found["title"] and found["detail"]
    return found


def test_a_list_is_answered_and_published_and_knows_what_was_read(site: WebSite, http: httpx.Client) -> None:
    site.read("u", "a1")
    answer = ask(http, user_id="u", n=5, request_id="mine")
    assert answer.status_code == 200 and len(ids(answer)) == 5 and "a1" not in ids(answer)
    body = answer.json()
    assert (body["request_id"], body["tier"], body["user_id"]) == ("mine", "personal", "u")
    sent = wait_until(lambda: site.sent("recommendations"), 10, "it is on the topic")
    on_topic = decode(Recommendation, sent[-1].value, NOW)
    assert on_topic.recommendation_id == body["recommendation_id"]


def test_who_has_no_account_is_answered_by_visit_interests_or_what_is_popular(http: httpx.Client) -> None:
    assert ask(http).json()["tier"] == "popular"
    assert ask(http, interests="baking").json()["tier"] == "interests"
    assert ids(ask(http, interests="baking", n=1)) == ["a3"]
    visit = ask(http, session=["a2"], n=9, explain=True, locale="zh")
    assert visit.json()["tier"] == "session" and "a2" not in ids(visit)
    assert visit.json()["user_id"].startswith("anonymous-")


def test_more_like_this(site: WebSite, http: httpx.Client) -> None:
    answer = http.get("/v1/articles/a1/similar", params={"n": 3})
    assert len(ids(answer)) == 3 and "a1" not in ids(answer) and answer.json()["tier"] == "similar"
    site.read("u", "a4")
    assert "a4" not in ids(http.get("/v1/articles/a1/similar", params={"n": 9, "user_id": "u"}))
    assert ids(http.get("/v1/articles/a1/similar", params={"lang": "fr"})) == []
    assert "no article none" in problem(http.get("/v1/articles/none/similar"), 404)["detail"]
    assert problem(http.get("/v1/articles/a1/similar?n=0"), 400)["field"] == "$.n"
    assert problem(http.get("/v1/articles/a1/similar?n=many"), 400)["field"] == "$.n"
    problem(http.get("/v1/articles/a1/similar?n=" + "9" * 5000), 400)
    assert "'m'" in problem(http.get("/v1/articles/a1/similar?m=1"), 400)["detail"]


@pytest.mark.parametrize(("query", "wish"), [
    ("tags_any=x&tags_any=y", {"filters": {"tags_any": ["x", "y"]}}),
    ("tags_all=x&tags_all=y", {"filters": {"tags_all": ["x", "y"]}}),
    ("tags_none=x", {"filters": {"tags_none": ["x"]}}),
    ("published_after=2000000000&lang=en", {"filters": {"published_after": 2e9, "lang": "en"}}),
    ("published_after=2026-01-31T08:00:00Z", {"filters": {"published_after": "2026-01-31T08:00:00Z"}}),
    ("exclude_items=a2&exclude_items=a3&n=4", {"filters": {"exclude_items": ["a2", "a3"]}, "n": 4}),
    ("explain=true&locale=zh&n=2", {"explain": True, "locale": "zh", "n": 2}),
    ("diversity=0.9&n=3&deadline_ms=9000", {"diversity": 0.9, "n": 3, "deadline_ms": 9000}),
])
def test_what_a_query_asks_for_is_what_a_body_would(http: httpx.Client, query: str, wish: Any) -> None:
    found, expected = http.get(f"/v1/articles/a1/similar?{query}"), ask(http, similar_to="a1", **wish)
    assert found.status_code == 200 == expected.status_code
    for name in ("items", "tier", "error"):
        assert found.json()[name] == expected.json()[name]


@pytest.mark.parametrize(("query", "field"), [
    ("n=3&n=5", "$.n"), ("explain=true&explain=false", "$.explain"), ("user_id=u&user_id=v", "$.user_id"),
    ("explain=perhaps", "$.explain"), ("diversity=2", "$.diversity"), ("locale=fr", "$.locale"),
    ("published_after=yesterday", "$.published_after"), ("published_after=nan", "$.published_after"),
    ("user_id=", "$.user_id"),
    ("deadline_ms=0", "$.deadline_ms"), ("exclude_items=", "$.exclude_items[0]"),
    ("interests=bees", "$.interests"),
])
def test_a_mistake_in_a_query_is_a_problem_with_the_parameters_name(
    http: httpx.Client, query: str, field: str
) -> None:
    assert problem(http.get(f"/v1/articles/a1/similar?{query}"), 400)["field"] == field


def test_filters_that_leave_nothing_are_an_answer_and_no_error(http: httpx.Client) -> None:
    answer = ask(http, user_id="u", filters={"tags_all": ["none"]})
    assert answer.status_code == 200 and ids(answer) == [] and "$.filters" in answer.json()["error"]


def test_rules_are_named(site: WebSite, http: httpx.Client) -> None:
    site.rules.change([Rule(rule_id="r", action="pin", match=Match(item_ids=["a7"]))], [])
    for _ in range(100):
        answer = ask(http, user_id="u", n=3)
        if answer.json()["rules"]:
            break
    assert ids(answer)[0] == "a7" and answer.json()["rules"] == ["r"]


@pytest.mark.parametrize(("body", "named"), [
    ({"n": 0}, "$.n"), ({"n": 10_000}, "$.n"), ({"n": "5"}, "$.n"),
    ({"filters": {"tag_any": ["x"]}}, "tag_any"), ({"diversity": -1}, "$.diversity"),
    ({"interests": "x" * 100_000}, "$.interests"), ({"nn": 3}, "nn"), ({"locale": "fr"}, "$.locale"),
    ({"policy": "best"}, "$.policy"), ({"session": "a1"}, "$.session"), ([], "object"),
    ({"filters": {"published_after": "yesterday"}}, "published_after"), ({"deadline_ms": 0}, "$.deadline_ms"),
])
def test_a_mistake_is_a_problem_with_the_fields_name(http: httpx.Client, body: Any, named: str) -> None:
    assert named in problem(http.post("/v1/recommendations", json=body), 400)["detail"]


@pytest.mark.parametrize(("method", "path", "body", "field"), [
    ("POST", "/v1/recommendations", {"foo": 1}, "$.foo"),
    ("POST", "/v1/recommendations", {"a`b - at `$.n": 1}, "$.a`b - at `$.n"),
    ("POST", "/v1/recommendations", {"filters": {"tag": ["x"]}}, "$.filters.tag"),
    ("POST", "/v1/feedback", {"event_type": "click", "item_id": "a"}, "$.user_id"),
    ("POST", "/v1/feedback", {"user_id": "u", "event_type": "click", "item_id": "a\u0001"}, "$.item_id"),
    ("POST", "/v1/feedback", {"user_id": "\n", "event_type": "click", "item_id": "a"}, "$.user_id"),
    ("PUT", "/v1/articles/a", {"titel": "T"}, "$.titel"),
    ("GET", "/v1/articles/a1/similar?m=1", None, "$.m"),
])
def test_a_mistake_has_the_path_of_its_own_field(
    http: httpx.Client, method: str, path: str, body: Any, field: str
) -> None:
    assert problem(http.request(method, path, json=body), 400)["field"] == field


def test_of_many_events_the_one_without_a_field_is_named(http: httpx.Client) -> None:
    good = {"user_id": "u", "event_type": "click", "item_id": "a1"}
    for wrong, field in (({"user_id": "u", "item_id": "a"}, "$[1].event_type"), ({**good, "n": 1}, "$[1].n"),
                         ({**good, "item_id": "\t"}, "$[1].item_id")):
        assert problem(http.post("/v1/feedback", json=[good, wrong]), 400)["field"] == field


@pytest.mark.parametrize("body", [b"", b"rubbish", b"\xff\xfe", b"[" * 100_000, b'{"n":'])
def test_rubbish_is_a_problem_and_the_next_request_is_answered(http: httpx.Client, body: bytes) -> None:
    for path in ("/v1/recommendations", "/v1/feedback"):
        assert problem(http.post(path, content=body), 400)["field"].startswith("$")
    problem(http.put("/v1/articles/a", content=body), 400)
    assert ask(http).status_code == 200


def test_a_body_over_the_limit_is_refused(http: httpx.Client) -> None:
    assert "1000000" in problem(http.post("/v1/feedback", content=b" " * 1_000_001), 413)["detail"]


def test_feedback_is_on_the_topic_before_202(site: WebSite, http: httpx.Client) -> None:
    answer = http.post("/v1/feedback", json={"user_id": "u", "event_type": "click", "item_id": "a1"})
    assert answer.status_code == 202 and answer.json()["accepted"] == 1
    sent = decode(Feedback, site.sent("feedback")[0].value, NOW)
    assert sent.event_id == answer.json()["event_ids"][0] and site.sent("feedback")[0].key == b"u"
    many = [{"event_id": f"e{i}", "user_id": "u", "event_type": "read", "item_id": "a1",
             "timestamp": "2026-01-31T08:00:00Z", "event_value": 3.5} for i in range(5)]
    assert http.post("/v1/feedback", json=many).json()["event_ids"] == [f"e{i}" for i in range(5)]
    assert len(site.sent("feedback")) == 6


def test_of_many_events_one_with_a_mistake_sends_none(site: WebSite, http: httpx.Client) -> None:
    good = {"user_id": "u", "event_type": "click", "item_id": "a1"}
    found = problem(http.post("/v1/feedback", json=[good, {**good, "event_type": "clicked"}]), 400)
    assert found["field"] == "$[1].event_type"
    found = problem(http.post("/v1/feedback", json=[good, {"user_id": "u", "event_type": "click"}]), 400)
    assert found["field"] == "$[1].item_id"
    found = problem(http.post("/v1/feedback", json=[good] * 1001), 400)
    assert "at most 1000" in found["detail"] and found["field"] == "$"
    assert site.sent("feedback") == []


def test_while_kafka_is_away_nothing_is_accepted(site: WebSite, http: httpx.Client) -> None:
    site.publisher.away = True
    event = {"user_id": "u", "event_type": "click", "item_id": "a1"}
    answer = http.post("/v1/feedback", json=event)
    assert "away" in problem(answer, 503)["detail"] and answer.headers["retry-after"] == "1"
    site.publisher.away = False
    assert http.post("/v1/feedback", json=event).status_code == 202


def test_while_redis_is_away_an_answer_says_so_until_it_is_back(site: WebSite, http: httpx.Client) -> None:
    site.buffer.away = True
    assert "Redis is away" in problem(ask(http, user_id="u"), 503)["detail"]
    assert http.get("/healthz").status_code == 200
    site.buffer.away = False
    assert ask(http, user_id="u").status_code == 200


def test_after_the_deadline_comes_the_last_list_or_a_problem(site: WebSite, http: httpx.Client) -> None:
    site.read("u", "a1")
    first = ask(http, user_id="u", n=5)
    site.buffer.slow_s = 0.2
    late = ask(http, user_id="u", n=3, deadline_ms=20)
    assert late.json()["stale"] and ids(late) == ids(first)[:3]
    assert problem(ask(http, user_id="new", deadline_ms=20), 504)["field"] == "$.deadline_ms"
    site.buffer.slow_s = 0.0
    popular = ask(http, user_id="somebody", n=5)
    site.buffer.slow_s = 0.2
    assert ids(ask(http, user_id="new", n=2, deadline_ms=20)) == ids(popular)[:2]


def test_a_deadline_that_passes_says_which_wish_no_other_list_can_answer(
    site: WebSite, http: httpx.Client
) -> None:
    ask(http, user_id="u", n=5)
    site.buffer.slow_s = 0.2
    said = problem(ask(http, user_id="u", n=5, explain=True, session=["a1"], deadline_ms=20), 504)["detail"]
    assert "a request with session, explain is answered by no other list" in said
    assert "no earlier list as long" in problem(ask(http, user_id="u", n=9, deadline_ms=20), 504)["detail"]


def test_while_a_server_hangs_nobody_waits_for_it_twice(
    site: WebSite, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.read("u", "a1")
    first, tried = ask(http, user_id="u", n=5), list[Any]()

    def hangs() -> None:
        time.sleep(0.05)
        raise RetryLater("Redis does not answer")

    monkeypatch.setattr(site.serving, "follow", hangs)
    monkeypatch.setattr(site.serving.scorer, "rank", lambda *asks: tried.append(asks))
    answer = ask(http, user_id="u", n=3)
    assert "Redis does not answer" in problem(answer, 503)["detail"] and answer.headers["retry-after"] == "1"
    late = ask(http, user_id="u", n=3, deadline_ms=20_000).json()
    assert late["stale"] and [i["item_id"] for i in late["items"]] == ids(first)[:3]
    problem(ask(http, user_id="u", n=3, deadline_ms=20_000, explain=True), 503)
    with pytest.raises(RetryLater):
        site.desk.run(lambda serving: tried.append(serving)).result(10)
    assert tried == []


def test_while_the_encoder_loads_interests_are_to_be_sent_again_and_nobody_waits(
    site: WebSite, http: httpx.Client
) -> None:
    loaded = threading.Event()

    def load() -> Any:
        loaded.wait(30)
        return lambda texts: np.ones((1, DIM), np.float16)

    interests = Interests(load, {}, wait_s=0.0)
    interests.start()
    site.serving.scorer._wishes._encode, site.serving.interests = interests, interests.state
    wait_until(lambda: http.get("/readyz").status_code == 200, 30, "it is ready without")
    assert http.get("/readyz").json()["interests"] == "loading"
    answer = ask(http, interests="bees")
    found = problem(answer, 503)
    assert "still being loaded" in found["detail"] and found["field"] == "$.interests"
    assert answer.headers["retry-after"] == "1" and ask(http).status_code == 200
    loaded.set()
    wait_until(lambda: ask(http, interests="bees").status_code == 200, 30, "it is loaded")
    assert http.get("/readyz").json()["interests"] == "ready"


def test_interests_that_nothing_here_has_to_do_with_are_the_askers_mistake(
    site: WebSite, http: httpx.Client
) -> None:
    site.serving.scorer._wishes._encode = lambda text, domain: (text, np.zeros(DIM, np.float16))
    found = problem(ask(http, interests="สวัสดี"), 400)
    assert found["field"] == "$.interests" and "knows a word" in found["detail"]


def test_what_a_process_has_acknowledged_is_in_none_of_its_lists(http: httpx.Client) -> None:
    """Though nothing has handled what lies on the topics."""
    ask(http, user_id="u", n=9)
    events = [{"user_id": "u", "event_type": kind, "item_id": item}
              for kind, item in (("click", "a1"), ("dismiss", "a2"))]
    assert http.post("/v1/feedback", json=events).status_code == 202
    assert http.delete("/v1/articles/a3").status_code == 202
    every = {f"a{n}" for n in range(9)}
    assert set(ids(ask(http, user_id="u", n=9))) == every - {"a1", "a2", "a3"}
    assert set(ids(ask(http, user_id="other", n=9))) == every - {"a3"}
    assert "a3" not in ids(http.get("/v1/articles/a4/similar"))
    http.put("/v1/articles/a3", json={"title": "T"})
    assert set(ids(ask(http, user_id="other", n=9))) == every


def test_what_was_shown_is_not_taken_for_read(http: httpx.Client) -> None:
    shown = {"user_id": "u", "event_type": "impression", "item_id": "a1", "impression": ["a1", "a2"]}
    assert http.post("/v1/feedback", json=shown).status_code == 202
    assert "a1" in ids(ask(http, user_id="u", n=9))


def test_what_was_not_acknowledged_counts_for_nothing(site: WebSite, http: httpx.Client) -> None:
    site.publisher.away = True
    http.post("/v1/feedback", json={"user_id": "u", "event_type": "click", "item_id": "a1"})
    http.delete("/v1/articles/a3")
    assert len(ids(ask(http, user_id="u", n=9))) == 9


def test_answers_are_counted_by_status(site: WebSite, http: httpx.Client) -> None:
    def counted(code: str) -> float:
        return REGISTRY.get_sample_value("streamrec_http_answers_total", {"code": code}) or 0.0

    before = {code: counted(code) for code in ("200", "503", "404")}
    ask(http, user_id="u")
    site.buffer.away = True
    ask(http, user_id="u")
    http.get("/healthz")
    assert {code: counted(code) - n for code, n in before.items()} == {"200": 1, "503": 1, "404": 0}


def test_the_topic_hears_of_the_list_given_at_a_deadline(site: WebSite, http: httpx.Client) -> None:
    site.read("u", "a1")
    ask(http, user_id="u", n=5)
    site.buffer.slow_s = 0.2
    late = ask(http, user_id="u", n=3, deadline_ms=20).json()
    wait_until(lambda: len(site.sent("recommendations")) == 2, 30, "the topic hears of both")
    told = [decode(Recommendation, r.value, NOW) for r in site.sent("recommendations")]
    assert len(told) == 2 and told[1].recommendation_id == late["recommendation_id"] and told[1].stale


def test_articles_are_announced_and_taken_out(site: WebSite, http: httpx.Client) -> None:
    answer = http.put("/v1/articles/blog/2026%2F1", json={"title": "T", "tags": ["x"], "source": "s"})
    assert answer.status_code == 202 and answer.json()["item_id"] == "blog/2026/1"
    sent = site.sent("articles")[0]
    article = decode(Article, sent.value, NOW)
    assert (sent.key, article.item_id, article.source) == (b"blog/2026/1", "blog/2026/1", "s")
    assert article.published_at is None  # the catalogue knows whether it is new
    assert http.delete("/v1/articles/a1").status_code == 202 and site.sent("articles")[1].value is None
    assert problem(http.put("/v1/articles/a", json={"item_id": "b"}), 400)["field"] == "$.item_id"
    assert problem(http.put("/v1/articles/a", json={"tags": "x"}), 400)["field"] == "$.tags"
    for other in ("x" * 300, "%00", "%FF", "a%C3"):  # the last two are no UTF-8
        assert problem(http.put(f"/v1/articles/{other}", json={}), 400)["field"] == "$.item_id"


def test_a_path_or_method_that_is_not_there_is_a_problem_that_names_others(http: httpx.Client) -> None:
    for path in ("/v2/recommend", "/v1/recommend", "/v1/articles"):  # at once, with no redirect before
        told = problem(http.get(path, follow_redirects=False), 404)["detail"]
        assert "/v1/recommendations" in told and "slash" not in told
    answer = http.get("/v1/feedback")
    problem(answer, 405)
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/v1/recommendations/"), ("POST", "/v1/feedback/"), ("GET", "/v1/articles/a1/similar/"),
    ("GET", "/healthz/"), ("GET", "/readyz/"), ("GET", "/metrics/"), ("GET", "/v2/recommend/"),
])
def test_an_address_with_a_slash_at_its_end_is_not_there(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path, follow_redirects=False)
    assert "no address ends with a slash" in problem(answer, 404)["detail"]


def test_load_balancers_may_ask_for_the_head_of_a_probe(site: WebSite, http: httpx.Client) -> None:
    wait_until(lambda: http.head("/readyz").status_code == 200, 30, "it is ready")
    assert http.head("/healthz").status_code == 200
    site.publisher.away, site.reach._answered_at = True, 0.0
    wait_until(lambda: http.head("/readyz").status_code == 503, 30, "it is not")


def test_it_is_ready_once_it_follows_and_metrics_are_for_prometheus(http: httpx.Client) -> None:
    ask(http)
    wait_until(lambda: http.get("/readyz").status_code == 200, 30, "Kafka was asked, too")
    assert http.get("/readyz").json() == {"ready": True, "interests": "ready"}
    assert "streamrec_answers_total" in http.get("/metrics").text


def test_it_is_not_ready_when_kafka_has_not_answered_for_ten_seconds(
    site: WebSite, http: httpx.Client
) -> None:
    wait_until(lambda: http.get("/readyz").status_code == 200, 30, "it is ready")
    site.publisher.away = True
    wait_until(lambda: "away" in site.reach._why, 30, "it has asked")
    assert http.get("/readyz").status_code == 200  # a broker may restart
    site.reach._answered_at -= 10.0
    found = problem(http.get("/readyz"), 503)
    assert found["missing"] == ["kafka"] and "Kafka does not answer: Kafka is away" in found["detail"]
    assert http.get("/healthz").status_code == 200 and ask(http).status_code == 200
    site.publisher.away = False
    wait_until(lambda: http.get("/readyz").status_code == 200, 30, "it is ready again")


def test_before_kafka_has_answered_once_it_is_not_ready(site: WebSite) -> None:
    site.publisher.away = True
    with site.client() as http:
        wait_until(lambda: site.serving.synced_at and "away" in site.reach._why, 30, "it has asked both")
        assert problem(http.get("/readyz"), 503)["missing"] == ["kafka"]


def test_it_is_not_ready_when_it_has_followed_nothing_for_ten_seconds(
    site: WebSite, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise RetryLater("Redis is away")

    wait_until(lambda: http.get("/readyz").status_code == 200, 30, "it follows")
    monkeypatch.setattr(site.desk.serving.scorer, "follow", away)
    wait_until(lambda: site.desk._trouble == "Redis is away", 30, "it has tried")
    assert http.get("/readyz").status_code == 200
    site.desk.serving.synced_at -= 10.0
    found = problem(http.get("/readyz"), 503)
    assert (found["detail"], found["missing"]) == ("Redis is away", ["redis"])
    monkeypatch.undo()
    wait_until(lambda: http.get("/readyz").status_code == 200, 30, "it follows again")


def test_a_clock_set_back_does_not_stop_it_from_following(site: WebSite, http: httpx.Client) -> None:
    ask(http)
    site.desk.serving._tried_at = site.desk.serving.synced_at = site.clock.now() + 3600.0
    site.article("new", np.ones(DIM))
    wait_until(lambda: "new" in ids(ask(http, user_id="u", n=20)), 30, "the new article is in a list")
    assert http.get("/readyz").status_code == 200


def test_without_its_answering_thread_it_is_neither_alive_nor_ready(site: WebSite) -> None:
    http = TestClient(site.app)
    problem(http.get("/healthz"), 503)
    problem(http.get("/readyz"), 503)


def test_with_keys_everything_but_the_probes_needs_one() -> None:
    site = WebSite(keys=("one", "two"))
    with site.client() as http:
        assert problem(ask(http), 401) and http.get("/healthz").status_code == 200
        problem(http.post("/v1/recommendations", json={}, headers={"authorization": "Bearer three"}), 401)
        problem(http.get("/v1/articles/a1/similar"), 401)
        for headers in (
            {"authorization": "Bearer two"}, {"authorization": "bearer one"}, {"x-api-key": "one"},
            {"authorization": "Bearer wrong", "x-api-key": "two"},
        ):
            assert http.post("/v1/recommendations", json={}, headers=headers).status_code == 200


def test_many_at_once_are_answered_in_batches(
    site: WebSite, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    scorer, batches = site.desk.serving.scorer, list[int]()
    rank = scorer.rank
    monkeypatch.setattr(scorer, "rank", lambda asks, *more: batches.append(len(asks)) or rank(asks, *more))
    site.buffer.slow_s = 0.02  # what comes meanwhile waits
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: ask(http, user_id=f"u{i}", n=3), range(64)))
    assert {a.json()["user_id"] for a in answers} == {f"u{i}" for i in range(64)}
    assert all(len(ids(a)) == 3 for a in answers)
    assert sum(batches) == 64 and max(batches) > 3


def test_the_document_has_an_example_of_each_body_that_is_accepted(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for example in operation.get("requestBody", {}).get("content", {}).get(
                "application/json", {}).get("examples", {}).values():
                url = path.replace("{item_id}", "a1")
                assert http.request(method, url, json=example["value"]).status_code in (200, 202), example
    assert json.dumps(document).count("$ref") > 5


def test_without_keys_no_page_of_another_site_may_ask(http: httpx.Client) -> None:
    event = {"user_id": "u", "event_type": "click", "item_id": "a1"}
    problem(http.post("/v1/feedback", json=event, headers={"origin": "http://evil.example"}), 403)
    own = {"origin": str(http.base_url).rstrip("/")}
    assert http.post("/v1/feedback", json=event, headers=own).status_code == 202


@pytest.mark.parametrize("host", ["localhost:8787", "127.0.0.1", "[::1]:8787", "[::1]"])
def test_on_this_machine_its_own_names_are_answered(host: str) -> None:
    site = WebSite(local=True)
    with site.client() as http:
        assert http.post("/v1/recommendations", json={}, headers={"host": host}).status_code == 200


def test_a_name_that_leads_here_from_elsewhere_is_not() -> None:
    site = WebSite(local=True)
    with site.client() as http:
        said = http.post("/v1/recommendations", json={}, headers={"host": "evil.example:8787"})
        assert said.status_code == 403 and "STREAMREC_WEB__API_KEYS" in said.json()["detail"]
        assert http.get("/healthz", headers={"host": "probe.example"}).status_code == 200


def test_a_job_nobody_waits_for_any_more_does_not_end_the_answering_thread(site: WebSite) -> None:
    with site.client() as http:
        given_up = [site.desk.run(lambda serving: time.sleep(0.05)) for _ in range(5)]
        for job in given_up:
            job.cancel()
        assert site.desk.run(lambda serving: 7).result(10) == 7
        failing: Any = site.desk.run(lambda serving: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            failing.result(10)
        assert site.desk.alive and http.get("/healthz").status_code == 200
