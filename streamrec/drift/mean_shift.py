"""A change of a mean, found by ADWIN and told in terms that a reader can check."""

import math
from abc import ABC
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from msgspec.structs import replace
from river.drift import ADWIN

from streamrec.config import Monitor
from streamrec.drift.buckets import Buckets
from streamrec.drift.contract import Detector, change, moved
from streamrec.drift.formulas import MIN_SIDE, epsilon_cut, two_sided
from streamrec.events import Finding

ADWIN_LOOKS = 32  # values, once that there are MIN_SAMPLES
MIN_SAMPLES = 100  # ADWIN's bound holds for fewer, but a rate of fewer tells a reader nothing


class Split(NamedTuple):
    """The newest `n1` values, the first of them of event time `since`, against those before: ADWIN's cut, and
    both means."""

    cut: float
    n1: int
    old: float
    new: float
    since: float

    @property
    def share(self) -> float:
        """How large the difference is against its cut: more than 1 is a change."""
        return abs(self.new - self.old) / self.cut


class MeanShift(Detector, ABC):
    """A change of the mean of values in [0, 1], by ADWIN (Bifet & Gavaldà 2007).

    Value and threshold are the difference of means before and after a moment, and ADWIN's cut
    for windows of these sizes: of all moments that ADWIN looks at, the one where the difference is largest
    against its cut. `p_value` and `interval` (95 %, of new minus old) are of that moment alone, as if it had
    been chosen beforehand.

    `one_way`: a fall is for the better. It is told of once, without an alarm, and the value is below zero.
    `span`: what readers are told spans so much more than the values do.
    """

    why_not = f"not yet an alarm: ADWIN looks once in {ADWIN_LOOKS} values"
    unit = "values"
    one_way: ClassVar[bool] = False
    span: ClassVar[float] = 1.0

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._adwin = ADWIN(delta=settings.delta, clock=ADWIN_LOOKS, grace_period=MIN_SAMPLES)
        self._window = Buckets()
        self._ignored, self._moved = 0, (0.0, 0.0)
        self._better: Finding | None = None

    def update(self, x: float, at: float = 0.0) -> None:
        """Take one value; river starts a new window at the first value after an alarm."""
        if not math.isfinite(x):
            self._ignored += 1
            return
        self._adwin.update(x)
        self._window.put(x, at)
        if self._adwin.drift_detected:
            self._changed()

    def _changed(self) -> None:
        split = self._largest()
        found = self._told(split)
        if self.one_way and split.new < split.old:
            self._better = replace(found, detail=f"{found.detail}, which is for the better")
        elif not self.alarm:
            self._better = None  # no longer so
            self._moved = split.old, split.new
            self._latch(replace(found, alarm=True))
        self._window = Buckets()

    def _state(self) -> Finding:
        better, self._better = self._better, None
        if better is not None:
            return better
        if self._window.n < MIN_SAMPLES:
            return self._too_few(self._window.n, MIN_SAMPLES)
        return self._told(self._largest())

    def _told(self, split: Split) -> Finding:
        n, n1, moved_by = self._window.n, split.n1, self.span * (split.new - split.old)
        error = self.span * math.sqrt(self._window.squares / n * (1 / n1 + 1 / (n - n1)))
        return Finding(
            detector=self.name, alarm=False, value=moved_by if self.one_way else abs(moved_by),
            threshold=self.span * split.cut, samples=n,
            reference=f"{n - n1} {self.unit}, mean {self._say(split.old)}",
            current=f"newest {n1} {self.unit}, mean {self._say(split.new)}",
            detail=self._detail(split.old, split.new), p_value=two_sided(moved_by, error),
            interval=(moved_by - 1.96 * error, moved_by + 1.96 * error), first_seen=split.since,
        )

    def _largest(self) -> Split:
        return max(self._splits(), key=lambda split: (split.share, -split.cut))

    def _splits(self) -> Iterator[Split]:
        window, n1, after = self._window, 0, 0.0
        for bucket in window.newest_first():
            n1, after = n1 + bucket.n, after + bucket.total
            n0 = window.n - n1
            if min(n0, n1) >= MIN_SIDE:
                cut = epsilon_cut(n0, n1, window.squares / window.n, self.settings.delta)
                yield Split(cut, n1, (window.total - after) / n0, after / n1, bucket.since)

    def _size(self, found: Finding) -> float:
        return change(*self._moved)

    def _say(self, mean: float) -> str:
        """A mean, for readers."""
        return f"{mean:.3f}"

    def _detail(self, old: float, new: float) -> str:
        return moved(self._say(old), self._say(new), new > old) + (
            f"; {self._ignored} values were no numbers" if self._ignored else "")
