"""The OpenAPI 3.1 document, made from the messages' own structs."""

from functools import lru_cache
from typing import Any

import msgspec

from streamrec import __version__
from streamrec.events import Recommendation
from streamrec.web.bodies import MOST_EVENTS, Described, Event, Wanted
from streamrec.web.problems import MEDIA, TITLES
from streamrec.web.queries import Similar

EXAMPLES: dict[str, Any] = {
    "Wanted": {
        "for a reader": {"user_id": "u42", "n": 5},
        "for a visit, explained": {"session": ["a1"], "n": 3, "explain": True, "locale": "zh"},
        "for stated interests": {"interests": "stream processing", "n": 5,
                                 "filters": {"lang": "en", "tags_none": ["sponsored"]}},
        "more like this, varied": {"similar_to": "a1", "diversity": 0.3},
    },
    "Event": {
        "a click": {"user_id": "u42", "event_type": "click", "item_id": "a1"},
        "a read of 90 s": {"event_id": "e7", "user_id": "u42", "event_type": "read", "item_id": "a1",
                           "timestamp": "2026-01-31T08:00:00Z", "event_value": 90.0},
    },
    "Described": {
        "an article": {"title": "Exactly once", "body": "What a broker promises.", "tags": ["streams"],
                       "lang": "en", "source": "our blog"},
    },
}
ITEM = {"name": "item_id", "in": "path", "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[^\x00-\x1f/\ufffd]+$"}}


@lru_cache
def document(keys: bool) -> dict[str, Any]:
    """The document; `keys`: whether an API key is needed."""
    kinds = [Wanted, Event, Described, Recommendation]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "streamrec", "version": __version__,
                 "description": "Recommendations that know of the click of a second ago."},
        "paths": _paths(),
        "components": {"schemas": {**schemas, "Problem": _problem(), "Accepted": _accepted()}},
    }
    if keys:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
    return found


def _paths() -> dict[str, Any]:
    one = {"$ref": "#/components/schemas/Event"}
    events = {"anyOf": [one, {"type": "array", "items": one, "maxItems": MOST_EVENTS}]}
    query = [_query(name, kind) for name, kind in msgspec.json.schema_components(
        [Similar])[1]["Similar"]["properties"].items()]
    return {
        "/v1/recommendations": {"post": _operation(
            "recommend", "A list for a reader, a visit, stated interests, or more like one article",
            {200: "Recommendation"}, (400, 404, 408, 413, 503, 504), body=_ref("Wanted"), examples="Wanted")},
        "/v1/feedback": {"post": _operation(
            "feedback", "What readers clicked and read; answered once Kafka has it",
            {202: "Accepted"}, (400, 408, 413, 503), body=events, examples="Event")},
        "/v1/articles/{item_id}": {
            "put": _operation("putArticle", "Announce or change an article; answered once Kafka has it",
                              {202: "Accepted"}, (400, 408, 413, 503), [ITEM], _ref("Described"),
                              "Described"),
            "delete": _operation("deleteArticle", "Take an article out of all lists", {202: "Accepted"},
                                 (400, 503), [ITEM]),
        },
        "/v1/articles/{item_id}/similar": {"get": _operation(
            "similar", "More like this article, which this reader has not read", {200: "Recommendation"},
            (400, 404, 503, 504), [ITEM, *query])},
        "/healthz": {"get": _plain("alive", "The process is alive", 503)},
        "/readyz": {"get": _plain("ready", "It follows Redis and reaches Kafka; are interests read?", 503)},
        "/metrics": {"get": {"operationId": "metrics", "summary": "For Prometheus", "security": [],
                             "responses": {"200": {"description": "text", "content": {"text/plain": {}}}}}},
    }


def _operation(
    name: str, summary: str, good: dict[int, str], bad: tuple[int, ...],
    parameters: list[Any] | None = None, body: dict[str, Any] | None = None, examples: str = "",
) -> dict[str, Any]:
    responses = {str(s): _content(kind, kind, "application/json") for s, kind in good.items()}
    responses |= {str(s): _content(TITLES[s], "Problem", MEDIA) for s in (*bad, 401)}
    found: dict[str, Any] = {"operationId": name, "summary": summary, "responses": responses,
                             "parameters": parameters or []}
    if body:
        shown = {k: {"value": v} for k, v in EXAMPLES[examples].items()}
        found["requestBody"] = {"required": True, "content": {
            "application/json": {"schema": body, "examples": shown}}}
    return found


def _plain(name: str, summary: str, *bad: int) -> dict[str, Any]:
    good = {"description": summary, "content": {"application/json": {"schema": {"type": "object"}}}}
    responses = {"200": good} | {str(s): _content(TITLES[s], "Problem", MEDIA) for s in bad}
    return {"operationId": name, "summary": summary, "security": [], "responses": responses}


def _content(description: str, schema: str, media: str) -> dict[str, Any]:
    return {"description": description, "content": {media: {"schema": _ref(schema)}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    return {"type": "object", "required": ["type", "title", "status", "detail"],
            "properties": {"type": text, "title": text, "status": {"type": "integer"}, "detail": text,
                           "field": {**text, "description": "where in the body or query the mistake is"},
                           "missing": {"type": "array", "items": text, "description": "what is not ready"}}}


def _accepted() -> dict[str, Any]:
    return {"type": "object", "required": ["accepted"],
            "properties": {"accepted": {"type": "integer"}, "item_id": {"type": "string"},
                           "event_ids": {"type": "array", "items": {"type": "string"}}}}
