"""One increment from end to end: read, fit, decide, publish - in an order that survives kill -9.

Folders are staged first; then one compare-and-set moves pointer, cursor and trainer state
together. Killed before the move, nothing has happened; killed after it, all has. The models topic
is told by the trainer (see announcer.py).
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from schedulers import quality
from schedulers.changes import Changes
from schedulers.earlier import Earlier
from streamrec import logs
from streamrec.catalogue import Catalogue, LiveArticles, LiveTexts
from streamrec.clock import Clock, due
from streamrec.config import Settings
from streamrec.drift.remembered import with_eras
from streamrec.errors import RetryLater
from streamrec.events import ModelDiff
from streamrec.learning.increment import Outcome, increment, known_articles
from streamrec.learning.tuning import EncoderTuning, Tunings
from streamrec.metrics import BOARD_LOST, BOARD_QUALITY, INCREMENTS_KEPT, Board, Tracker
from streamrec.model import own_vectors
from streamrec.model.network import Recommender
from streamrec.registry import Files, Pointer, Registry, VersionRecord
from streamrec.replay import Cursor, ReplayBuffer, WindowRow
from streamrec.scoring.snapshot import Snapshots
from streamrec.traces import MOST, NO_TRACES, Tracer

log = logs.get(__name__)
TRIMMED = "trimmed before they were learned: train more often, or raise STREAMREC_BUFFER__WINDOW_ROWS"
UNANNOUNCED = "nobody announced their articles, and newer such rows took their room: publish the articles, " \
    "or raise STREAMREC_TRAINER__PARKED_ROWS"
OPTIMIZER = "optimizer."  # files of the optimizer's state live in the version's folder
Progress = Callable[[dict[str, Any]], None]


class IncrementRunner:
    """Everything one increment needs; `run` does one."""

    def __init__(
        self, buffer: ReplayBuffer, catalogue: Catalogue, registry: Registry, board: Board,
        clock: Clock, settings: Settings, dim: int, fingerprint: str, tracker: Tracker | None = None,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._buffer, self._catalogue, self._registry = buffer, catalogue, registry
        self._board, self._clock, self._s = board, clock, settings
        self._articles, self._texts, self._fingerprint = LiveArticles(dim), LiveTexts(), fingerprint
        self._earlier = Earlier(registry, self._articles, fingerprint, settings.buffer)
        self._tunings = Tunings(settings, self._texts.of)
        snapshots = Snapshots(registry, catalogue, fingerprint)
        self._changes = Changes(buffer, catalogue, settings, dim, clock, snapshots)
        self._tracker, self._tracer = tracker, tracer
        self._waiting_since: float | None = None
        self._lost = 0  # rows that this increment's window should have had

    def run(self, token: int, why: str, progress: Progress = lambda _: None) -> dict[str, Any]:
        """Train on the waiting rows; what happened, as a JSON-like dict. Raises StreamrecError."""
        pointer, started = self._registry.current(), self._clock.now()
        window = self._buffer.window(pointer.cursor, self._s.trainer.max_rows)
        if not window:
            return {"published": False, "reason": "no new rows"}
        parent, files = self._earlier.parent(pointer)
        tuning = self._tunings.of(files)
        outcome = self._fit(pointer, window, parent, files, tuning, why, progress)
        publish, number = outcome.verdict.publish, self._registry.new_name()
        encoder = self._encoder_files(tuning) if tuning and publish else {}
        diff = None
        if publish and pointer.version and parent:
            users = list(dict.fromkeys(w.row.user for w in window))
            made = {**outcome.model_files, **outcome.co_read_files, **encoder}
            diff = self._changes.diff(pointer.version, files, number, made, outcome.cursor, users)
        ids = [w.row.event_id for w in window] if publish and self._tracer.on else []
        traces = [trace for i in ids if (trace := self._tracer.follows(i))][:MOST]
        done = self._commit(pointer, outcome, number, encoder, diff, traces, token, why)
        for trace in traces:
            self._tracer.span(trace, "learn", started, self._clock.now(), version=number, trigger=why)
        return done

    def between(self) -> None:
        """What has time until the next increment; nobody waits for it."""
        self._changes.keep_snapshot(len(self._articles))

    def _fit(
        self, pointer: Pointer, window: list[WindowRow], parent: Recommender | None, files: Files,
        tuning: EncoderTuning | None, why: str, progress: Progress,
    ) -> Outcome:
        self._lost = rows_lost(window, pointer.cursor)
        self._articles.sync(self._catalogue)
        self._wait_for_articles([w.row.item for w in window])
        if tuning:
            self._texts.sync(self._catalogue, self._articles)
        articles = known_articles(self._articles, range(len(self._articles)))
        progress({"rows": len(window), "articles": len(self._articles)})
        return increment(
            state=self._earlier.state(pointer), parent=parent, optimizer=_optimizer(files) or None,
            window=window, reservoir=self._buffer.reservoir(), articles=articles,
            settings=for_trigger(self._s, why), dim=self._articles.dim, encoder=self._fingerprint,
            now=self._clock.now(), seed=self._s.trainer.seed + pointer.attempt, tuning=tuning,
            controls=self._earlier.controls(pointer),
        )

    def _wait_for_articles(self, items: list[str]) -> None:
        """Rows about articles nobody has announced teach nothing yet. A few are parked by the
        increment; while most are such, or more than there is room for, the catalogue is catching up:
        leave them where they are."""
        unknown = sum(i not in self._articles.index for i in items)
        now = self._clock.now()
        if unknown <= min(len(items) // 2, self._s.trainer.parked_rows):
            self._waiting_since = None
            return
        self._waiting_since = self._waiting_since or now
        if not due(now, self._waiting_since, self._s.trainer.patience_s):
            raise RetryLater(
                f"{unknown} of {len(items)} rows are about articles not announced yet; waiting for "
                "them (see the lag of the articles topic)"
            )

    def _encoder_files(self, tuning: EncoderTuning) -> Files:
        """What the encoder has learned, and the vectors that it gives the articles."""
        state = tuning.state_files()
        if not state:
            return {}
        rows = [i for i, e in enumerate(self._articles.entries) if e.text_hash and self._articles.live[i]]
        entries = [self._articles.entries[i] for i in rows]
        made = tuning.vectors([e.item_id for e in entries], self._articles.vectors[rows])
        return {**state, **own_vectors.to_files([e.text_hash for e in entries], made)}

    def _commit(
        self, pointer: Pointer, o: Outcome, number: str, encoder: Files, diff: ModelDiff | None,
        traces: list[str], token: int, why: str,
    ) -> dict[str, Any]:
        now, publish = self._clock.now(), o.verdict.publish
        self._registry.stage("states", number, o.state_files, cursor=o.cursor)
        record = self._stage_version(pointer, o, encoder, number, traces, now, why) if publish else None
        found = quality.entry(o, self._registry.pointers.records(), number, now, why)
        if diff is not None:
            diff = with_eras(diff, [*self._board.newest(BOARD_QUALITY, INCREMENTS_KEPT), found])
        record = replace(record, diff=diff) if record else None
        gate = {"publish": publish, "reason": o.verdict.reason, "at": now, **o.verdict.metrics}
        new = replace(
            pointer, attempt=pointer.attempt + 1, cursor=o.cursor, state=number, last_gate=gate,
            last_attempt_at=now, refused=pointer.refused + (not publish),
        )
        if record:
            new = replace(
                new, version=number, action="publish", published_at=now,
                first_trained=pointer.first_trained or number, learned_until=o.learned_until,
                published=pointer.published + 1,
            )
        self._registry.pointers.move(new, pointer.attempt, token, record)
        self._waiting_since = None  # the next window has patience of its own
        self._note_lost(self._lost, TRIMMED)
        self._note_lost(int(o.metrics["rows_dropped"]), UNANNOUNCED)
        self._note_quality(found)
        if self._tracker:
            self._tracker.log(new.attempt, {"published": float(publish), **o.metrics})
        self._registry.prune(keep_versions=50)
        return {"published": publish, "version": number if publish else pointer.version,
                "reason": o.verdict.reason, "rows": o.rows, **o.metrics}

    def _stage_version(
        self, pointer: Pointer, o: Outcome, encoder: Files, number: str, traces: list[str], now: float,
        why: str,
    ) -> VersionRecord:
        optimizer = {OPTIMIZER + n: b for n, b in o.optimizer_files.items()}
        files = {**o.model_files, **optimizer, **o.co_read_files, **encoder}
        self._registry.stage(
            "versions", number, files, parent=pointer.version, cursor=o.cursor, created_at=now,
            seed=self._s.trainer.seed + pointer.attempt, metrics=o.metrics, trigger=why,
            learned_until=o.learned_until, rows=o.rows, encoder=self._fingerprint,
            traces=traces,
        )
        return VersionRecord(
            version=number, parent=pointer.version, created_at=now, rows=o.rows,
            learned_until=o.learned_until, metrics=o.metrics, trigger=why,
        )

    def _note_quality(self, found: dict[str, Any]) -> None:
        try:
            self._board.append(BOARD_QUALITY, found, INCREMENTS_KEPT)
        except RetryLater as error:  # the increment counts all the same
            log.warning("quality_not_noted", why=str(error))

    def _note_lost(self, rows: int, why: str) -> None:
        """Only once the cursor is past them: an increment that fails finds them again."""
        if not rows:
            return
        log.warning("rows_lost", rows=rows, why=why)
        try:
            self._board.count(BOARD_LOST, rows)
        except RetryLater as error:
            log.warning("rows_lost_not_noted", why=str(error))


def for_trigger(settings: Settings, why: str) -> Settings:
    """An update for drift may learn faster, and rehearse what is more recent."""
    t = settings.trainer
    if why != "drift":
        return settings
    own = t.model_copy(update={
        "increment_scale": t.increment_scale * t.drift_scale, "rehearsal": t.drift_rehearsal or t.rehearsal,
    })
    return settings.model_copy(update={"trainer": own})


def _optimizer(files: Files) -> Files:
    return {n.removeprefix(OPTIMIZER): b for n, b in files.items() if n.startswith(OPTIMIZER)}


def rows_lost(window: list[WindowRow], cursor: Cursor) -> int:
    """Rows between the cursor and the window's first rows: trimmed before anybody read them."""
    first: dict[int, int] = {}
    for row in window:
        first[row.partition] = min(row.ordinal, first.get(row.partition, row.ordinal))
    return sum(n - cursor.get(p, 0) - 1 for p, n in first.items())
