"""Who and what moved most, told with an alarm: topics with titles of what is read there, articles, and
readers known or new. Reads are compared by the older and the newer half of what came last.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Literal, NamedTuple, Protocol, TypeVar

from msgspec.structs import replace

from streamrec.drift.formulas import movers
from streamrec.events import Contributor, Finding

EXAMPLES = 3  # titles, and articles
TOPICS, FEWEST = 5, 30  # topics told of; values that a mean needs in each half


class Published(NamedTuple):
    """What the monitor knows of an article."""

    topic: str
    title: str = ""
    lang: str = ""
    has_text: bool = True
    has_tags: bool = True

    @property
    def lacks(self) -> list[str]:
        """Fields that the article came without."""
        there = {"title": self.title, "tags": self.has_tags, "language": self.lang}
        return [name for name, found in there.items() if not found]


T = TypeVar("T")
About = Callable[[str], Published | None]


class Explains(Protocol):
    """Knows what came last."""

    def explain(self, finding: Finding, about: About) -> Finding:
        """An alarm with what moved most."""


class Reads:
    """The newest reads: of which article of which topic, and by whom."""

    def __init__(self, window: int) -> None:
        self._newest: deque[tuple[str, str, bool]] = deque(maxlen=window)

    def put(self, topic: str, item: str, known: bool) -> None:
        """One read; `known`: by a reader who has read before."""
        self._newest.append((topic, item, known))

    def explain(self, finding: Finding, about: About) -> Finding:
        """Titles for the topics that moved, the articles most read, and who reads."""
        named = [replace(c, examples=titles([i for t, i, _ in self._newest if t == c.name], about))
                 for c in finding.contributors]
        return replace(finding, contributors=[*named, *self._most_read(about), self._known()])

    def _most_read(self, about: About) -> list[Contributor]:
        old, new = _halves([item for _, item, _ in self._newest])
        before, after = Counter(old), Counter(new)
        return [Contributor(kind="article", name=i, before=before[i] / max(len(old), 1),
                            after=n / max(len(new), 1), examples=titles([i], about))
                for i, n in after.most_common(EXAMPLES)]

    def _known(self) -> Contributor:
        before, after = (sum(part) / max(len(part), 1) for part in _halves([k for _, _, k in self._newest]))
        return Contributor(kind="readers", name="who have read before", before=before, after=after)


class Titles:
    """Of articles that a detector names itself."""

    def explain(self, finding: Finding, about: About) -> Finding:
        """Each with its title."""
        return replace(finding, contributors=[replace(c, examples=titles([c.name], about))
                                              for c in finding.contributors])


class Arrivals:
    """The newest articles: which topics are published more, and which less."""

    def __init__(self, window: int) -> None:
        self._newest: deque[str] = deque(maxlen=window)

    def put(self, item: str) -> None:
        """One was published."""
        self._newest.append(item)

    def explain(self, finding: Finding, about: About) -> Finding:
        """Topics that rose and fell, with the newest titles."""
        old, new = _halves([(a.topic, i) for i in self._newest if (a := about(i))])
        moved = movers(Counter(t for t, _ in old), Counter(t for t, _ in new))
        return replace(finding, contributors=[
            replace(c, examples=titles([i for t, i in new[::-1] if t == c.name], about)) for c in moved])


class Values:
    """The newest values in [0, 1] of articles, as detectors of label and performance take the mean of: places
    clicked or not, how long something was read, dismissed or not."""

    def __init__(self, window: int) -> None:
        self._newest: deque[tuple[float, Sequence[str], Sequence[float], bool]] = deque(maxlen=window)

    def put(self, at: float, items: Sequence[str], values: Sequence[float], known: bool) -> None:
        """What came of some articles [n] of one list at event time `at`; `known`: of a reader who has read
        before."""
        self._newest.append((at, items, values, known))

    def explain(self, finding: Finding, about: About) -> Finding:
        """The topics and articles whose mean value moved the whole most since the moment that the alarm
        names, and readers known and new."""
        since = finding.first_seen or 0.0
        halves: list[list[_Value]] = [[], []]
        for at, items, values, known in self._newest:
            halves[at >= since] += [_Value(i, x, known) for i, x in zip(items, values, strict=True)]
        seen = [v.item for v in halves[1]]
        topic = topic_by(about)
        topics = [replace(c, examples=titles([i for i in seen if topic(i) == c.name], about))
                  for c in _moved("topic", halves, lambda v: topic(v.item)) if c.name][:TOPICS]
        articles = [replace(c, examples=titles([c.name], about))
                    for c in _moved("article", halves, lambda v: v.item)[:EXAMPLES]]
        readers = _moved("readers", halves, lambda v: "who have read before" if v.known else "who are new")
        return replace(finding, contributors=[*topics, *articles, *readers])


class _Value(NamedTuple):
    """See Values.put, of one article."""

    item: str
    x: float
    known: bool


def _moved(
    kind: Literal["topic", "article", "readers"], halves: Iterable[Iterable[_Value]],
    name: Callable[[_Value], str],
) -> list[Contributor]:
    """What has enough values in both halves, by its means: first what moved the mean of all most."""
    before, after = (_by_name(half, name) for half in halves)
    found = [(len(xs), Contributor(kind=kind, name=n, before=fmean(before[n]), after=fmean(xs)))
             for n, xs in after.items() if min(len(xs), len(before.get(n, ()))) >= FEWEST]
    order = sorted(found, key=lambda f: (-f[0] * abs(f[1].after - f[1].before), f[1].name))
    return [c for _, c in order if c.after != c.before]


def _by_name(values: Iterable[_Value], name: Callable[[_Value], str]) -> dict[str, list[float]]:
    found = defaultdict(list)
    for v in values:
        found[name(v)].append(v.x)
    return found


def _halves(newest: Iterable[T]) -> tuple[list[T], list[T]]:
    every = list(newest)
    return every[: len(every) // 2], every[len(every) // 2 :]


def topic_by(about: About) -> Callable[[str], str]:
    """The topic of an article; empty if nobody knows it."""
    return lambda item: found.topic if (found := about(item)) else ""


def titles(items: Sequence[str], about: About) -> list[str]:
    """Of the articles that are there most often; the id of one without a title."""
    often = [i for i, _ in Counter(items).most_common(EXAMPLES)]
    return [a.title or i for i in often if (a := about(i))]
