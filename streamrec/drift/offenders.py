"""What was wrong with the data, told with an alarm of it: the topics and articles that most of it is of, and
the readers. These are told of without their ids: a report outlives what a reader has had deleted.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from streamrec.drift.contributors import EXAMPLES, About, titles, topic_by
from streamrec.events import Contributor, Finding


class Offender(NamedTuple):
    """An article, or what a reader sent (of an article, where it is of one), at event time `at`. `known`: by
    one who has read before; `lacks`: the field that is not there."""

    at: float
    item: str
    reader: str = ""
    known: bool = False
    lacks: str = ""


Name = Callable[[Offender], str]


class Offenders:
    """The newest of what was wrong. What is right is not put, and so costs nothing.

    A contributor's `before` and `after` are its shares of what was wrong before the moment that the alarm
    names, and since."""

    def __init__(self, window: int) -> None:
        self._newest: deque[Offender] = deque(maxlen=window)

    def put(self, found: Offender) -> None:
        """One more."""
        self._newest.append(found)

    def explain(self, finding: Finding, about: About) -> Finding:
        """An alarm with the topics and articles that most of it is of, at the same share the newest first."""
        since = finding.first_seen or 0.0
        before = [o for o in self._newest if o.at < since]
        after = [o for o in reversed(self._newest) if o.at >= since]
        topic = topic_by(about)
        topics = [replace(c, examples=titles([o.item for o in after if topic(o.item) == c.name], about))
                  for c in _most("topic", before, after, lambda o: topic(o.item))]
        articles = [replace(c, examples=titles([c.name], about))
                    for c in _most("article", before, after, lambda o: o.item)]
        return replace(finding, contributors=[
            *_lacking(before, after), *topics, *articles, *_readers(before, after)])


def _most(
    kind: Literal["topic", "article", "field"], before: Sequence[Offender], after: Sequence[Offender],
    name: Name,
) -> list[Contributor]:
    counts = Counter(name(o) for o in after)
    most = [n for n, _ in counts.most_common() if n][:EXAMPLES]
    return [Contributor(kind=kind, name=n, before=_share(name(o) == n for o in before),
                        after=_share(name(o) == n for o in after)) for n in most]


def _lacking(before: Sequence[Offender], after: Sequence[Offender]) -> list[Contributor]:
    """Fields that are not there, first what rose most."""
    return sorted(_most("field", before, after, lambda o: o.lacks), key=lambda c: c.before - c.after)


def _readers(before: Sequence[Offender], after: Sequence[Offender]) -> list[Contributor]:
    """How much of it is of the one reader who sent most of it, and of readers known."""
    who = Counter(o.reader for o in after if o.reader).most_common(1)
    told: list[tuple[str, Callable[[Offender], bool]]] = [
        ("the one with most of it", lambda o: o.reader == who[0][0]),
        ("who have read before", lambda o: o.known)]
    return [Contributor(kind="readers", name=name, before=_share(map(of, before)),
                        after=_share(map(of, after))) for name, of in told if who]


def _share(of: Iterable[bool]) -> float:
    found = list(of)
    return sum(found) / max(len(found), 1)
