"""JSON Schema of each message and the AsyncAPI 3 document, made from the structs."""

from typing import Any

import msgspec

from streamrec import __version__
from streamrec.errors import NotFound
from streamrec.events import MESSAGES, topic

RECEIVED = ("articles", "feedback", "requests", "rules")
SENT = ("requests", "recommendations", "models", "drift-reports")
DEAD_LETTERS = RECEIVED


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema of one message. Raises NotFound naming those there are."""
    if name not in MESSAGES:
        raise NotFound(f"no message {name!r}: there are {', '.join(MESSAGES)}")
    return msgspec.json.schema(MESSAGES[name])


def asyncapi(prefix: str) -> dict[str, Any]:
    """AsyncAPI 3.0: channels are topics; streamrec receives some, sends others, or does both."""
    kinds = list(MESSAGES.values())
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0", "info": {"title": "streamrec", "version": __version__},
        "defaultContentType": "application/json", "channels": _channels(prefix),
        "operations": _operations(),
        "components": {"messages": {k.__name__: _message(k) for k in kinds}, "schemas": schemas},
    }


def _message(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": kind.__name__, "contentType": "application/json",
        "summary": (kind.__doc__ or "").partition("\n")[0],
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string"}}},
    }


def _channels(prefix: str) -> dict[str, Any]:
    channels: dict[str, Any] = {}
    for name, kind in MESSAGES.items():
        messages = {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}}
        channels[name] = {"address": topic(prefix, name), "messages": messages}
        if name in DEAD_LETTERS:
            channels[f"{name}-dlq"] = {
                "address": f"{topic(prefix, name)}.dlq",
                "description": "What could not be used, byte for byte; origin and reason in headers.",
            }
    return channels


def _operations() -> dict[str, Any]:
    done = [("receive", n) for n in RECEIVED] + [("send", n) for n in SENT]
    done += [("send", f"{n}-dlq") for n in DEAD_LETTERS]
    return {
        f"{action}-{name}": {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
        for action, name in done
    }
