"""Time is an argument: decisions take `now`; only processes hold a Clock and read it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a process reads the time from."""

    def now(self) -> float:
        """Epoch seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


def due(now: float, last: float, every: float) -> bool:
    """Whether `every` seconds have passed since `last`, or a clock that ran ahead was set back."""
    return abs(now - last) >= every


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class ManualClock:
    """A clock that tests turn by hand."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Epoch seconds, as last set."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self._now += seconds
