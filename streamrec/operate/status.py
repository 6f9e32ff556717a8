"""One look at the whole: lag, buffer, model, gate, drift."""

from typing import Any

from schedulers.trigger import waiting
from streamrec.broker import Broker
from streamrec.metrics import (
    BOARD_DEAD,
    BOARD_DRIFT,
    BOARD_LOST,
    BOARD_MISFIRES,
    BOARD_SCORER,
    BOARD_SHED,
    BOARD_WEB,
    Board,
)
from streamrec.registry import PointerStore
from streamrec.replay import ReplayBuffer

FRESH_S = 60.0  # a web process says every five that it is there; clocks differ


def status(
    broker: Broker, buffer: ReplayBuffer, pointers: PointerStore, board: Board,
    groups: dict[str, list[str]], articles: int, now: float,
) -> dict[str, Any]:
    """The JSON of `streamrec status`. `groups` maps a consumer group to the topics it reads."""
    return {"lag": lag(broker, groups), **facts(buffer, pointers, board, articles, now)}


def lag(broker: Broker, groups: dict[str, list[str]]) -> dict[str, int]:
    """Messages that wait, by topic and partition."""
    return {
        f"{tp.topic}/{tp.partition}": n
        for group, topics in groups.items() for tp, n in broker.group_lag(group, topics).items()
    }


def facts(
    buffer: ReplayBuffer, pointers: PointerStore, board: Board, articles: int, now: float
) -> dict[str, Any]:
    """All that Redis knows."""
    counts, pointer, web = buffer.counts(), pointers.read(), _web(board, now)
    scorer = board.get(BOARD_SCORER) or {}
    age = round(now - pointer.published_at, 1) if pointer.version else None
    return {
        "stored": counts.stored,
        "duplicates_refused": counts.duplicates,
        "dead_letters": counts.dead + board.total(BOARD_DEAD),
        "buffer": {"rows": counts.reservoir_rows, "bytes": counts.reservoir_bytes},
        "rows_waiting": waiting(buffer.rows_total(), pointer.cursor),
        "model": {"version": pointer.version, "age_s": age},
        "rollbacks": [{"version": r.version, "at": r.at} for r in pointer.rollbacks],
        "serving": scorer.get("version"),
        "serving_refused": scorer.get("refused"),
        "web": web.get("url"),
        "dashboard": web.get("dashboard"),
        "newest_event_at": counts.watermark or None,
        "models_published": pointer.published,
        "models_refused": pointer.refused,
        "last_gate": pointer.last_gate,
        "last_drift": board.get(BOARD_DRIFT),
        "articles": articles,
        "refreshes_shed": board.total(BOARD_SHED),
        "rows_lost": board.total(BOARD_LOST),
        "misfires": board.total(BOARD_MISFIRES),
    }


def _web(board: Board, now: float) -> dict[str, Any]:
    """Where a web process answers; nothing if it has not said so lately (an older streamrec's never did)."""
    found: dict[str, Any] = board.get(BOARD_WEB) or {}
    return found if now - found.get("at", 0.0) < FRESH_S else {}
