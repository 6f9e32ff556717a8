"""Whether readers turn to other topics than they used to read."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from streamrec.config import Monitor
from streamrec.drift.formulas import NOISE_SIGMAS, movers, turned, two_sided, visits_effect
from streamrec.drift.mixes import CURRENT, REFERENCE, Counts, Mix, told
from streamrec.events import Contributor, Finding

LEAST_TURN = 0.08  # of all reads: less is no news, however sure
LEAST_WEIGHT = 50  # pairs of reads before and after, of the same readers
CHECKS_PER_WINDOW = 10  # each looks at every reader of the window


class Read(NamedTuple):
    """The topic of one article read, and who read it."""

    topic: str
    reader: str


class ReadersTurn(Mix[Read]):
    """Whether readers turn to a topic, or from one: each is compared with themselves before, by the test of
    Cochran (1954), Mantel and Haenszel (1959) with readers as strata. Who reads, and how much, cannot move
    it, and it sees a turn that is lost in the differences between readers, which a mix has to allow for."""

    name, kind = "readers-turn", "interest"

    def __init__(self, settings: Monitor) -> None:
        super().__init__(settings)
        self._every = max(1, settings.window // CHECKS_PER_WINDOW)

    def update(self, x: Read, at: float = 0.0, who: str = "") -> None:
        """Take one read."""
        super().update(x, at)

    def _name(self, x: Read) -> str:
        return x.topic

    def _clear(self) -> None:
        self._reads: tuple[dict[str, Counts], ...] = ({}, {})  # of each reader

    def _count(self, window: int, x: Read, n: int) -> None:
        counts = self._reads[window].setdefault(x.reader, Counter())
        counts[x.topic] += n
        if not counts[x.topic]:
            del counts[x.topic]
        if not counts:
            del self._reads[window][x.reader]

    def _shares(self) -> tuple[Counts, Counts]:
        """Of the readers in both windows."""
        found: tuple[Counts, Counts] = (Counter(), Counter())
        for reader in self._reads[REFERENCE].keys() & self._reads[CURRENT].keys():
            for counts, reads in zip(found, self._reads, strict=True):
                counts.update(reads[reader])
        return found

    def _check(self) -> None:
        turns, weight = self._turns()
        if weight >= LEAST_WEIGHT and any(abs(value) >= needed(error) for value, error in turns):
            self._latch(self._state())

    def _turns(self) -> tuple[list[tuple[float, float]], float]:
        """See formulas.turned. Reads of one visit are alike, so they tell less than as many visits would: the
        errors are larger by what follows from how much."""
        turns, weight = turned(*self._reads)
        more = visits_effect(((x.reader, x.topic) for x, _, _ in self._order), *self._reads)
        return [(value, error * more**0.5) for value, error in turns], weight

    def _size(self, found: Finding) -> float:
        return 12.5 * (found.value or 0.0)  # a fifth of all reads is called a large shift

    def _state(self) -> Finding:
        n, m = self._referred, len(self._order)
        if m < self.settings.window:
            return self._too_few(n + m, 2 * self.settings.window)
        turns, weight = self._turns()
        if weight < LEAST_WEIGHT:
            return self._too_few(int(weight), LEAST_WEIGHT)
        value, error = max(turns, key=lambda turn: abs(turn[0]) / needed(turn[1]), default=(0.0, 0.0))
        threshold = needed(error)
        moved = movers(*self._shares())
        finding = Finding(
            detector=self.name, alarm=abs(value) >= threshold, value=abs(value), threshold=threshold,
            samples=n + m, reference=f"{n} {self.unit}", current=f"newest {m} {self.unit}",
            detail=told(moved), p_value=min(1.0, max(len(turns), 1) * two_sided(value, error)),
            interval=(abs(value) - 1.96 * error, abs(value) + 1.96 * error),
            first_seen=self._order[0][1], contributors=[*moved, *self._who_turned(moved[:1])],
        )
        if finding.alarm:
            self._rearm()
        return finding

    def _who_turned(self, topics: Sequence[Contributor]) -> list[Contributor]:
        """Of the readers in both windows, those half of whose reads or more turned to these topics."""
        before, after = self._reads
        both = before.keys() & after.keys()
        turned_to = [sum(_share(after[r], t.name) >= _share(before[r], t.name) + 0.5 for r in both)
                     for t in topics]
        return [Contributor(kind="readers", name=f"who turned to {t.name}", before=0.0, after=n / len(both))
                for t, n in zip(topics, turned_to, strict=True)]


def _share(counts: Counts, topic: str) -> float:
    return counts[topic] / counts.total()


def needed(error: float) -> float:
    """The turn that is an alarm, where chance alone errs by so much."""
    return max(LEAST_TURN, NOISE_SIGMAS * error)
