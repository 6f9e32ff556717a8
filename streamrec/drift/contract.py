"""What every drift detector does, in the manner of river: `update(x)`, and `report()` when asked.

An alarm is latched until reported, and re-arms by itself: its windows start anew with the
values that follow, so that one shift is one alarm.
"""

from abc import ABC, abstractmethod
from typing import Any

from streamrec.config import Monitor
from streamrec.events import Finding


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
    def _state(self) -> Finding:
        """How things stand, when no alarm waits."""

    @property
    def alarm(self) -> bool:
        """Whether an alarm waits to be reported."""
        return self._latched is not None

    def report(self) -> Finding:
        """The first alarm since the last report, or how things stand; releases the latch."""
        found, self._latched = self._latched or self._state(), None
        return found

    def _latch(self, finding: Finding) -> None:
        self._latched = self._latched or finding

    def _too_few(self, n: int, needed: int) -> Finding:
        return Finding(
            detector=self.name, alarm=False, value=None, threshold=None, samples=n,
            reference="", current="", detail=f"not enough data ({n} of {needed})",
        )
