"""The published schema says what the decoder does."""

import json
from typing import Any

import msgspec
import pytest

from streamrec.errors import NotFound
from streamrec.events import (
    MESSAGES,
    Article,
    DriftReport,
    Feedback,
    Finding,
    Match,
    ModelPointer,
    RankedItem,
    Recommendation,
    Request,
    Rule,
    encode,
)
from streamrec.schema import asyncapi, json_schema

EXAMPLES: dict[str, Any] = {
    "articles": Article(item_id="a", title="t", tags=["x"], published_at=1.75e9),
    "feedback": Feedback(event_id="e", user_id="u", event_type="impression", timestamp=1.75e9,
                         impression=["a", "b"], propensity=0.5),
    "requests": Request(request_id="r", user_id="u"),
    "recommendations": Recommendation(
        recommendation_id="x", request_id="r", user_id="u", trigger="request", policy="live",
        model_version="3", generated_at=1.75e9,
        items=[RankedItem(item_id="a", rank=1, score=0.5, propensity=0.9, reason="taste")],
    ),
    "models": ModelPointer(version="3", parent=None, action="publish", published_at=1.75e9,
                           learned_until=1.7e9, rows=5, metrics={"ndcg": 0.1}),
    "drift-reports": DriftReport(
        report_id="d", generated_at=1.75e9, trigger="alarm", model_version="3", events=9,
        findings=[Finding(detector="psi", alarm=True, value=0.3, threshold=None, samples=5,
                          reference="r", current="c")],
    ),
    "rules": Rule(rule_id="r", action="boost", match=Match(tags=["x"]), until=1.75e9),
}


def fits(value: Any, schema: dict[str, Any], defs: dict[str, Any]) -> bool:
    """Structure only: references, alternatives, types, required fields, items, enums."""
    if "$ref" in schema:
        return fits(value, defs[schema["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in schema:
        return any(fits(value, s, defs) for s in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = {"object": dict, "array": list, "string": str, "number": (int, float),
             "integer": int, "boolean": bool, "null": type(None)}
    if not isinstance(value, kinds[schema["type"]]):
        return False
    if isinstance(value, list):
        return all(fits(v, schema.get("items", {}), defs) for v in value)
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        return set(schema.get("required", ())) <= set(value) and all(
            fits(v, known[k], defs) for k, v in value.items()
        )
    return True


@pytest.mark.parametrize("name", MESSAGES)
def test_an_encoded_example_fits_its_json_schema(name: str) -> None:
    schema = json_schema(name)
    value = json.loads(encode(EXAMPLES[name]))
    assert type(EXAMPLES[name]) is MESSAGES[name]
    assert fits(value, schema, schema["$defs"])
    required = schema["$defs"][MESSAGES[name].__name__]["required"]
    assert required and all(not fits({k: v for k, v in value.items() if k != r}, schema, schema["$defs"])
                            for r in required)


def test_the_asyncapi_document_has_every_channel_message_and_schema() -> None:
    document = json.loads(msgspec.json.encode(asyncapi("mine")))
    assert document["asyncapi"].startswith("3.")
    letters = {f"{n}-dlq" for n in ("articles", "feedback", "requests", "rules")}
    assert set(document["channels"]) == set(MESSAGES) | letters
    assert document["channels"]["feedback-dlq"]["address"] == "mine.feedback.v1.dlq"
    for name, kind in MESSAGES.items():
        channel = document["channels"][name]
        assert channel["address"] == f"mine.{name}.v1"
        for message in channel["messages"].values():
            assert resolve(document, message["$ref"])["payload"]["$ref"].endswith(kind.__name__)
    for text in references(document):
        resolve(document, text)


def test_operations_say_who_sends() -> None:
    operations = asyncapi("p")["operations"]
    by: dict[str, set[str]] = {"send": set(), "receive": set()}
    for o in operations.values():
        by[o["action"]].add(o["channel"]["$ref"].rpartition("/")[2])
    assert by["receive"] == {"articles", "feedback", "requests", "rules"}
    letters = {f"{n}-dlq" for n in by["receive"]}
    assert by["send"] == {"requests", "recommendations", "models", "drift-reports"} | letters


def test_an_unknown_message_is_not_found_and_the_known_are_named() -> None:
    with pytest.raises(NotFound, match="feedback"):
        json_schema("clicks")


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [r for v in value.values() for r in references(v)]
    return [r for v in value for r in references(v)] if isinstance(value, list) else []


def resolve(document: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document
