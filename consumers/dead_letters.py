"""Messages that can't be used: to `<topic>.dlq`, value and key byte for byte, and why."""

from streamrec import logs
from streamrec.broker import Headers, Publisher, Record
from streamrec.errors import RetryLater
from streamrec.metrics import BOARD_DEAD, DEAD_LETTERS, Board

log = logs.get(__name__)
PREFIX = "streamrec.dlq."


def dead_letter_topic(topic: str) -> str:
    """Where the dead letters of a topic go."""
    return f"{topic}.dlq"


class DeadLetters:
    """Sends them. The original headers come first, ours after, all under `streamrec.dlq.`."""

    def __init__(self, publisher: Publisher, group: str, board: Board | None = None) -> None:
        self._publisher, self._group, self._board = publisher, group, board

    def send(self, record: Record, error: Exception) -> None:
        """Pass one message on, with its origin and the reason."""
        headers = [*record.headers, *self._origin(record, error)]
        self._publisher.send(dead_letter_topic(record.topic), record.key, record.value, headers)
        DEAD_LETTERS.labels(record.topic).inc()
        if self._board:
            try:
                self._board.count(BOARD_DEAD)
            except RetryLater as error:  # the letter has gone out: to fail now would send it again
                log.warning("dead_letter_not_counted", why=str(error))

    def _origin(self, record: Record, error: Exception) -> Headers:
        facts = {
            "topic": record.topic, "partition": record.partition, "offset": record.offset,
            "timestamp": record.timestamp, "group": self._group,
            "exception": type(error).__name__, "message": str(error),
        }
        return [(PREFIX + name, str(value).encode()) for name, value in facts.items()]


def original_headers(record: Record) -> Headers:
    """The headers a dead letter had before it became one."""
    return [(n, v) for n, v in record.headers if not n.startswith(PREFIX)]


def origin(record: Record) -> dict[str, str]:
    """Where a dead letter came from and why, by short name."""
    return {  # others may have written headers of this name, too
        n.removeprefix(PREFIX): v.decode(errors="replace") for n, v in record.headers if n.startswith(PREFIX)
    }
