"""JSON log lines on stderr, and at most one line a period for what repeats."""

import logging
import re
import sys
import time
from typing import Any

import structlog

CONNECTIONS = ("kafka.net.transport", "kafka.net.connection", "kafka.net.manager", "kafka.cluster")
AWAY = re.compile("ConnectionError|ConnectionReset|ECONN|TimedOut|TimeoutError|NodeNotReady")


class OncePer(logging.Filter):
    """Let a warning (ours by its event, a library's by its template) through once a period, and
    say how many were held back: while a server is away each try would be a line. What Kafka's client has to
    say of its connections counts as one: an outage is a dozen lines of a second to it."""

    def __init__(self, period_s: float = 10.0) -> None:
        super().__init__()
        self.period_s = period_s
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        ours = isinstance(record.msg, dict)
        if ours and record.levelno < logging.WARNING:
            return True
        said: Any = record.msg
        troubled = not ours and _troubled(record)
        key = "kafka's connections" if troubled else f"{record.name} {said['event'] if ours else said}"[:80]
        held = self._held(key, time.monotonic())
        if held is not None and troubled:
            said = _in_a_line(record)
        if held:
            record.msg = {**said, "held_back": held} if ours else f"{said} ({held} like it held back)"
        return held is not None

    def _held(self, key: str, now: float) -> int | None:
        """How many were held back since the last one let through; None: hold this one too."""
        last, held = self._last.get(key, (-self.period_s, 0))
        if now - last < self.period_s:
            self._last[key] = (last, held + 1)
            return None
        self._last[key] = (now, 0)
        return held


def _troubled(record: logging.LogRecord) -> bool:
    """Whether Kafka's client tells of a connection."""
    return record.name in CONNECTIONS or (
        record.name.startswith("kafka.") and AWAY.search(f"{record.msg} {record.args}") is not None)


def _in_a_line(record: logging.LogRecord) -> str:
    """Its template, with an error of the network instead of the way to it."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, OSError):
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: {error}", (), None
    return str(record.msg)


def setup(level: str, process: str) -> None:
    """Send our logs and those of libraries to stderr as JSON lines."""
    def name_process(_: Any, __: str, event: Any) -> Any:
        event["process"] = process  # of every thread: context variables would miss some
        return event

    shared: list[Any] = [
        name_process,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    ))
    handler.addFilter(OncePer())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)  # of libraries: a line of JSON, too
    # Each task of the client that took a tenth of a second, of whatever the machine did meanwhile.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    for noisy in ("kafka", "urllib3", "filelock"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
    # A check that is skipped because an increment runs is meant to be: not worth a line a second.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger of events with fields: `log.info("swapped", version="7")`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger
