"""What is wrong with a message is found at the door, and named; what is right gets through."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.errors import InvalidMessage
from streamrec.events import (
    MESSAGES,
    Article,
    DriftReport,
    Feedback,
    Recommendation,
    Request,
    decode,
    encode,
    epoch,
    topic,
)

NOW = 1_750_000_000.0
CLICK: dict[str, Any] = {
    "event_id": "e1", "user_id": "u1", "event_type": "click", "timestamp": NOW, "item_id": "i1",
}


def click(**changed: Any) -> bytes:
    """A click with some fields changed; `...` leaves one out."""
    return json.dumps({k: v for k, v in {**CLICK, **changed}.items() if v is not ...}).encode()


BAD: dict[str, tuple[bytes | None, str]] = {
    "no value": (None, "null"),
    "empty value": (b"", "truncated"),
    "not JSON": (b"click u1 i1", "malformed"),
    "cut off": (click()[:-5], ""),
    "a list": (b"[1, 2]", "object"),
    "the word null": (b"null", "object"),
    "invalid UTF-8": (b'{"event_id": "\xff\xfe"}', "utf-8"),
    "half a surrogate": (click(item_id="X").replace(b'"X"', b'"\\ud800"'), ""),
    "two megabytes": (click(session_id="x" * 2_000_000), "2000"),
    "id of a number": (click(user_id=7), "$.user_id"),
    "no user": (click(user_id=...), "user_id"),
    "no event id": (click(event_id=...), "event_id"),
    "no time": (click(timestamp=...), "timestamp"),
    "empty user": (click(user_id=""), "$.user_id"),
    "empty item": (click(item_id=""), "$.item_id"),
    "id too long": (click(event_id="x" * 257), "$.event_id"),
    "unknown type": (click(event_type="purchase"), "$.event_type"),
    "a click without item": (click(item_id=...), "$.item_id"),
    "an impression without slate": (click(event_type="impression"), "$.impression"),
    "NaN time": (click(timestamp=float("nan")), "malformed"),
    "infinite time": (click(timestamp=float("inf")), "malformed"),
    "huge time": (click().replace(b"1750000000.0", b"1e999"), "$.timestamp"),
    "1970": (click(timestamp=12345.0), "$.timestamp"),
    "milliseconds": (click(timestamp=NOW * 1000), "$.timestamp"),
    "2100": (click(timestamp="2100-01-01T00:00:00Z"), "$.timestamp"),
    "year one": (click(timestamp="0001-01-01T00:00:00+10:00"), "$.timestamp"),
    "no time zone": (click(timestamp="2025-06-15T12:00:00"), "$.timestamp"),
    "no date": (click(timestamp="yesterday"), "$.timestamp"),
    "negative dwell": (click(event_value=-1.0), "$.event_value"),
    "NaN dwell": (click(event_value=float("nan")), "malformed"),
    "dwell as text": (click(event_value="12"), "$.event_value"),
    "slate of 10,000": (click(impression=["i"] * 10_000), "$.impression"),
    "slate with an empty id": (click(impression=["a", ""]), "$.impression"),
    "propensity of nought": (click(propensity=0.0), "$.propensity"),
    "propensity over one": (click(propensity=1.5), "$.propensity"),
    "another schema version": (click(schema_version=2), "$.schema_version"),
    "schema version as text": (click(schema_version="1"), "$.schema_version"),
    "separator in the item": (click(item_id="a\x1fb"), "control"),
    "separator in the user": (click(user_id="a\x1eb"), "control"),
    "NUL in the item": (click(item_id="a\x00"), "control"),
    "line break in the item": (click(item_id="a\nb"), "control"),
    "raw control character": (click(item_id="X").replace(b"X", b"a\x1fb"), "malformed"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_event_is_refused_and_its_fault_named(name: str) -> None:
    value, named = BAD[name]
    with pytest.raises(InvalidMessage) as failure:
        decode(Feedback, value, NOW)
    assert named in str(failure.value) and len(str(failure.value)) < 300


@pytest.mark.parametrize(("kind", "value", "named"), [
    (Article, {"title": "no id"}, "item_id"),
    (Article, {"item_id": "a", "title": "x" * 1001}, "$.title"),
    (Article, {"item_id": "a", "published_at": NOW + 200_000}, "$.published_at"),
    (Article, {"item_id": "a\t"}, "control"),
    (Article, {"item_id": "a", "tags": "sport"}, "$.tags"),
    (Request, {"request_id": "r"}, "$.user_id"),
    (Request, {"request_id": "r", "user_id": "u", "user_ids": ["v"]}, "$.user_id"),
    (Request, {"request_id": "r", "user_id": "u", "n": 0}, "$.n"),
    (Request, {"request_id": "r", "user_id": "u", "n": 501}, "$.n"),
    (Request, {"request_id": "r", "user_id": "u", "policy": "best"}, "$.policy"),
])
def test_a_bad_article_or_request_is_refused(kind: Any, value: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidMessage, match=named.replace("$", r"\$")):
        decode(kind, json.dumps(value).encode(), NOW)


@pytest.mark.parametrize("stamp", [
    NOW, int(NOW), "2025-06-15T15:06:40Z", "2025-06-15T17:06:40+02:00", "2025-06-15T15:06:40.000Z",
])
def test_one_moment_may_be_said_in_many_ways(stamp: Any) -> None:
    assert epoch(decode(Feedback, click(timestamp=stamp), NOW).timestamp) == NOW


def test_a_day_of_skew_is_borne() -> None:
    assert decode(Feedback, click(timestamp=NOW + 86_000), NOW).event_id == "e1"


def test_unknown_fields_are_ignored_and_missing_ones_have_defaults() -> None:
    found = decode(Feedback, click(invented_later={"x": [1]}), NOW)
    assert found == Feedback(event_id="e1", user_id="u1", event_type="click", timestamp=NOW, item_id="i1")


def test_text_may_hold_escapes_and_any_script() -> None:
    body = 'two\nlines, "quoted", \\ and \x1f'
    value = json.dumps({"item_id": "a:{b} ü 日本", "body": body}).encode()
    assert decode(Article, value, NOW).body == body


def test_topics_carry_the_version() -> None:
    assert topic("mine", "feedback") == "mine.feedback.v1"


ids = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=40)
moments = st.floats(1e9, NOW)
events = st.builds(
    Feedback, event_id=ids, user_id=ids, timestamp=moments, item_id=ids,
    event_type=st.sampled_from(["click", "read", "like", "dismiss"]),
    session_id=st.none() | ids, event_value=st.none() | st.floats(0, 1e6),
    impression=st.lists(ids, max_size=5), recommendation_id=st.none() | ids,
    propensity=st.none() | st.floats(1e-6, 1.0), schema_version=st.just(1),
)
articles = st.builds(
    Article, item_id=ids, title=st.text(max_size=50).filter(lambda t: t.isprintable()), body=ids,
    published_at=st.none() | moments, tags=st.lists(ids, max_size=3), lang=st.just("en"), url=ids,
    schema_version=st.just(1),
)
requests = st.builds(
    Request, request_id=ids, user_id=ids, user_ids=st.just([]), n=st.integers(1, 500),
    trigger=st.sampled_from(["request", "feedback"]),
    policy=st.sampled_from(["live", "frozen", "popularity"]), schema_version=st.just(1),
)


@given(events | articles | requests)
def test_what_we_encode_we_decode(message: Any) -> None:
    assert decode(type(message), encode(message), NOW) == message


@given(st.binary(max_size=60) | st.builds(lambda d: json.dumps(d).encode(), st.dictionaries(
    st.sampled_from([*CLICK, "impression", "event_value"]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([None]),
)))
def test_whatever_comes_it_is_a_message_or_invalid(value: bytes) -> None:
    for kind in (Feedback, Article, Request, Recommendation):
        try:
            assert isinstance(decode(kind, value, NOW), kind)
        except InvalidMessage:
            pass


def test_every_message_has_its_own_topic() -> None:
    assert len({topic("p", n) for n in MESSAGES}) == len(set(MESSAGES.values())) == len(MESSAGES)


def test_json_nested_without_end_is_a_dead_letter_not_a_crash() -> None:
    with pytest.raises(InvalidMessage):
        decode(Feedback, b'{"x":' + b"[" * 200_000, NOW)


@pytest.mark.parametrize(("changed", "field"), [
    ({"generated_at": 1e300}, "$.generated_at"), ({"generated_at": -1.0}, "$.generated_at"),
    ({"findings": [{"detector": "d", "alarm": True, "value": None, "threshold": None, "samples": 1,
                    "reference": "", "current": "", "first_seen": 1e18}]}, "$.findings[0].first_seen"),
])
def test_a_report_of_an_impossible_time_is_none(changed: dict[str, Any], field: str) -> None:
    report = {"report_id": "x", "generated_at": NOW, "trigger": "alarm", "model_version": "", "events": 0,
              "findings": []}
    assert decode(DriftReport, json.dumps(report).encode(), NOW).report_id == "x"
    with pytest.raises(InvalidMessage) as failure:
        decode(DriftReport, json.dumps(report | changed).encode(), NOW)
    assert field in str(failure.value)
