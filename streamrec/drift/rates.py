"""Means that may shift: what readers do (label), what the model ranks (performance), whether each
reader stays with their topics (interest), and whether the data is sound (data-quality)."""

import math
from collections import OrderedDict

from river.drift import PageHinkley

from streamrec.config import Monitor
from streamrec.drift.contract import Detector, change, moved
from streamrec.drift.formulas import seconds
from streamrec.drift.mean_shift import MIN_SAMPLES, MeanShift
from streamrec.drift.said import duration
from streamrec.events import Finding

VERSIONS = 4  # model versions told apart in the detail
# A random walk of spread .25 that sinks by TOLERATED a step climbs to LIMIT about once in 1e5 tries
# (Siegmund 1985); a mean that moved by three times as much is seen within LIMIT / (2 TOLERATED).
TOLERATED, LIMIT = 0.02, 60.0


class ClickRate(MeanShift):
    """Share of slates clicked: 1.0 for a slate with a click, 0.0 for one ignored."""

    name, kind, unit = "click-rate", "label", "slates"


class ClickTrend(Detector):
    """The same values by Page-Hinkley (Page 1954): slow to forget, so it sees a slow change that ADWIN's
    windows follow without a word."""

    name, kind = "click-trend", "label"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._moved = 0.0, 0.0
        self._rearm()

    def _rearm(self) -> None:
        # alpha 1: sums that fade come to a level, and their noise about it is a false alarm sooner or later.
        self._page = PageHinkley(MIN_SAMPLES, delta=TOLERATED, threshold=LIMIT, alpha=1.0, mode="both")
        self._n, self._total, self._recent = 0, 0.0, 0.0
        self._rose_since = self._fell_since = 0.0

    def update(self, x: float, at: float = 0.0) -> None:
        """Take one value in [0, 1]."""
        if not 0.0 <= x <= 1.0:
            return
        self._n, self._total = self._n + 1, self._total + x
        self._recent += (x - self._recent) / min(self._n, MIN_SAMPLES)
        page = self._page
        page.update(x)
        if page._sum_increase <= page._min_increase:  # since then it has only gone up
            self._rose_since = at
        if page._sum_decrease >= page._max_decrease:
            self._fell_since = at
        if page.drift_detected:
            self._moved = self._total / self._n, self._recent
            self._latch(self._told(True))
            self._rearm()

    def _state(self) -> Finding:
        return self._told(False) if self._n >= MIN_SAMPLES else self._too_few(self._n, MIN_SAMPLES)

    def _told(self, alarm: bool) -> Finding:
        mean = self._total / self._n
        page = self._page  # river tells whether, not how far: these are its sums
        value = LIMIT if alarm else max(page._sum_increase - page._min_increase,
                                        page._max_decrease - page._sum_decrease, 0.0)
        return Finding(
            detector=self.name, alarm=alarm, value=value, threshold=LIMIT, samples=self._n,
            reference=f"{self._n} slates, mean {mean:.3f}",
            current=f"newest about {MIN_SAMPLES} slates, mean {self._recent:.3f}",
            detail=moved(f"{mean:.3f}", f"{self._recent:.3f}", self._recent > mean),
            interval=self._interval(self._recent - mean, mean * (1 - mean)),
            first_seen=self._rose_since if self._recent > mean else self._fell_since,
        )

    def _interval(self, moved_by: float, variance: float) -> tuple[float, float]:
        """Of the newest mean less that of all: 95 %, for values that vary as clicks do."""
        error = math.sqrt(variance / (2 * MIN_SAMPLES - 1) + variance / self._n)
        return moved_by - 1.96 * error, moved_by + 1.96 * error

    def _size(self, found: Finding) -> float:
        return change(*self._moved)


class Dwell(MeanShift):
    """How long articles are read: seconds / (seconds + a minute), so that an open tab is no outlier. Its mean
    is told as the seconds that are worth as much."""

    name, kind, unit = "dwell", "label", "reads"

    def _say(self, mean: float) -> str:
        return duration(seconds(mean))


class Dismissals(MeanShift):
    """Share of dismissals among what readers do with articles."""

    name, kind, unit = "dismissals", "label", "reactions"


class OnlineRank(MeanShift):
    """Reciprocal rank of each click in the slate that the reader saw."""

    name, kind, unit = "online-rank", "performance", "clicks"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._versions: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def update(self, x: float, at: float = 0.0, version: str = "") -> None:
        """Take 1/rank of a click; `version` is the model that served the slate, if known."""
        if version:
            n, total = self._versions.pop(version, (0, 0.0))
            self._versions[version] = (n + 1, total + x)
            if len(self._versions) > VERSIONS:
                self._versions.popitem(last=False)
        super().update(x, at)

    def _detail(self, old: float, new: float) -> str:
        by = "; ".join(f"{v}: {s / n:.3f} of {n}" for v, (n, s) in self._versions.items())
        return super()._detail(old, new) + (f"; by model version: {by}" if by else "")


class Surprise(MeanShift):
    """1 - the probability that the served model gave the article clicked, among those of its slate."""

    name, kind, unit = "surprise", "performance", "clicks"


class Calibration(MeanShift):
    """How far the served model is too sure of itself: of each clicked slate's likeliest place, the
    probability that the model gave it less whether it was clicked. That lies within [-1, 1]; taken is
    (1 + that) / 2. Told is that itself: nought is right in the mean, more is too sure."""

    name, kind, unit, span = "calibration", "performance", "clicked slates", 2.0

    def _say(self, mean: float) -> str:
        return f"{2 * mean - 1:+.3f}"

    def _detail(self, old: float, new: float) -> str:
        return f"chance said less chance seen: {super()._detail(old, new)}"


class ReaderChange(MeanShift):
    """Share of reads outside of the topics that this reader read before: drift of single readers, summed
    over all of them. A mix of topics may stay the same while everybody moves."""

    name, kind, unit = "reader-change", "interest", "reads"


class Duplicates(MeanShift):
    """Share of feedback whose event id was seen before."""

    name, kind, unit, one_way = "duplicates", "data-quality", "events", True


class ClockSkew(MeanShift):
    """Share of feedback dated over ten minutes before what came before it, or after what came after."""

    name, kind, unit, one_way = "clock-skew", "data-quality", "events", True


class MissingText(MeanShift):
    """Share of new articles that nothing can be read of."""

    name, kind, unit, one_way = "missing-text", "data-quality", "articles", True


class MissingFields(MeanShift):
    """How many of title, tags and language new articles come without, over three: a field that a site never
    sends is a constant part, and hides none of the others."""

    name, kind, unit, one_way = "missing-fields", "data-quality", "articles", True


class MissingDwell(MeanShift):
    """Share of reads that do not say how long they were."""

    name, kind, unit, one_way = "missing-dwell", "data-quality", "reads", True


class VectorNorm(MeanShift):
    """Length of new articles' vectors, halved; the encoder makes them of length 1."""

    name, kind, unit = "vector-norm", "data-quality", "articles"
