"""Every metric's name and meaning, in one place; and the board where processes note facts."""

from collections.abc import Mapping
from typing import Any, Protocol

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("streamrec_events_applied_total", "Feedback events applied to the buffer")
DUPLICATES = Counter("streamrec_duplicates_refused_total", "Events refused: their id was known")
DEAD_LETTERS = Counter("streamrec_dead_letters_total", "Messages sent to a dead-letter topic", ["topic"])
PAUSED = Gauge("streamrec_paused", "1 while a process waits for a server that is away or full")
LAG = Gauge("streamrec_consumer_lag", "Messages of the assignment not yet polled")
ENCODED = Counter("streamrec_articles_encoded_total", "Articles run through the text encoder")
ANSWERS = Counter("streamrec_answers_total", "Recommendations published", ["trigger"])
SHED = Counter("streamrec_refreshes_shed_total",
               "Refreshes dropped: late, no list was pushed; merged, into a newer one of the reader", ["why"])
STALE = Counter("streamrec_stale_answers_total", "Answers from the last list: the deadline had passed")
UNPUBLISHED = Counter("streamrec_answers_unpublished_total", "HTTP answers that Kafka was not told of")
HTTP_ANSWERS = Counter("streamrec_http_answers_total", "HTTP answers under /v1, by status", ["code"])
ANSWER_SECONDS = Histogram("streamrec_answer_seconds", "From taking a batch of requests to its answers")
MODEL_VERSION = Gauge("streamrec_model_version", "Version that serves")
SWAPS = Counter("streamrec_swaps_total", "Models swapped in")
SWAP_FAILURES = Counter("streamrec_swap_failures_total", "Models refused: files corrupt or unreadable")
INDEX_RECALL = Gauge("streamrec_index_recall", "Recall@10 of the newest article index against exact products")
MISFIRES = Counter("streamrec_misfires_total", "Scheduled checks that ran late or were coalesced")
TRAININGS_FAILED = Counter("streamrec_trainings_failed_total", "Increments that ended in an error")
ROWS_WAITING = Gauge("streamrec_rows_waiting", "Rows made and not yet taken by an increment")
BUFFER_ROWS = Gauge("streamrec_buffer_rows", "Rows kept for rehearsal")
BUFFER_BYTES = Gauge("streamrec_buffer_bytes", "Bytes of the rows kept for rehearsal")
# What the monitor sees: of the whole site, whoever did it.
CLICK_TO_LIST = Histogram(
    "streamrec_click_to_list_seconds", "From what a reader did to the pushed list that knows it",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
CLICK_TO_MODEL = Histogram(
    "streamrec_click_to_model_seconds", "Age of the newest row that a published model learned, at its end",
    buckets=(5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0),
)
SLATES = Counter("streamrec_slates_shown_total", "Slates shown and waited for", ["policy"])
CLICKED = Counter("streamrec_slates_clicked_total", "Slates of which an article was clicked", ["policy"])
INCREMENTS = Counter("streamrec_increments_total", "Increments by the gate's verdict", ["verdict", "trigger"])
QUALITY = Gauge("streamrec_ndcg", "NDCG@10 on rows not learned yet, at the last increment", ["arm"])
FORGOTTEN = Gauge("streamrec_forgetting", "NDCG@10 lost since each era's best version, mean over eras")
PUBLISHED_AT = Gauge("streamrec_model_published_timestamp_seconds", "When the model was published")
DRIFT = Gauge("streamrec_drift", "Statistic over its threshold, at the last report", ["detector"])
ALARMS = Counter("streamrec_drift_alarms_total", "Alarms", ["detector", "kind"])
REPORTS = Counter("streamrec_drift_reports_total", "Drift reports published")

# Facts on the board, by name: what `streamrec status` shows beside the buffer and the pointer.
BOARD_DRIFT = "last_drift"
BOARD_DEAD = "dead_letters"
BOARD_SHED = "refreshes_shed"
BOARD_SCORER = "scorer"
BOARD_MISFIRES = "misfires"
BOARD_WEB = "web"
BOARD_ALARM = "drift_alarm"
BOARD_DRIFT_TAKEN = "drift_updates"  # times of the updates upon an alarm, of a day
BOARD_LOST = "window_rows_lost"
BOARD_SEEN = "articles_seen"  # article -> how often shown and clicked
# Series on the board: what the dashboard draws, newest last.
BOARD_PULSE = "pulse"
BOARD_QUALITY, INCREMENTS_KEPT = "quality", 300


class Waits:
    """What this process waits for; `streamrec_paused` is 1 while there is anything."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()

    def note(self, reason: str, waits: bool) -> bool:
        """Whether it waits for this now; True if that is new."""
        new = waits != (reason in self._reasons)
        (self._reasons.add if waits else self._reasons.discard)(reason)
        PAUSED.set(bool(self._reasons))
        return new


class Tracker(Protocol):
    """Where a trainer notes the figures of each increment."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures by name, at an increment's number."""


class Board(Protocol):
    """Small facts that outlive a process and that every process may read."""

    def put(self, name: str, value: Any) -> None:
        """Note a JSON-like value."""

    def get(self, name: str) -> Any:
        """The value, or None."""

    def count(self, name: str, n: int = 1) -> None:
        """Add to a counter."""

    def total(self, name: str) -> int:
        """The counter's value."""

    def append(self, name: str, value: Any, most: int) -> None:
        """Note a value at the end of a series that keeps its newest `most`."""

    def newest(self, name: str, n: int) -> list[Any]:
        """The newest `n` values of a series, oldest first."""
