"""JSON Schema of each message and the AsyncAPI 3 document, made from the structs."""

from typing import Any

import msgspec

from streamrec import __version__
from streamrec.errors import NotFound
from streamrec.events import MESSAGES, topic

SENT_BY_US = ("recommendations", "models", "drift-reports")


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema of one message. Raises NotFound naming those there are."""
    if name not in MESSAGES:
        raise NotFound(f"no message {name!r}: there are {', '.join(MESSAGES)}")
    return msgspec.json.schema(MESSAGES[name])


def asyncapi(prefix: str) -> dict[str, Any]:
    """AsyncAPI 3.0: channels are topics; streamrec receives some and sends others."""
    kinds = list(MESSAGES.values())
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    messages = {
        kind.__name__: {
            "name": kind.__name__, "contentType": "application/json",
            "summary": (kind.__doc__ or "").partition("\n")[0],
            "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        }
        for kind in kinds
    }
    channels = {
        name: {
            "address": topic(prefix, name),
            "messages": {k.__name__: {"$ref": f"#/components/messages/{k.__name__}"}},
        }
        for name, k in MESSAGES.items()
    }
    operations = {
        ("send-" if name in SENT_BY_US else "receive-") + name: {
            "action": "send" if name in SENT_BY_US else "receive",
            "channel": {"$ref": f"#/channels/{name}"},
        }
        for name in MESSAGES
    }
    return {
        "asyncapi": "3.0.0", "info": {"title": "streamrec", "version": __version__},
        "defaultContentType": "application/json", "channels": channels, "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }
