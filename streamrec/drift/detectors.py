"""Drift detectors, in the manner of river: `update(x)` for each value, `report()` when asked.

An alarm is latched until reported, and re-arms by itself: its windows start anew with the
values that follow, so that one shift is one alarm. Every concrete class here is picked up by
the monitor's tests, which build it from `config.Monitor` alone.
"""

from abc import ABC, abstractmethod
from collections import Counter, OrderedDict, deque
from typing import Any

from river.drift import ADWIN

from streamrec.config import Monitor
from streamrec.drift.formulas import epsilon_cut, movers, pooled, psi, psi_noise
from streamrec.events import Finding

MIN_SAMPLES = 100  # ADWIN's bound holds for fewer, but a rate of fewer tells a reader nothing
VERSIONS = 4  # model versions told apart in the detail
CHECKS_PER_WINDOW = 20  # of the topic mix; a check of each event costs much and tells no more


class Detector(ABC):
    """One kind of drift. Feed it with `update`; `report` takes the latched alarm, if any."""

    def __init__(self, settings: Monitor) -> None:
        self.settings = settings
        self._latched: Finding | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in reports and metrics."""

    @abstractmethod
    def update(self, x: Any) -> None:
        """Take one value."""

    @abstractmethod
    def _quiet(self) -> Finding:
        """How things stand, when there is no alarm."""

    @property
    def alarm(self) -> bool:
        """Whether an alarm waits to be reported."""
        return self._latched is not None

    def report(self) -> Finding:
        """The first alarm since the last report, or how things stand; releases the latch."""
        found, self._latched = self._latched or self._quiet(), None
        return found

    def _latch(self, finding: Finding) -> None:
        self._latched = self._latched or finding

    def _too_few(self, n: int, needed: int) -> Finding:
        return Finding(
            detector=self.name, alarm=False, value=None, threshold=None, samples=n,
            reference="", current="", detail=f"not enough data ({n} of {needed})",
        )


class MeanShift(Detector):
    """A change of the mean of values in [0, 1], by ADWIN (Bifet & Gavaldà 2007).

    Value and threshold are the difference of the two windows' means and ADWIN's cut for
    windows of these sizes. An alarm tells what ADWIN dropped against what it kept; otherwise
    the newest values, at most `window` or half of all, are compared with those before them.
    """

    unit = "values"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._adwin = ADWIN(delta=settings.delta, grace_period=MIN_SAMPLES)
        self._newest: deque[float] = deque(maxlen=settings.window)

    def update(self, x: float) -> None:
        """Take one value; river starts a new window at the first value after an alarm."""
        adwin = self._adwin
        rearmed = adwin.drift_detected
        n, total, variance = int(adwin.width), adwin.total, adwin.variance
        adwin.update(x)
        if rearmed:
            self._newest.clear()
        self._newest.append(x)
        if adwin.drift_detected:
            kept = int(adwin.width)
            dropped = (n + 1 - kept, total + x - adwin.total)
            self._latch(self._compare(dropped, (kept, adwin.total), variance, True))

    def _quiet(self) -> Finding:
        adwin = self._adwin
        n = 0 if adwin.drift_detected else int(adwin.width)
        if n < MIN_SAMPLES:
            return self._too_few(n, MIN_SAMPLES)
        newest = list(self._newest)[-(n // 2):]
        total = sum(newest)
        before = (n - len(newest), adwin.total - total)
        return self._compare(before, (len(newest), total), adwin.variance, False)

    def _compare(
        self, before: tuple[int, float], after: tuple[int, float], variance: float, alarm: bool
    ) -> Finding:
        (n0, sum0), (n1, sum1) = before, after
        old, new = sum0 / n0, sum1 / n1
        return Finding(
            detector=self.name, alarm=alarm, value=abs(new - old),
            threshold=epsilon_cut(n0, n1, variance, self.settings.delta), samples=n0 + n1,
            reference=f"{n0} {self.unit}, mean {old:.3f}",
            current=f"newest {n1} {self.unit}, mean {new:.3f}", detail=self._detail(old, new),
        )

    def _detail(self, old: float, new: float) -> str:
        return f"{'rose' if new > old else 'fell'} from {old:.3f} to {new:.3f}"


class ClickRate(MeanShift):
    """Share of slates clicked: 1.0 for a slate with a click, 0.0 for one ignored."""

    name = "click-rate"
    unit = "slates"


class OnlineRank(MeanShift):
    """Reciprocal rank of each click in the slate that the reader saw."""

    name = "online-rank"
    unit = "clicks"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._versions: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def update(self, x: float, version: str = "") -> None:
        """Take 1/rank of a click; `version` is the model that served the slate, if known."""
        if version:
            n, total = self._versions.pop(version, (0, 0.0))
            self._versions[version] = (n + 1, total + x)
            if len(self._versions) > VERSIONS:
                self._versions.popitem(last=False)
        super().update(x)

    def _detail(self, old: float, new: float) -> str:
        by = "; ".join(f"{v}: {s / n:.3f} of {n}" for v, (n, s) in self._versions.items())
        return super()._detail(old, new) + (f"; by model version: {by}" if by else "")


class TopicMix(Detector):
    """Topics of articles read: PSI of the current window against a reference window.

    The first `window` reads are the reference and the newest `window` the current; reads that
    leave the current window join the reference until it has `reference` of them. The threshold
    is the setting, or what chance alone may give with windows this small.
    """

    name = "topic-mix"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._every = max(1, settings.window // CHECKS_PER_WINDOW)
        self._rearm()

    def _rearm(self) -> None:
        # Not the window at the alarm: it is part old, part new, and would alarm once more.
        self._reference: Counter[str] = Counter()
        self._current: Counter[str] = Counter()
        self._order: deque[str] = deque()
        self._referred, self._seen = 0, 0

    def update(self, x: str) -> None:
        """Take the topic of one article read."""
        self._seen += 1
        window = self.settings.window
        if self._referred < window:
            self._refer(x)
            return
        self._current[x] += 1
        self._order.append(x)
        if len(self._order) > window:
            self._leave(self._order.popleft())
        if len(self._order) == window and self._seen % self._every == 0:
            self._check()

    def _refer(self, topic: str) -> None:
        self._reference[topic] += 1
        self._referred += 1

    def _leave(self, topic: str) -> None:
        self._current[topic] -= 1
        if not self._current[topic]:
            del self._current[topic]
        if self._referred < self.settings.reference:
            self._refer(topic)

    def _check(self) -> None:
        finding = self._quiet()
        if finding.alarm:
            self._latch(finding)
            self._rearm()

    def _quiet(self) -> Finding:
        window = self.settings.window
        n, m = self._referred, len(self._order)
        if m < window:
            return self._too_few(n + m, 2 * window)
        pairs = pooled(self._reference, self._current)
        value = psi(pairs)
        threshold = max(self.settings.psi, psi_noise(n, m, len(pairs)))
        return Finding(
            detector=self.name, alarm=value >= threshold, value=value, threshold=threshold,
            samples=n + m, reference=f"{n} reads", current=f"newest {m} reads",
            detail=movers(self._reference, self._current),
        )


ALL: tuple[type[Detector], ...] = (ClickRate, OnlineRank, TopicMix)
