"""From the streams to a drift report. Pure: no broker, and wall time is an argument.

Slates expire by event time, so that a replayed old log gives the findings it would have given
then; reports are due by the wall clock.
"""

from streamrec.config import Monitor
from streamrec.drift.contract import Detector
from streamrec.drift.detectors import ClickRate, OnlineRank, TopicMix
from streamrec.drift.slates import EventTime, Outcome, Recent, SlateOutcomes
from streamrec.events import DriftReport, Feedback, Recommendation, epoch

MOST = 100_000  # articles, event ids and engagements remembered
ENGAGED = ("click", "read", "like")


class DriftMonitor:
    """Feed it every message; ask `due` after each batch."""

    def __init__(self, settings: Monitor, most: int = MOST) -> None:
        self.settings = settings
        self.click_rate = ClickRate(settings)
        self.online_rank = OnlineRank(settings)
        self.topic_mix = TopicMix(settings)
        self.detectors: tuple[Detector, ...] = (self.click_rate, self.online_rank, self.topic_mix)
        self._slates = SlateOutcomes(settings.click_timeout_s, most)
        self._time = EventTime()
        self._topics: Recent[str, str] = Recent(most)
        self._events: Recent[str, None] = Recent(most)
        self._engaged: Recent[tuple[str, str | None, str], None] = Recent(most)
        self._version = ""
        self._count = 0
        self._reported_at: float | None = None

    def model(self, version: str) -> None:
        """This version serves from now on."""
        self._version = version

    def article(self, item_id: str, topic: str) -> None:
        """An article's topic, see `topics.topic_of`."""
        self._topics.put(item_id, topic)

    def recommendation(self, rec: Recommendation) -> None:
        """An answer; control arms and refusals say nothing about the live model."""
        if rec.policy == "live" and rec.items:
            ranked = sorted(rec.items, key=lambda i: i.rank)
            items = [i.item_id for i in ranked]
            self._slates.served(rec.recommendation_id, rec.model_version, items)

    def feedback(self, event: Feedback) -> None:
        """One event; a redelivered one changes nothing."""
        if not self._events.put(event.event_id, None):
            return
        self._count += 1
        now = self._time.tick(epoch(event.timestamp))
        if event.event_type == "impression":
            self._slates.shown(event.user_id, event.recommendation_id, event.impression, now)
        elif event.event_type in ENGAGED and event.item_id is not None:
            self._engagement(event, event.item_id, now)
        for outcome in self._slates.expire(now):
            self._outcome(outcome)

    def due(self, now: float) -> DriftReport | None:
        """A report, at once on an alarm and otherwise each period of wall time `now`."""
        if self._reported_at is None:
            self._reported_at = now
        alarm = any(d.alarm for d in self.detectors)
        if not alarm and now - self._reported_at < self.settings.period_s:
            return None
        events, self._count, self._reported_at = self._count, 0, now
        findings = [d.report() for d in self.detectors]
        return DriftReport(
            report_id=f"drift-{now:.3f}", generated_at=now,
            trigger="alarm" if any(f.alarm for f in findings) else "period",
            model_version=self._version, events=events, findings=findings,
        )

    def _engagement(self, event: Feedback, item: str, now: float) -> None:
        # Click, read and like of one article in one slate are one choice of the reader.
        if not self._engaged.put((event.user_id, event.recommendation_id, item), None):
            return
        user, rec = event.user_id, event.recommendation_id
        self._slates.clicked(user, rec, item, event.impression, now)
        if item in self._topics:
            self.topic_mix.update(self._topics[item])

    def _outcome(self, outcome: Outcome) -> None:
        if outcome.clicked is not None:
            self.click_rate.update(float(outcome.clicked))
        for rank in outcome.ranks:
            self.online_rank.update(1 / rank, outcome.model_version)
