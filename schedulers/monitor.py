"""Monitor: reads what was served, shown and clicked; publishes drift reports.

Started again, it goes on where it was in the topics. A report that its topic does not take is kept as long as
the monitor runs, and holds up nothing else: the board has it, and the trainer has heard of its alarms.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from schedulers import telling
from schedulers.trigger import DAY_S, held, of_a_day
from streamrec import logs
from streamrec.broker import Partition, Publisher, Record, Subscription, look
from streamrec.clock import Clock, due
from streamrec.config import Trainer
from streamrec.drift.monitor import RETRAIN, DriftMonitor
from streamrec.drift.said import when
from streamrec.errors import Fenced, InvalidMessage, RetryLater
from streamrec.events import ASKED, DriftReport, Feedback, Recommendation, decode, encode
from streamrec.metrics import (
    BOARD_ALARM,
    BOARD_DRIFT,
    BOARD_DRIFT_TAKEN,
    BOARD_PULSE,
    BOARD_QUALITY,
    BOARD_SEEN,
    Board,
    Waits,
)

log = logs.get(__name__)
COMMIT_S = 2.0
FLUSH_S, AGAIN_S = 2.0, 10.0  # a report is sent again later: feedback goes on meanwhile
MOST_OWED = 100
BEAT_S, BEATS = 1.0, 3600  # an hour of them is kept
SEEN_S, SEEN = 10.0, 2000  # the articles shown most are noted so often, and so many
HOLD = 2.0  # periods: a detector that alarms again within them is still in alarm, which is told by the period
OFF = "none: STREAMREC_TRAINER__DRIFT_PER_DAY=0, the next update is the timer's"
PAUSE = "the pause after the last one (STREAMREC_TRAINER__DRIFT_EVERY_S)"
CAP = "a day may have no more (STREAMREC_TRAINER__DRIFT_PER_DAY)"
NEWEST = 20  # increments looked at, for those that are new


def held_back(taken: Sequence[float], now: float, s: Trainer) -> str:
    """Why an alarm of `now` gets no update of its own yet, and until when, or nothing; `taken`: times of the
    updates upon alarms. The trainer decides by the same."""
    if not s.drift_per_day or not held(taken, now, s):
        return ""
    today = of_a_day(taken, now)
    pause = today[-1] + s.drift_every_s
    cap = today[-s.drift_per_day] + DAY_S if len(today) >= s.drift_per_day else pause
    return f"no update upon alarms before {when(max(pause, cap))} UTC: {CAP if cap > pause else PAUSE}"


class MonitorProcess:
    """Feeds the detectors from the topics and publishes what they find.

    Undecodable messages are the collector's to dead-letter; here they are passed over.
    `follow` tells the monitor of articles, encoder and model, whatever is new since its last call; `limits`:
    how often the trainer may be asked for an update, as it has that.
    """

    def __init__(
        self, monitor: DriftMonitor, subscription: Subscription, publisher: Publisher,
        board: Board, clock: Clock, reports_topic: str,
        follow: Callable[[DriftMonitor], None], limits: Trainer,
    ) -> None:
        self._monitor, self._subscription, self._publisher = monitor, subscription, publisher
        self._board, self._clock, self._topic = board, clock, reports_topic
        self._follow_site, self._limits = follow, limits
        self._followed_at = self._committed_at = self._beat_at = self._seen_at = self._tried_at = 0.0
        self._judged_at: float | None = None  # of the newest increment that the monitor knows
        self._done: dict[Partition, int] = {}
        self._due: DriftReport | None = None
        self._owed: list[DriftReport] = []
        self._sent = 0  # of those owed, the first ones
        self._waits = Waits()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        telling.start(self._monitor.detectors)
        while not stop.is_set():
            try:
                self.turn()
                self._waits.note("server", False)
            except RetryLater as error:
                self._waits.note("server", True)
                log.warning("waiting", why=str(error))
                stop.wait(1.0)
        if self._owed:
            self._send()
        self._commit(self._clock.now())
        self._subscription.close()

    def turn(self) -> None:
        """Read what came; report if a report is due."""
        now = self._clock.now()
        if due(now, self._followed_at, 1.0):
            self._follow(now)
        batches = self._subscription.poll(0.2, 500)
        for partition, records in batches.items():
            for record in records:
                self._take(partition, record, now)
            self._done[partition] = records[-1].offset + 1
        self._report(now)
        look(self._subscription, self._waits)
        if due(now, self._committed_at, COMMIT_S):
            self._commit(now)

    def _report(self, now: float) -> None:
        """What is due is told of at once, and kept until its topic has it: an alarm is raised once."""
        self._due = self._due or self._monitor.due(now, HOLD * self._monitor.settings.period_s)
        if self._due is not None:
            self._owed.append(self._told(self._due))
            self._due = None
            if len(self._owed) > MOST_OWED:
                del self._owed[0]
                self._sent = max(self._sent - 1, 0)
            self._tried_at = 0.0
        if self._owed and due(now, self._tried_at, AGAIN_S):
            self._tried_at = now
            self._send()

    def _commit(self, now: float) -> None:
        self._committed_at = now
        mine = self._subscription.assignment()
        done, self._done = {p: n for p, n in self._done.items() if p in mine}, {}
        try:
            if done:
                self._subscription.commit(done)
        except Fenced:
            log.info("rebalanced_before_commit")
        except RetryLater as error:
            log.warning("commit_failed", why=str(error))
            self._done = done

    def _follow(self, now: float) -> None:
        self._followed_at = now
        self._follow_site(self._monitor)
        self._judge(self._board.newest(BOARD_QUALITY, NEWEST))
        if due(now, self._beat_at, BEAT_S):
            self._beat_at = now
            telling.beat(self._monitor.pulse)
            self._board.append(BOARD_PULSE, self._monitor.beat(now), BEATS)
        if due(now, self._seen_at, SEEN_S):
            self._seen_at = now
            self._board.put(BOARD_SEEN, self._monitor.most_shown(SEEN))

    def _judge(self, increments: list[dict[str, Any]]) -> None:
        """Hear of increments; those of before the start were told of before."""
        new = [q for q in increments if self._judged_at is not None and q["at"] > self._judged_at]
        for entry in new:
            self._monitor.quality(entry)
        if new or self._judged_at is None:
            telling.increments(new, increments)
        self._judged_at = max([self._judged_at or 0.0, *(q["at"] for q in increments)])

    def _take(self, place: Partition, record: Record, now: float) -> None:
        value = record.value
        try:
            if ".feedback." in place.topic:
                self._monitor.feedback(decode(Feedback, value, now), place.partition, now, record.offset)
            else:
                self._monitor.recommendation(decode(Recommendation, value, now))
        except InvalidMessage:
            pass

    def _told(self, report: DriftReport) -> DriftReport:
        """With what is done about it; the trainer and who watches hear of it. Raises RetryLater."""
        alarms = [f.detector for f in report.findings if f.alarm]
        learnable = [f.detector for f in report.findings if f.alarm and f.kind in RETRAIN]
        if learnable:
            report = replace(report, action=self._asks(report.generated_at))
            self._board.put(BOARD_ALARM, {"at": report.generated_at, "detectors": learnable})
        elif alarms:
            report = replace(report, action="none: no update mends this")
        self._board.put(BOARD_DRIFT, report)
        telling.report(report)
        log.info("drift_report", trigger=report.trigger, alarms=alarms)
        return report

    def _asks(self, now: float) -> str:
        """What comes of an alarm that learning may answer. Raises RetryLater."""
        if not self._limits.drift_per_day:
            return OFF
        return held_back(self._board.get(BOARD_DRIFT_TAKEN) or [], now, self._limits) or ASKED

    def _send(self) -> None:
        """Send what is owed."""
        why = ""
        try:
            for report in self._owed[self._sent :]:  # the others wait in the publisher since the last try
                self._publisher.send(self._topic, None, encode(report))
                self._sent += 1
            self._publisher.flush(FLUSH_S)
            self._owed, self._sent = [], 0
        except RetryLater as error:
            why = str(error)
        if self._waits.note("reports", bool(why)) and why:
            log.warning("report_not_out", why=f"{self._topic} does not take it ({why}); it is kept while the "
                        "monitor runs. If the topic is missing: `streamrec topics create`")
