"""What every drift detector does, in the manner of river: `update(x, at)`, and `report()` when asked.

An alarm is latched until reported, and re-arms by itself: its windows start anew with the
values that follow, so that one shift is one alarm. Time is an argument: `at` is event time (epoch s).
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from msgspec.structs import replace

from streamrec.config import Monitor
from streamrec.events import Finding, Kind, Severity

LOW, HIGH = 1.5, 2.5  # sizes where an alarm stops being low, and begins to be high


class Detector(ABC):
    """One thing that may drift. Feed it with `update`; `report` takes the latched alarm, if any.

    `name`: in reports and metrics; `kind`: which part of the site it watches; `why_not`: why a statistic
    above its threshold may be no alarm.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    why_not: ClassVar[str] = "not yet an alarm: it is looked at again with what comes"

    def __init__(self, settings: Monitor) -> None:
        self.settings = settings
        self._latched: Finding | None = None

    @abstractmethod
    def update(self, x: Any, at: float = 0.0) -> None:
        """Take one value of event time `at` (epoch s)."""

    @abstractmethod
    def _state(self) -> Finding:
        """How things stand, when no alarm waits."""

    @property
    def alarm(self) -> bool:
        """Whether an alarm waits to be reported."""
        return self._latched is not None

    def report(self) -> Finding:
        """The first alarm since the last report, or how things stand; releases the latch."""
        found, self._latched = self._latched or self._state(), None
        grave = severity(self._size(found)) if found.alarm else "none"
        why = f"; above its threshold, {self.why_not}" if above(found) else ""
        return replace(found, kind=self.kind, severity=grave, first_seen=found.first_seen or None,
                       detail=found.detail + why)

    def _size(self, found: Finding) -> float:
        """How large what was found is: HIGH and more is high, under LOW it is low. What is looked at with
        every value alarms as soon as it is sure, however large the change: that must say its own."""
        return found.value / found.threshold if found.value is not None and found.threshold else HIGH

    def _latch(self, finding: Finding) -> None:
        self._latched = self._latched or finding

    def _too_few(self, n: int, needed: int) -> Finding:
        return Finding(
            detector=self.name, alarm=False, value=None, threshold=None, samples=n,
            reference="", current="", detail=f"not enough data ({n} of {needed})",
        )


def above(f: Finding) -> bool:
    """Whether it lies above its threshold and is no alarm: who sees both numbers asks why."""
    return not f.alarm and f.value is not None and f.threshold is not None and f.value >= f.threshold


def severity(size: float) -> Severity:
    """Of an alarm."""
    return "low" if size < LOW else "medium" if size < HIGH else "high"


def change(old: float, new: float) -> float:
    """The size of a change of a mean: a fifth more or less is LOW, a third HIGH."""
    return 7.5 * abs(new - old) / max(abs(old), abs(new), 1e-9)


def moved(before: str, after: str, rose: bool) -> str:
    """From one to the other, as they are told."""
    if before == after:
        return f"stays at {after}"
    return f"{'rose' if rose else 'fell'} from {before} to {after}"
