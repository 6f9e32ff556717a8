"""The pages over the shipped memory adapters, served to a real browser. Redis and Kafka can be away."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from consumers.dead_letters import DeadLetters
from streamrec.adapters.memory import MemoryBoard, MemoryFiles, MemoryPointers
from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import Partition, TopicSpec
from streamrec.config import Model
from streamrec.dashboard.asking import DeskAsking
from streamrec.dashboard.login import Login
from streamrec.dashboard.mount import mount
from streamrec.dashboard.site import Acts, ReportLog, Site
from streamrec.errors import InvalidMessage, RetryLater
from streamrec.events import DriftReport, Finding, encode
from streamrec.metrics import BOARD_PULSE
from streamrec.model.bundle import to_files
from streamrec.model.network import Recommender
from streamrec.operate import dlq
from streamrec.operate.article import article
from streamrec.registry import Registry, VersionRecord
from streamrec.web.server import listen, serve
from tests.web.web_site import DIM, WebSite

FEEDBACK, REPORTS, GROUP = "w.feedback.v1", "w.drift-reports.v1", "w-dlq-replay"


class Kafka(MemoryBroker):
    """Kafka, which can be away."""

    away = False
    missing = ""  # a topic that was deleted: who has it open polls nothing

    def topics(self) -> dict[str, int]:
        return {name: n for name, n in super().topics().items() if name != self.missing}

    def group_lag(self, group: str, topics: Any) -> dict[Partition, int]:
        if self.away:
            raise RetryLater("Kafka is away: nothing was read")
        return super().group_lag(group, topics)


class PageSite:
    """As wiring.web builds it."""

    def __init__(self) -> None:
        self.web, self.kafka, self.board = WebSite(), Kafka(), MemoryBoard()
        self.kafka.create_topics([TopicSpec(t, 1, 1, {}) for t in (FEEDBACK, f"{FEEDBACK}.dlq", REPORTS)])
        self.registry = Registry(MemoryFiles(), MemoryPointers(self.web.clock))
        state, catalogue, asking = self.web.serving.scorer.state, self.web.catalogue, DeskAsking(
            self.web.desk, self.web.clock, lambda n: ["ann"], lambda: [])
        self.site = Site(
            facts=self._facts, lag=lambda: {"all": sum(self.kafka.group_lag("x", [FEEDBACK]).values())},
            board=self.board, records=self.registry.pointers.records,
            reports=ReportLog(self.kafka, REPORTS, self.web.clock), asking=asking,
            acts=Acts(
                history=lambda user: self.web.buffer.histories([user])[user],
                article=lambda item: article(state.articles, catalogue, item),
                letters=lambda: dlq.listed(self.kafka, [FEEDBACK], GROUP),
                replay=lambda only: dlq.replay(self.kafka, [FEEDBACK], only, GROUP),
                rollback=lambda version: self._roll_back(version), diff=asking.diff,
            ),
            login=Login("secret", open_to_all=True), clock=self.web.clock,
        )

    def _facts(self) -> dict[str, Any]:
        pointer = self.registry.current()
        return {"model": {"version": pointer.version, "age_s": 1.0}, "serving": pointer.version,
                "dead_letters": self.kafka.end(Partition(f"{FEEDBACK}.dlq", 0))}

    def _roll_back(self, version: str) -> None:
        self.registry.rollback(version, time.time())

    def publish(self, version: str) -> None:
        """A version, as the trainer does."""
        self.registry.stage("versions", version, {})
        files = to_files(Recommender.initial(DIM, Model()), {"encoder": "e"})  # to look at, not to serve
        self.web.serving._fetch._registry.stage("versions", version, files, cursor={})
        old = self.registry.current()
        record = VersionRecord(version=version, parent=old.version, created_at=time.time(), rows=9,
                               learned_until=time.time(), metrics={})
        new = type(old)(version=version, attempt=old.attempt + 1, published_at=time.time())
        self.registry.pointers.move(new, old.attempt, None, record)

    def beat(self, at: float) -> None:
        """The monitor's only one, so many seconds from now."""
        counts = {"events": 20, "answers": 20, "slates": {"live": [30, 10]}, "delays_ms": [47, 90]}
        bins = [[30.0, 3.0, 6.0]] * 10
        self.board.append(BOARD_PULSE, {"at": time.time() + at, "version": "1", "bins": bins} | counts, 1)

    def alarm(self, report_id: str, trigger: Literal["alarm", "period"] = "alarm") -> None:
        """A report of the monitor's, with an alarm and a statistic that is none yet."""
        finding = Finding(detector="dwell", alarm=True, value=1.0, threshold=0.5, samples=9, reference="r",
                          current="c", detail="fell", severity="high")
        high = Finding(detector="click-rate", alarm=False, value=0.3, threshold=0.2, samples=9, reference="r",
                       current="c", detail="rose; above its threshold, not yet an alarm: for a reason")
        report = DriftReport(report_id=report_id, generated_at=time.time(), trigger=trigger, events=3,
                             model_version="1", findings=[finding, high], quality={"ndcg_new": 0.5})
        self.kafka.publisher().send(REPORTS, None, encode(report))

    def die(self, why: str) -> None:
        """A message becomes a dead letter."""
        self.kafka.publisher().send(FEEDBACK, b"k", b"no good")
        record = self.kafka.read(Partition(FEEDBACK, 0), 0, 9999)[-1]
        DeadLetters(self.kafka.publisher(), "group").send(record, InvalidMessage(why))

    @contextmanager
    def served(self) -> Iterator[str]:
        """Its address; once in a process, as the library keeps pages globally."""
        mount(self.web.app, self.site)
        stop, listening = threading.Event(), listen("127.0.0.1", 0)
        thread = threading.Thread(target=serve, args=(self.web.app, listening, stop))
        self.web.desk.start()
        self.site.watch.start()
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()
            self.site.watch.stop()
            self.web.desk.stop()
