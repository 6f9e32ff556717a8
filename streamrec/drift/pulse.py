"""The site's pulse: what happened since the last beat, as counts that any span of beats can sum up."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from streamrec.drift.mean_shift import MIN_SAMPLES
from streamrec.drift.slates import Outcome

BINS = 10  # of the probability that a place of a clicked slate was given
LONGEST_S = 3600.0  # a list "after" a click of longer ago is of a log that is replayed
FADE, FEWEST = 5000.0, 500.0  # places: half forgotten after so many more, and nothing is told of fewer
LATELY = 500  # slates that a click rate is of
MOST = 500  # delays kept of one beat


class Said:
    """What the served model said of the places of clicked slates, and what came of it, lately."""

    def __init__(self) -> None:
        self._bins = [[0.0, 0.0, 0.0] for _ in range(BINS)]
        self._slates = 0

    def slate(self) -> None:
        """The model said something of one clicked slate."""
        self._slates += 1

    def error(self, bins: Sequence[Sequence[float]]) -> float | None:
        """Expected calibration error (Guo et al. 2017) after a beat's `bins`, of about FADE places; None: too
        few of them so far, or fewer slates than the detector of it wants."""
        fade = 0.5 ** (sum(b[0] for b in bins) / FADE)
        for old, new in zip(self._bins, bins, strict=False):
            old[:] = [fade * x + y for x, y in zip(old, new, strict=True)]
        places = sum(n for n, _, _ in self._bins)
        if places < FEWEST or self._slates < MIN_SAMPLES:
            return None
        return sum(abs(p - k) for _, p, k in self._bins) / places


class Clicked:
    """The click rate of the live model's slates, of about LATELY of them."""

    def __init__(self) -> None:
        self._shown, self._rate = 0, 0.0

    def rate(self, shown: int, clicked: int) -> float | None:
        """After a beat's slates; None: fewer of them so far than the detector of it wants."""
        self._shown += shown
        if shown:
            self._rate += (clicked / shown - self._rate) * min(1.0, shown / min(self._shown, LATELY))
        return self._rate if self._shown >= MIN_SAMPLES else None


class Pulse:
    """Counts between two beats. `delays`: seconds from a click to its list; `slates`: shown and clicked, by
    policy."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._counts: Counter[str] = Counter()
        self.slates: dict[str, list[int]] = {}
        self._bins = [[0.0, 0.0, 0.0] for _ in range(BINS)]
        self.delays: list[float] = []

    def count(self, name: str) -> None:
        """One more of events, answers, …"""
        self._counts[name] += 1

    def list_made(self, generated_at: float, state_at: float | None) -> None:
        """A list that knows what its reader did at `state_at` (both epoch s)."""
        if state_at is not None and 0 <= generated_at - state_at < LONGEST_S and len(self.delays) < MOST:
            self.delays.append(generated_at - state_at)

    def outcome(self, outcome: Outcome, chances: list[float]) -> None:
        """What became of a slate; `chances`: what the served model gave each place, if it was clicked."""
        if outcome.clicked is not None:
            seen = self.slates.setdefault(outcome.served.policy, [0, 0])
            seen[0] += 1
            seen[1] += outcome.clicked
        for place, p in enumerate(chances, 1):
            found = self._bins[min(int(p * BINS), BINS - 1)]
            found[0] += 1
            found[1] += p
            found[2] += place in outcome.ranks

    def beat(self, at: float, version: str) -> dict[str, Any]:
        """What happened since the last one. `slates`: shown and clicked by policy; `bins`: n, sum of
        probabilities and clicks of places, by probability; `delays_ms`: p50 and p99 from a click to a
        list that knows it."""
        delays = sorted(self.delays)
        found = {
            "at": at, "version": version, **self._counts, "slates": self.slates,
            "bins": [[round(x, 3) for x in b] for b in self._bins] if any(b[0] for b in self._bins) else [],
            "delays_ms": [round(1000 * delays[int(q * (len(delays) - 1))]) for q in (0.5, 0.99)]
            if delays else [],
        }
        self._clear()
        return found
