"""Monitor: reads what was served, shown and clicked; publishes drift reports.

Its place in the topics is committed after the reports that were due: started again, it goes on
where it was.
"""

import threading
from collections.abc import Callable

from msgspec.structs import replace

from streamrec import logs
from streamrec.broker import Partition, Publisher, Subscription
from streamrec.clock import Clock
from streamrec.drift.monitor import DriftMonitor
from streamrec.errors import Fenced, InvalidMessage, RetryLater
from streamrec.events import DriftReport, Feedback, ModelPointer, Recommendation, decode, encode
from streamrec.metrics import BOARD_ALARM, BOARD_DRIFT, Board

log = logs.get(__name__)
COMMIT_S = 2.0


class MonitorProcess:
    """Feeds the detectors from the topics and publishes what they find.

    Undecodable messages are the collector's to dead-letter; here they are passed over.
    `topics_of` brings the topics of articles that are new since its last call.
    """

    def __init__(
        self, monitor: DriftMonitor, subscription: Subscription, publisher: Publisher,
        board: Board, clock: Clock, reports_topic: str,
        topics_of: Callable[[], dict[str, str]], model_version: Callable[[], str],
    ) -> None:
        self._monitor, self._subscription, self._publisher = monitor, subscription, publisher
        self._board, self._clock, self._topic = board, clock, reports_topic
        self._topics_of, self._model_version = topics_of, model_version
        self._followed_at = self._committed_at = 0.0
        self._done: dict[Partition, int] = {}
        self._owed: DriftReport | None = None

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            try:
                self.turn()
            except RetryLater as error:
                log.warning("waiting", why=str(error))
                stop.wait(1.0)
        self._commit(self._clock.now())
        self._subscription.close()

    def turn(self) -> None:
        """Read what came; report if a report is due."""
        now = self._clock.now()
        if now - self._followed_at >= 1.0:
            self._follow(now)
        batches = self._subscription.poll(0.2, 500)
        for partition, records in batches.items():
            for record in records:
                self._take(record.topic, record.value, now)
            self._done[partition] = records[-1].offset + 1
        self._owed = self._owed or self._monitor.due(now)
        if self._owed is not None:
            self._publish(self._owed)  # kept until it is out: an alarm is raised once
            self._owed = None
        if now - self._committed_at >= COMMIT_S:
            self._commit(now)

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
        for item, topic in self._topics_of().items():
            self._monitor.article(item, topic)
        self._monitor.model(self._model_version())

    def _take(self, topic: str, value: bytes | None, now: float) -> None:
        try:
            if ".feedback." in topic:
                self._monitor.feedback(decode(Feedback, value, now))
            elif ".recommendations." in topic:
                self._monitor.recommendation(decode(Recommendation, value, now))
            else:
                self._monitor.model(decode(ModelPointer, value, now).version)
        except InvalidMessage:
            pass

    def _publish(self, report: DriftReport) -> None:
        alarms = [f.detector for f in report.findings if f.alarm]
        if alarms:
            report = replace(report, action="asked for an update")
            self._board.put(BOARD_ALARM, {"at": report.generated_at, "detectors": alarms})
        self._publisher.send(self._topic, None, encode(report))
        self._publisher.flush()
        self._board.put(BOARD_DRIFT, report)
        log.info("drift_report", trigger=report.trigger, alarms=alarms)
