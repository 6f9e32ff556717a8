"""Whether the system does well: exposure that narrows down (feedback loop), and a model that is worse
than doing without it."""

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import NewType

import numpy as np
from msgspec.structs import replace

from streamrec.config import Monitor
from streamrec.drift.contract import Detector, moved
from streamrec.drift.formulas import gini, two_sided
from streamrec.drift.mean_shift import MIN_SAMPLES
from streamrec.events import Contributor, Finding

SLATES = 250  # slates of a block
RESAMPLES = 20
SIGMAS, LEAST = 5.0, 0.05  # a Gini coefficient that moved by less does not matter
TOP = 0.1  # share of articles that are called popular
NEWEST = 500  # differences that are averaged
SURE = 4.5  # sigmas below zero: looked at with every difference
Gap = NewType("Gap", float)
Slate = tuple[str, ...]


class Exposure(Detector):
    """Gini coefficient of how often each article is shown, in blocks of slates, against the first block
    (Chaney et al. 2018: a recommender that learns from its own lists homogenises). All that either block
    shows counts, with nought where the other does not: ten articles for everybody are no equality. That it
    falls is for the better: told without an alarm, and later blocks are compared with what it fell to."""

    name, kind = "exposure", "feedback-loop"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._rng = np.random.default_rng(7)
        self._better: Finding | None = None
        self._rearm()

    def _rearm(self) -> None:
        self._first: list[Slate] = []
        self._block: list[Slate] = []
        self._since = 0.0
        self._last: Finding | None = None

    def update(self, x: Slate, at: float = 0.0) -> None:
        """Take one slate."""
        if len(self._first) < SLATES:
            self._first.append(x)
            return
        self._since = self._since if self._block else at
        self._block.append(x)
        if len(self._block) == SLATES:
            self._compare()

    def _compare(self) -> None:
        block, self._block = self._block, []
        n = len({item for slate in (*self._first, *block) for item in slate})
        before, after = _gini(self._first, n), _gini(block, n)
        error = math.hypot(self._error(self._first, n), self._error(block, n))
        threshold, rise = max(LEAST, SIGMAS * error), after - before
        shares = _popular(self._first, n), _popular(block, n)
        last = Finding(
            detector=self.name, alarm=rise >= threshold, value=rise, threshold=threshold,
            samples=2 * SLATES, reference=f"{SLATES} slates, Gini {before:.3f}",
            current=f"newest {SLATES} slates, Gini {after:.3f}",
            detail=f"Gini of exposure {moved(f'{before:.3f}', f'{after:.3f}', rise > 0)}; "
                   f"the most shown tenth has {100 * shares[0]:.0f}% to {100 * shares[1]:.0f}%",
            p_value=two_sided(rise, error), first_seen=self._since,
            interval=(rise - 1.96 * error, rise + 1.96 * error),
            contributors=_moved_most(self._first, block),
        )
        self._last = last
        if rise >= threshold:
            self._better = None
            self._latch(last)
            self._rearm()
        elif rise <= -threshold:
            self._better = replace(last, detail=f"{last.detail}, which is for the better")
            self._first = block

    def _error(self, slates: Sequence[Slate], n: int) -> float:
        """Standard error of a block's Gini coefficient, by drawing its slates again."""
        drawn = self._rng.integers(len(slates), size=(RESAMPLES, len(slates)))
        return float(np.std([_gini([slates[i] for i in rows], n) for rows in drawn]))

    def _state(self) -> Finding:
        better, self._better = self._better, None
        if self._last is None:
            return self._too_few(len(self._first) + len(self._block), 2 * SLATES)
        return better or self._last


def _counts(slates: Sequence[Slate]) -> Counter[str]:
    return Counter(item for slate in slates for item in slate)


def _gini(slates: Sequence[Slate], n: int) -> float:
    """Over n articles, those that were not shown included."""
    counts = np.zeros(n)
    shown = list(_counts(slates).values())
    counts[: len(shown)] = shown
    return gini(counts)


def _popular(slates: Sequence[Slate], n: int) -> float:
    counts = sorted(_counts(slates).values(), reverse=True)
    return sum(counts[: max(1, round(TOP * n))]) / max(sum(counts), 1)


def _moved_most(before: Sequence[Slate], after: Sequence[Slate], most: int = 5) -> list[Contributor]:
    """The articles whose places moved most."""
    old, new = _counts(before), _counts(after)
    moved_most = sorted({*old, *new}, key=lambda item: (-abs(new[item] - old[item]), item))[:most]
    return [Contributor(kind="article", name=item, before=old[item] / SLATES, after=new[item] / SLATES)
            for item in moved_most]


class AgainstControls(Detector):
    """NDCG@10 of the served model minus that of the best of its controls (the first model, popularity),
    on rows that it had not seen yet: an alarm when that is surely below zero. The trainer scores all of
    them in shadow, before each increment."""

    name, kind = "against-controls", "performance"
    why_not = "no new alarm: it was told, and is one again once the model was the better one in between"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._newest: deque[tuple[float, float]] = deque(maxlen=NEWEST)
        self._told = False  # an alarm lasts until the model is the better one again

    def update(self, x: Gap, at: float = 0.0) -> None:
        """Take the difference on one row, in [-1, 1]."""
        if not math.isfinite(x):
            return
        self._newest.append((x, at))
        if len(self._newest) >= MIN_SAMPLES and len(self._newest) % 10 == 0:
            finding = self._state()
            if finding.alarm:
                self._latch(finding)

    def _size(self, found: Finding) -> float:
        return 50.0 * (found.value or 0.0)  # .03 of NDCG@10 is LOW, .05 HIGH

    def _state(self) -> Finding:
        n = len(self._newest)
        if n < MIN_SAMPLES:
            return self._too_few(n, MIN_SAMPLES)
        gaps = np.asarray([x for x, _ in self._newest])
        mean, error = float(gaps.mean()), max(float(gaps.std()) / math.sqrt(n), 1e-6)
        alarm = -mean > SURE * error and not self._told
        self._told = (self._told or alarm) and mean < 0
        return Finding(
            detector=self.name, alarm=alarm, value=-mean,
            threshold=SURE * error, samples=n, reference=f"the best control, {n} rows",
            current=f"served model, newest {n} held-out rows",
            detail=f"NDCG@10 {mean:+.3f} against the best control", p_value=two_sided(mean, error),
            interval=(mean - 1.96 * error, mean + 1.96 * error), first_seen=self._newest[0][1],
        )
