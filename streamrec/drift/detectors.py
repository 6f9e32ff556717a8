"""The detectors of the monitor.

Every concrete class here is picked up by `tests/drift/test_detectors.py`, which builds it from
`config.Monitor` alone and feeds it what its `update` is annotated to take.
"""

from collections import Counter, OrderedDict, deque

from streamrec.config import Monitor
from streamrec.drift.contract import Detector
from streamrec.drift.formulas import movers, pooled, psi, psi_noise
from streamrec.drift.mean_shift import MeanShift
from streamrec.events import Finding

VERSIONS = 4  # model versions told apart in the detail
CHECKS_PER_WINDOW = 20  # of the topic mix; a check of each event costs much and tells no more


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
        finding = self._state()
        if finding.alarm:
            self._latch(finding)

    def _state(self) -> Finding:
        window = self.settings.window
        n, m = self._referred, len(self._order)
        if m < window:
            return self._too_few(n + m, 2 * window)
        pairs = pooled(self._reference, self._current)
        value = psi(pairs)
        threshold = max(self.settings.psi, psi_noise(n, m, len(pairs)))
        finding = Finding(
            detector=self.name, alarm=value >= threshold, value=value, threshold=threshold,
            samples=n + m, reference=f"{n} reads", current=f"newest {m} reads",
            detail=movers(self._reference, self._current),
        )
        if finding.alarm:
            self._rearm()
        return finding
