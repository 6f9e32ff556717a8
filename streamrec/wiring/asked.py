"""What an operator asks, on the command line and on the dashboard, with the parts that it takes."""

import time
from typing import Any

from streamrec.config import Settings
from streamrec.wiring.parts import Parts


def status(p: Parts) -> dict[str, Any]:
    """What `streamrec status` prints, JSON-like."""
    from streamrec.operate.status import status as look
    buffer = p.buffer  # first: a URL that is none is told, also where no Kafka is known
    found: dict[str, Any] = plain(look(
        p.broker, buffer, p.registry.pointers, p.board, p.names.groups(), p.catalogue(1).size(),
        time.time(),
    ))
    return found


def rollback(settings: Settings, version: str) -> bool:
    """Point at an older version and tell the models topic; False: it serves already, and nothing was done.
    Raises NotFound, CorruptArtefact."""
    from schedulers.announcer import Announcer
    p = Parts(settings)
    publisher, registry = p.broker.publisher(), p.registry
    try:
        before = registry.current()
        pointer = registry.rollback(version, time.time())
        if pointer == before:
            return False
        Announcer(registry.pointers, publisher, p.names.topic("models")).announce(pointer, 30.0)
        return True
    finally:
        publisher.close()
        p.close()


def letters(settings: Settings) -> list[dict[str, Any]]:
    """Dead letters for people. Raises RetryLater, SetupError."""
    from streamrec.operate.dlq import listed
    p = Parts(settings)
    try:
        return listed(p.broker, p.names.with_dead_letters(), p.names.group("dlq-replay"))
    finally:
        p.close()


def replay_letters(settings: Settings, only: set[str]) -> int:
    """Send dead letters back to their topics; how many. Raises NotFound, RetryLater, SetupError."""
    from streamrec.operate.dlq import replay
    p = Parts(settings)
    try:
        return replay(p.broker, p.names.with_dead_letters(), only, p.names.group("dlq-replay"))
    finally:
        p.close()


def recent_readers(p: Parts, n: int) -> list[str]:
    """Some readers whose reads are kept for rehearsal."""
    return list(dict.fromkeys(row.user for row in p.buffer.reservoir()))[:n]


def recent_histories(p: Parts, n: int) -> list[list[str]]:
    """What some of them had read, newest first."""
    return [list(row.history) for row in p.buffer.reservoir()[:n]]


def plain(found: Any) -> Any:
    """Messages as JSON-like data."""
    import msgspec
    return msgspec.to_builtins(found)
