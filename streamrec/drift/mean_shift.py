"""A change of a mean, found by ADWIN and told in terms that a reader can check."""

import math
from abc import ABC
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from river.drift import ADWIN

from streamrec.config import Monitor
from streamrec.drift.contract import Detector, change
from streamrec.drift.formulas import epsilon_cut, two_sided
from streamrec.events import Finding

MIN_SAMPLES = 100  # ADWIN's bound holds for fewer, but a rate of fewer tells a reader nothing
MIN_SIDE = 5  # values on each side of a moment, as in river


class Split(NamedTuple):
    """The newest `n1` values against those before: difference of means, its cut, both means."""

    value: float
    threshold: float
    n1: int
    old: float
    new: float


class MeanShift(Detector, ABC):
    """A change of the mean of values in [0, 1], by ADWIN (Bifet & Gavaldà 2007).

    Value and threshold are the difference of means before and after a moment, and ADWIN's cut
    for windows of these sizes: of all moments among the newest `reference` values, the one
    where the difference is largest against its cut; river does not tell its own. `p_value` and
    `interval` (95 %, of new minus old) are of that moment alone, as if it had been chosen beforehand.
    """

    unit = "values"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._adwin = ADWIN(delta=settings.delta, grace_period=MIN_SAMPLES)
        self._newest: deque[tuple[float, float]] = deque(maxlen=settings.reference)
        self._ignored, self._moved = 0, (0.0, 0.0)

    def update(self, x: float, at: float = 0.0) -> None:
        """Take one value; river starts a new window at the first value after an alarm."""
        if not math.isfinite(x):
            self._ignored += 1
            return
        adwin = self._adwin
        if adwin.drift_detected:
            self._newest.clear()
            n, total, spread = 0, 0.0, 0.0
        else:
            n, total, spread = int(adwin.width), adwin.total, adwin.variance
        adwin.update(x)
        self._newest.append((x, at))
        if adwin.drift_detected:  # by now ADWIN has dropped old values: tell of the window before
            self._latch(self._compare(n + 1, total + x, spread, True))

    def _state(self) -> Finding:
        adwin = self._adwin
        n = 0 if adwin.drift_detected else int(adwin.width)
        if n < MIN_SAMPLES:
            return self._too_few(n, MIN_SAMPLES)
        return self._compare(n, adwin.total, adwin.variance, False)

    def _compare(self, n: int, total: float, spread: float, alarm: bool) -> Finding:
        variance = spread / n  # river's "variance" is a sum of squares
        value, threshold, n1, old, new = max(
            self._splits(n, total, variance), key=lambda split: split[0] / split[1]
        )
        error = math.sqrt(variance * (1 / n1 + 1 / (n - n1)))
        if alarm:
            self._moved = old, new
        return Finding(
            detector=self.name, alarm=alarm, value=value, threshold=threshold, samples=n,
            reference=f"{n - n1} {self.unit}, mean {old:.3f}",
            current=f"newest {n1} {self.unit}, mean {new:.3f}", detail=self._detail(old, new),
            p_value=two_sided(new - old, error),
            interval=(new - old - 1.96 * error, new - old + 1.96 * error),
            first_seen=self._newest[-n1][1],
        )

    def _splits(self, n: int, total: float, variance: float) -> Iterator[Split]:
        after = 0.0
        for n1, (x, _) in enumerate(reversed(self._newest), 1):
            after += x
            if MIN_SIDE <= n1 <= n - MIN_SIDE:
                old, new = (total - after) / (n - n1), after / n1
                cut = epsilon_cut(n - n1, n1, variance, self.settings.delta)
                yield Split(abs(new - old), cut, n1, old, new)

    def _size(self, found: Finding) -> float:
        return change(*self._moved)

    def _detail(self, old: float, new: float) -> str:
        same = f"{old:.3f}" == f"{new:.3f}"
        way = "rose" if new > old else "fell"
        moved = f"stays at {new:.3f}" if same else f"{way} from {old:.3f} to {new:.3f}"
        return moved + (f"; {self._ignored} values were no numbers" if self._ignored else "")
