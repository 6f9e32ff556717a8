"""From the streams to a drift report. Pure: no broker, and wall time is an argument.

Slates expire by event time, so that a replayed old log gives the findings it would have given
then; reports are due by the wall clock.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from streamrec.clock import due
from streamrec.config import Monitor
from streamrec.drift import content, controls, mixes, rates, turns
from streamrec.drift.contract import Detector
from streamrec.drift.contributors import Arrivals, Explains, Published, Reads, Titles, Values
from streamrec.drift.offenders import Offender, Offenders
from streamrec.drift.pulse import Clicked, Pulse, Said
from streamrec.drift.said import when
from streamrec.drift.slates import EventTime, Neighbours, Outcome, Recent, Served, SlateOutcomes
from streamrec.events import DriftReport, Feedback, Finding, Recommendation, epoch, well_read

MOST = 100_000  # articles, readers, event ids and engagements remembered
ENGAGED = ("click", "read", "like")
SKEW_S = 600.0
OF_LENGTH = 0.01  # a vector whose length is so far from 1 was not made by the encoder, or was cut
LATE = 500  # articles: a vector filled in after so many more is of a backlog, in the encoder's order
KEPT = 3600  # beats whose quality is kept, an hour of them
USUAL = 5  # reads that a reader's topics are taken from: with fewer, more would be new
OF_CLICKS = ("click-rate", "click-trend", "online-rank", "surprise", "calibration")
RETRAIN = ("content", "interest", "label", "performance")  # kinds that learning may answer


class Detectors:
    """One of each, by name."""

    def __init__(self, settings: Monitor) -> None:
        self.content, self.words = content.ContentShift(settings), content.NewWords(settings)
        self.topics, self.turn = mixes.TopicMix(settings), turns.ReadersTurn(settings)
        self.given = mixes.TopicGivenShown(settings)
        self.readers = rates.ReaderChange(settings)
        self.clicks, self.trend = rates.ClickRate(settings), rates.ClickTrend(settings)
        self.dwell, self.dismissals = rates.Dwell(settings), rates.Dismissals(settings)
        self.rank, self.surprise = rates.OnlineRank(settings), rates.Surprise(settings)
        self.calibration = rates.Calibration(settings)
        self.controls, self.exposure = controls.AgainstControls(settings), controls.Exposure(settings)
        self.duplicates, self.skew = rates.Duplicates(settings), rates.ClockSkew(settings)
        self.texts, self.norms = rates.MissingText(settings), rates.VectorNorm(settings)
        self.fields, self.dwells = rates.MissingFields(settings), rates.MissingDwell(settings)
        self.languages = mixes.LanguageMix(settings)

    def __iter__(self) -> Iterator[Detector]:
        return iter(vars(self).values())


class DriftMonitor:
    """Feed it every message; ask `due` after each batch."""

    def __init__(self, settings: Monitor, most: int = MOST) -> None:
        self.settings, self.pulse = settings, Pulse()
        self.detectors = Detectors(settings)
        self._slates = SlateOutcomes(settings.click_timeout_s, most)
        self._time = EventTime()
        self._articles: Recent[str, Published] = Recent(most)
        self._placed: Recent[str, None] = Recent(most)
        self._came: Recent[str, int] = Recent(most)  # as which of the articles
        self._events: Recent[str, tuple[int, int | None]] = Recent(most)  # where each lies: partition, offset
        self._engaged: Recent[tuple[str, str | None, str], None] = Recent(most)
        self._readers: Recent[str, deque[str]] = Recent(most)
        self._shown: Recent[str, list[int]] = Recent(most)
        self._clocks: dict[int, Neighbours] = {}
        self._lately, self._arrivals = Reads(settings.window), Arrivals(settings.window)
        clicks, dwell, dismissals = (Values(settings.reference) for _ in range(3))
        self._values = {**dict.fromkeys(OF_CLICKS, clicks), "dwell": dwell, "dismissals": dismissals}
        self._wrong = {d.name: Offenders(settings.window) for d in self.detectors if d.kind == "data-quality"}
        del self._wrong[self.detectors.languages.name]  # which names them itself
        self._quality: dict[str, float] = {}  # as it is now
        self._worth: deque[tuple[float, dict[str, float]]] = deque(maxlen=KEPT)  # and was, by event time
        self._told: dict[str, float] = {}  # by the last report
        self._said, self._clicked = Said(), Clicked()
        self._encoder = self._version = ""
        self._count = self._published = 0
        self._reported_at: float | None = None
        self._alarmed_at: dict[str, float] = {}  # the newest report of an alarm, by detector
        self._start = "the monitor's start", 0.0
        self._anew: dict[str, tuple[str, float]] = {}  # since what a detector counts, if not since the start,
        # and at which wall time: infinity is put right with the next report

    def model(self, version: str) -> None:
        """This version serves from now on."""
        self._version = version

    def encoder(self, fingerprint: str) -> None:
        """What makes the articles' vectors: those of two encoders are not compared."""
        if self._encoder and self._encoder != fingerprint:
            self.detectors.content.rearm()
            self._anew[self.detectors.content.name] = "another encoder came", inf
        self._encoder = fingerprint

    def article(
        self, item_id: str, found: Published, vector: NDArray[np.float32] | None = None
    ) -> None:
        """An article is there, or is known better: its `vector` [d] comes once the encoder has read it.
        Its topic: see `topics.topic_of`. Vectors of a backlog come newest first: what differs along them is
        the order of a log, no change of what is published."""
        at, d = self._time.now, self.detectors
        if self._articles.put(item_id, found):
            self._published += 1
            self._came.put(item_id, self._published)
            self._arrivals.put(item_id)
            d.words.update(content.Title(found.title), at)
            self._checked(d.texts, not found.has_text, at, item_id)
            self._complete(item_id, found.lacks, at)
            if found.lang:
                d.languages.update(found.lang, at)
        if vector is not None and self._placed.put(item_id, None):
            if self._published - self._came.get(item_id, 0) <= LATE:
                d.content.update(vector, at)
            self._length(item_id, float(np.linalg.norm(vector)), at)

    def _checked(
        self, detector: Detector, wrong: bool, at: float, item: str | None, reader: str = ""
    ) -> None:
        detector.update(float(wrong), at)
        if wrong:
            found = Offender(at, item or "", reader, reader in self._readers)
            self._wrong[detector.name].put(found)

    def _complete(self, item_id: str, lacks: Sequence[str], at: float) -> None:
        fields = self.detectors.fields
        fields.update(len(lacks) / 3, at)
        for field in lacks:
            self._wrong[fields.name].put(Offender(at, item_id, lacks=field))

    def _length(self, item_id: str, length: float, at: float) -> None:
        norms = self.detectors.norms
        norms.update(min(length / 2, 1.0), at)
        if abs(length - 1) > OF_LENGTH:
            self._wrong[norms.name].put(Offender(at, item_id))

    def recommendation(self, rec: Recommendation) -> None:
        """An answer; refusals say nothing about a model."""
        self.pulse.count("answers")
        if not rec.items:
            return
        if rec.policy == "live" and rec.trigger == "feedback":  # the list that a click brings about
            self.pulse.list_made(rec.generated_at, rec.state_at)
        ranked = sorted(rec.items, key=lambda i: i.rank)
        self._slates.served(rec.recommendation_id, Served(
            rec.model_version, tuple(i.item_id for i in ranked), tuple(i.score for i in ranked), rec.policy,
        ))

    def quality(self, entry: Mapping[str, Any]) -> None:
        """What the trainer found before an increment: see schedulers/quality.py."""
        for gap in entry.get("gaps", ()):
            self.detectors.controls.update(controls.Gap(gap), entry["at"])
        for arm, found in entry.get("ndcg", {}).items():
            self._quality[f"ndcg_{arm}"] = found[0]

    def feedback(
        self, event: Feedback, partition: int = 0, wall: float = inf, offset: int | None = None
    ) -> None:
        """One event, which came at wall time `wall`, if that is known. One that was published twice changes
        nothing but the share of duplicates, and one that is read again, from the same `offset`, nothing at
        all. Partitions are read one after the other where there is much to catch up, so a clock is judged by
        its own partition's."""
        place, at, d = (partition, offset), self._time.now, self.detectors
        if offset is not None and self._events.get(event.event_id) == place:
            return
        new = self._events.put(event.event_id, place)
        self._checked(d.duplicates, not new, at, event.item_id, event.user_id)
        if not new:
            return
        self._count += 1
        self.pulse.count("events")
        ts = epoch(event.timestamp)
        now = self._time.tick(ts, wall)
        clock = self._clocks.setdefault(partition, Neighbours())
        if (astray := clock.astray(ts, event)) is not None:
            of = (astray > SKEW_S and clock.judged) or event
            self._checked(d.skew, astray > SKEW_S, now, of.item_id, of.user_id)
        self._heard(event, now)
        for outcome in self._slates.expire(now):
            self._outcome(outcome, now)

    def _heard(self, event: Feedback, now: float) -> None:
        if event.event_type == "impression":
            self._slates.shown(event.user_id, event.recommendation_id, event.impression, now)
            return
        self._reaction(self.detectors.dismissals, event, float(event.event_type == "dismiss"), now)
        if event.event_type == "read":
            self._read(event, now)
        if event.event_type in ENGAGED and event.item_id is not None:
            self._engagement(event, event.item_id, now)

    def _read(self, event: Feedback, now: float) -> None:
        seconds, d = event.event_value, self.detectors
        self._checked(d.dwells, seconds is None, now, event.item_id, event.user_id)
        if seconds is not None:
            self._reaction(d.dwell, event, well_read(seconds), now)

    def _reaction(self, detector: Detector, event: Feedback, value: float, now: float) -> None:
        detector.update(value, now)
        if event.item_id is not None:
            self._values[detector.name].put(now, (event.item_id,), (value,), event.user_id in self._readers)

    def _engagement(self, event: Feedback, item: str, now: float) -> None:
        # Click, read and like of one article in one slate are one choice of the reader.
        if not self._engaged.put((event.user_id, event.recommendation_id, item), None):
            return
        user, rec = event.user_id, event.recommendation_id
        self._slates.clicked(user, rec, item, event.impression, now)
        if item in self._articles:
            self._chosen(user, item, now)

    def _chosen(self, user: str, item: str, now: float) -> None:
        topic, usual = self._articles[item].topic, self._readers.get(user) or deque(maxlen=USUAL)
        if len(usual) == USUAL:
            self.detectors.readers.update(float(topic not in usual), now)
        self.detectors.topics.update(topic, now, user)
        self.detectors.turn.update(turns.Read(topic, user), now)
        self._lately.put(topic, item, len(usual) > 0)
        usual.append(topic)
        self._readers.put(user, usual)

    def _outcome(self, outcome: Outcome, now: float) -> None:
        served, d = outcome.served, self.detectors
        chances = softmax(served.scores) if outcome.ranks and any(served.scores) else []
        live = served.policy == "live"
        self.pulse.outcome(outcome, chances if live else [])
        if not live:
            return
        if served.items:  # a click that came from no list of ours shows nothing
            d.exposure.update(served.items, now)
        if outcome.clicked is not None:
            self._count_places(outcome)
            clicked = [float(n in outcome.ranks) for n in range(1, len(served.items) + 1)]
            self._values[d.clicks.name].put(now, served.items, clicked, outcome.user in self._readers)
            d.clicks.update(float(outcome.clicked), now)
            d.trend.update(float(outcome.clicked), now)
        shown = tuple(a.topic for i in served.items if (a := self._articles.get(i))) \
            if outcome.ranks else ()
        if chances:
            self._said.slate()
            likeliest = chances.index(max(chances))
            d.calibration.update((1 + chances[likeliest] - (likeliest + 1 in outcome.ranks)) / 2, now)
        for rank in outcome.ranks:
            d.rank.update(1 / rank, now, served.model_version)
            if chances:
                d.surprise.update(1.0 - chances[rank - 1], now)
            if chosen := self._articles.get(served.items[rank - 1]):
                d.given.update(mixes.Choice(chosen.topic, shown), now, outcome.user)

    def _count_places(self, outcome: Outcome) -> None:
        for place, item in enumerate(outcome.served.items, 1):
            shown, clicked = self._shown.get(item, (0, 0))
            self._shown.put(item, [shown + 1, clicked + (place in outcome.ranks)])

    def most_shown(self, most: int) -> dict[str, list[int]]:
        """How often the articles shown most were shown and clicked, by id, since this monitor began."""
        return dict(sorted(self._shown.items(), key=lambda kv: -kv[1][0])[:most])

    def beat(self, now: float) -> dict[str, Any]:
        """The pulse since the last beat, at wall time `now`."""
        found = self.pulse.beat(now, self._version)
        lately = {"click_rate": self._clicked.rate(*found["slates"].get("live", (0, 0))),
                  "calibration_error": self._said.error(found["bins"])}
        self._quality.update((k, x) for k, x in lately.items() if x is not None)
        self._worth.append((self._time.now, dict(self._quality)))
        return found

    def due(self, now: float, hold_s: float = 0.0) -> DriftReport | None:
        """A report, each period of wall time `now`, and at once when an alarm rises: that of a detector which
        was told to be in alarm less than `hold_s` seconds before waits for the period."""
        if self._reported_at is None:
            self._reported_at, self._start = now, (self._start[0], now)
        rose = any(d.alarm and due(now, self._alarmed_at.get(d.name, -inf), hold_s) for d in self.detectors)
        if not rose and not due(now, self._reported_at, self.settings.period_s):
            return None
        events, self._count, self._reported_at = self._count, 0, now
        self._anew = {k: (what, min(at, now)) for k, (what, at) in self._anew.items()}
        findings = [self._explained(d.report()) for d in self.detectors]
        self._alarmed_at.update((f.detector, now) for f in findings if f.alarm)
        self._anew.update((f.detector, ("its alarm", now)) for f in findings if f.alarm)
        report = DriftReport(
            report_id=f"drift-{now:.3f}", generated_at=now,
            trigger="alarm" if any(f.alarm for f in findings) else "period",
            model_version=self._version, events=events, findings=findings, quality=self._compared(findings),
        )
        self._told = dict(self._quality)
        return report

    def _compared(self, findings: Sequence[Finding]) -> dict[str, float]:
        """See DriftReport.quality."""
        began = min((f.first_seen for f in findings if f.alarm and f.first_seen), default=-inf)
        earlier = [worth for at, worth in self._worth if at < began]
        before = self._told if began == -inf else earlier[-1] if earlier else {}
        return self._quality | {f"{k}_before": v for k, v in before.items() if k in self._quality}

    def _explained(self, finding: Finding) -> Finding:
        """An alarm with what moved; of too few values, since when they are counted: nothing is kept over a
        restart, and an alarm begins anew."""
        if finding.value is None:
            what, at = self._anew.get(finding.detector, self._start)
            return replace(finding, reference=f"counted since {what}, {when(at)}")
        if not finding.alarm:
            return finding
        by_kind: dict[str, Explains] = {
            "interest": self._lately, "content": self._arrivals, "feedback-loop": Titles()}
        of = by_kind.get(finding.kind or "") or self._values.get(finding.detector) \
            or self._wrong.get(finding.detector)
        return of.explain(finding, self._articles.get) if of else finding


def softmax(scores: Sequence[float]) -> list[float]:
    """Probabilities of a slate's places, from the served model's scores."""
    found = np.exp(np.asarray(scores) - max(scores))
    shares: list[float] = (found / found.sum()).tolist()
    return shares
