"""Mixes that may shift: topics read, topics read given what was shown, languages published."""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Hashable, Mapping
from typing import ClassVar, Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from streamrec.config import Monitor
from streamrec.drift.contract import Detector
from streamrec.drift.formulas import (
    jensen_shannon,
    movers,
    pooled,
    psi,
    psi_interval,
    psi_noise,
    psi_p_value,
)
from streamrec.events import Contributor, Finding, Kind

LEAST_EFFECT = 1.25  # who is not known to be one reader may be one all the same
CHECKS_PER_WINDOW = 20  # of a mix; a check of each event costs much and tells no more
X = TypeVar("X", bound=Hashable)
Counts = Counter[str]
REFERENCE, CURRENT = 0, 1  # the two windows


class Mix(Detector, ABC, Generic[X]):
    """PSI of the current window's shares against a reference window's.

    The first `window` values are the reference and the newest `window` the current; values that
    leave the current window join the reference until it has `reference` of them. The threshold
    is the setting, or what chance alone may give with windows this small: values of one reader are alike,
    so they count as fewer (the design effect of clusters, Kish 1965).
    """

    unit = "reads"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._every = max(1, settings.window // CHECKS_PER_WINDOW)
        self._rearm()

    def _rearm(self) -> None:
        # Not the window at the alarm: it is part old, part new, and would alarm once more.
        self._order: deque[tuple[X, float, str]] = deque()
        self._of: tuple[Counter[tuple[str, str]], ...] = (Counter(), Counter())  # values of each reader
        self._squares = [0.0, 0.0]
        self._referred, self._seen = 0, 0
        self._clear()

    @abstractmethod
    def _name(self, x: X) -> str:
        """What of a value is counted."""

    @abstractmethod
    def _clear(self) -> None:
        """Both windows are empty."""

    @abstractmethod
    def _count(self, window: int, x: X, n: int) -> None:
        """Take n more, or fewer, of a value into a window's counts."""

    @abstractmethod
    def _shares(self) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Counts of reference and current, by name."""

    def _movers(self, before: Mapping[str, float], after: Mapping[str, float]) -> list[Contributor]:
        """What rose and fell most."""
        return movers(before, after)

    def update(self, x: X, at: float = 0.0, who: str = "") -> None:
        """Take one value; `who`: the reader that it is of, if it is of one."""
        self._seen += 1
        window = self.settings.window
        if self._referred < window:
            self._refer(x, who)
            return
        self._take(CURRENT, x, 1, who)
        self._order.append((x, at, who))
        if len(self._order) > window:
            left, _, of = self._order.popleft()
            self._leave(left, of)
        if len(self._order) == window and self._seen % self._every == 0:
            self._check()

    def _take(self, window: int, x: X, n: int, who: str) -> None:
        self._count(window, x, n)
        if not who:
            self._squares[window] += n
            return
        key = who, self._name(x)
        before = self._of[window][key]
        self._squares[window] += (before + n) ** 2 - before**2
        self._of[window][key] = before + n
        if not before + n:
            del self._of[window][key]

    def _effective(self, window: int, n: int) -> float:
        """As many independent values vary as much as these n."""
        return n / max(LEAST_EFFECT, self._squares[window] / max(n, 1))

    def _refer(self, x: X, who: str) -> None:
        self._take(REFERENCE, x, 1, who)
        self._referred += 1

    def _leave(self, x: X, who: str) -> None:
        self._take(CURRENT, x, -1, who)
        if self._referred < self.settings.reference:
            self._refer(x, who)

    def _check(self) -> None:
        finding = self._state()
        if finding.alarm:
            self._latch(finding)

    def report(self) -> Finding:
        """See Detector. Only what is told has an interval: windows are drawn again for it many times."""
        found = super().report()
        if found.value is None or found.interval is not None:
            return found
        return replace(found, interval=psi_interval(pooled(*self._shares())))

    def _size(self, found: Finding) -> float:
        return 10.0 * (found.value or 0.0)  # an index of .25 is called a large shift

    def _state(self) -> Finding:
        window = self.settings.window
        n, m = self._referred, len(self._order)
        if m < window:
            return self._too_few(n + m, 2 * window)
        before, after = self._shares()
        pairs = pooled(before, after)
        value = psi(pairs)
        sizes = self._effective(REFERENCE, n), self._effective(CURRENT, m)
        threshold = max(self.settings.psi, psi_noise(*sizes, len(pairs)))
        alarm = value >= threshold
        moved = self._movers(before, after)
        finding = Finding(
            detector=self.name, alarm=alarm, value=value, threshold=threshold,
            samples=n + m, reference=f"{n} {self.unit}", current=f"newest {m} {self.unit}",
            detail=told(moved), p_value=psi_p_value(value, *sizes, len(pairs)),
            interval=psi_interval(pairs) if alarm else None, first_seen=self._order[0][1],
            divergence=jensen_shannon(pairs), contributors=moved,
        )
        if alarm:
            self._rearm()
        return finding


class TopicMix(Mix[str]):
    """Topics of the articles that are read."""

    name = "topic-mix"
    kind: ClassVar[Kind] = "interest"

    def update(self, x: str, at: float = 0.0, who: str = "") -> None:
        """Take the topic of one article read."""
        super().update(x, at, who)

    def _name(self, x: str) -> str:
        return x

    def _clear(self) -> None:
        self._counts: tuple[Counts, Counts] = (Counter(), Counter())

    def _count(self, window: int, x: str, n: int) -> None:
        self._counts[window][x] += n

    def _shares(self) -> tuple[Counts, Counts]:
        return +self._counts[REFERENCE], +self._counts[CURRENT]


class LanguageMix(TopicMix):
    """Languages of the articles that are published."""

    name, kind, unit = "language-mix", "data-quality", "articles"

    def _movers(self, before: Mapping[str, float], after: Mapping[str, float]) -> list[Contributor]:
        """See Mix."""
        return [replace(c, kind="language") for c in super()._movers(before, after)]


class Choice(NamedTuple):
    """The topic of an article chosen, and the topics of all articles of its slate."""

    topic: str
    shown: tuple[str, ...]


class TopicGivenShown(Mix[Choice]):
    """Topics read given what was shown: each topic's reads over the reads that its places in the slates
    would bring by chance, at the same shares of places in both windows. A recommender that shows more of
    a topic moves what is read of it, but not this."""

    name, kind = "topic-given-shown", "interest"

    def update(self, x: Choice, at: float = 0.0, who: str = "") -> None:
        """Take one choice."""
        super().update(x, at, who)

    def _name(self, x: Choice) -> str:
        return x.topic

    def _clear(self) -> None:
        self._chosen: tuple[Counts, Counts] = (Counter(), Counter())
        self._places: tuple[Counts, Counts] = (Counter(), Counter())

    def _count(self, window: int, x: Choice, n: int) -> None:
        self._chosen[window][x.topic] += n
        for topic in x.shown:
            self._places[window][topic] += n

    def _shares(self) -> tuple[dict[str, float], dict[str, float]]:
        total = self._places[REFERENCE] + self._places[CURRENT]
        return self._standardised(REFERENCE, total), self._standardised(CURRENT, total)

    def _standardised(self, window: int, total: Counts) -> dict[str, float]:
        """Counts that sum to the window's: what would be chosen if both had shown each topic as often."""
        chosen, places = self._chosen[window], self._places[window]
        n, shown = sum(chosen.values()), sum(places.values()) or 1
        # Two reads more or less on both sides: few places say little about a topic.
        lifted = {t: w * (chosen[t] + 2.0) / (n * places[t] / shown + 2.0) for t, w in total.items()}
        whole = sum(lifted.values()) or 1.0
        return {t: n * x / whole for t, x in lifted.items()}


def told(moved: list[Contributor]) -> str:
    """What rose and what fell, in percent."""
    def side(sign: int) -> str:
        return ", ".join(f"{c.name} {100 * c.before:.1f}% to {100 * c.after:.1f}%" for c in moved
                         if sign * (c.after - c.before) > 0) or "none"
    return f"rose: {side(1)}; fell: {side(-1)}"
