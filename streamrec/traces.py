"""A click's way: collected, answered, learned, served. Ids follow from the event id, so each process knows
the trace of a click without being told, and so does whoever holds the event.

Off unless `STREAMREC_TRACES__TO` says where to; then a share of the events is followed.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

HEADER, PARENT = "streamrec-traces", "traceparent"  # on requests: reader -> trace; on answers: W3C's
Headers = list[tuple[str, bytes]]
ROOT = "collect"  # the span that the others of a trace hang on
MOST = 100  # traces that a version is told of


def trace_of(event_id: str) -> str:
    """32 hex digits: the trace of an event."""
    return blake2b(event_id.encode(), digest_size=16, person=b"streamrec-trace").hexdigest()


class Tracer(Protocol):
    """Where spans go."""

    @property
    def on(self) -> bool:
        """Whether anything is followed."""

    def follows(self, event_id: str) -> str:
        """The trace of an event that is followed; empty: it is not."""

    def span(self, trace: str, name: str, start: float, end: float, **facts: Any) -> None:
        """One step of a trace, from `start` to `end` (epoch s)."""

    def close(self) -> None:
        """Send what waits."""


class NoTraces:
    """Nothing is followed."""

    on = False

    def follows(self, event_id: str) -> str:
        """See Tracer."""
        return ""

    def span(self, trace: str, name: str, start: float, end: float, **facts: Any) -> None:
        """See Tracer."""

    def close(self) -> None:
        """See Tracer."""


NO_TRACES = NoTraces()


def headers(traced: Mapping[str, str]) -> Headers | None:
    """Of a request for readers whose clicks are followed."""
    return [(HEADER, json.dumps(traced).encode())] if traced else None


def traced(found: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    """Reader -> trace, from a request's headers; what cannot be read is nobody's."""
    for name, value in found:
        if name == HEADER:
            try:
                read = json.loads(value)
                return {str(k): str(v) for k, v in read.items()} if isinstance(read, dict) else {}
            except ValueError:
                return {}
    return {}


def parent(trace: str) -> Headers:
    """Of an answer: whoever shows it can go on with the trace."""
    return [(PARENT, f"00-{trace}-{trace[:16]}-01".encode())]
