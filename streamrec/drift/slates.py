"""Joins what was served, shown and clicked into one outcome per slate. Memory is bounded.

Topics are read in no common order, so nothing is decided before a slate's timeout: a click may
come before its impression, and both before the recommendation. Waiting also keeps the stream
of outcomes fair: clicks told at once and ignored slates later would begin with clicks only.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import median_low
from typing import Generic, NamedTuple, TypeVar

from streamrec.events import Feedback

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
CLOCK_EVENTS = 31
AHEAD_S = 60.0  # what is dated later than wall time by more is dated wrongly
STILL_S = 60.0  # of wall time that event time may stand still while events come
FAR_BEHIND_S, ALL_BEHIND = 86_400.0, 10 * CLOCK_EVENTS  # events in a row after which time is taken back


class Recent(OrderedDict[K, V], Generic[K, V]):
    """A mapping that forgets its least recently set keys beyond `most`."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def put(self, key: K, value: V) -> bool:
        """Set; whether the key is new."""
        new = key not in self
        self[key] = value
        self.move_to_end(key)
        if len(self) > self.most:
            self.popitem(last=False)
        return new


class EventTime:
    """How far event time has come: the highest median of the newest timestamps, until it lies far ahead of
    all that comes.

    The median, not the maximum: one reader with a clock a day ahead must not expire every slate
    on sight, and so turn the click rate to zero for a day. No more than a minute later than wall time: it
    would stand still until that is reached, and no slate expire meanwhile. Nor does it stand still for longer
    where most clocks are put back by some hours: it goes on with wall time until what comes is newer again.
    """

    def __init__(self) -> None:
        self._newest: list[float] = []
        self._behind = 0
        self._moved = 0.0, inf  # to which event time, at which wall time
        self.now = 0.0  # nobody knows yet

    def tick(self, ts: float, wall: float = inf) -> float:
        """Take the timestamp of an event (epoch s) that came at wall time `wall`; the event time."""
        self._newest = [*self._newest[1 - CLOCK_EVENTS :], min(ts, wall + AHEAD_S)]
        median = median_low(self._newest)
        if len(self._newest) < CLOCK_EVENTS:
            return median  # not kept: the first clock may be the wrong one
        self._behind = self._behind + 1 if median < self.now - FAR_BEHIND_S else 0
        if median > self.now or self._behind >= ALL_BEHIND:
            self.now, self._moved = median, (median, wall)
        elif wall < inf:
            to, at = self._moved
            self.now = max(self.now, to + (wall - at) - STILL_S)
        return self.now


class Neighbours:
    """How far each event's time lies outside of those before and after it in its partition. On a quiet site
    the next event may be an hour away: that is no skew, an hour out of order is."""

    def __init__(self) -> None:
        self._newest: deque[float] = deque(maxlen=CLOCK_EVENTS)
        self._events: deque[Feedback | None] = deque(maxlen=CLOCK_EVENTS)

    @property
    def judged(self) -> Feedback | None:
        """The event half a window ago, that `astray` was told of last."""
        return self._events[CLOCK_EVENTS // 2]

    def astray(self, ts: float, event: Feedback | None = None) -> float | None:
        """Take an event's timestamp (epoch s), and itself; how many seconds the event half a window ago lies
        before the median of those before it, or after the median of those after. None: nobody knows yet."""
        self._newest.append(ts)
        self._events.append(event)
        if len(self._newest) < CLOCK_EVENTS:
            return None
        every, half = list(self._newest), CLOCK_EVENTS // 2
        before, after = median_low(every[:half]), median_low(every[half + 1 :])
        return max(0.0, before - every[half], every[half] - after)


class Served(NamedTuple):
    """A recommendation: the model that made it, its articles, best first, their scores (none: not
    known), and the policy that chose them."""

    model_version: str
    items: tuple[str, ...]
    scores: tuple[float, ...] = ()
    policy: str = "live"


class Outcome(NamedTuple):
    """What became of one slate. `clicked` is None if it was never reported as shown."""

    clicked: bool | None
    ranks: list[int]
    served: Served
    user: str = ""


@dataclass
class _Open:
    deadline: float
    recommendation: str | None
    user: str
    shown: bool = False
    slate: Sequence[str] = ()
    items: list[str] = field(default_factory=list)


class SlateOutcomes:
    """Open slates until `timeout_s` of event time later. `now` is always event time."""

    def __init__(self, timeout_s: float, most: int = 50_000) -> None:
        self._timeout_s = timeout_s
        self._served: Recent[str, Served] = Recent(most)
        self._open: Recent[tuple[str, str], _Open] = Recent(most)
        self._ready: list[_Open] = []

    def __len__(self) -> int:
        return len(self._served) + len(self._open)

    def served(self, recommendation: str, served: Served) -> None:
        """A recommendation was made. Outcomes of others are not told."""
        self._served.put(recommendation, served)

    def shown(
        self, user: str, recommendation: str | None, slate: Sequence[str], now: float
    ) -> None:
        """A slate was shown to a reader."""
        self._join(user, recommendation, slate, now).shown = True

    def clicked(
        self, user: str, recommendation: str | None, item: str, slate: Sequence[str], now: float
    ) -> None:
        """An article was clicked; `slate` is the event's own impression, which may be empty."""
        found = self._join(user, recommendation, slate, now)
        if item not in found.items:
            found.items.append(item)

    def expire(self, now: float) -> list[Outcome]:
        """Outcomes of the slates whose time is up, in the order of their first event. Those that were opened
        by a clock that ran ahead wait no longer than the others, which they would hold up."""
        latest = now + self._timeout_s
        while self._open:
            oldest = next(iter(self._open.values()))
            if oldest.deadline > latest:  # for all at once: one after the other each would wait as long
                for o in self._open.values():
                    o.deadline = min(o.deadline, latest)
            if oldest.deadline > now:
                break
            self._ready.append(self._open.popitem(last=False)[1])
        told = [outcome for o in self._ready if (outcome := self._outcome(o))]
        self._ready = []
        return told

    def _join(
        self, user: str, recommendation: str | None, slate: Sequence[str], now: float
    ) -> _Open:
        # Without a recommendation the reader is the key, and a different slate ends the last.
        key = ("user", user) if recommendation is None else ("recommendation", recommendation)
        found = self._open.get(key)
        if found and recommendation is None and slate and found.slate and slate != found.slate:
            self._ready.append(self._open.pop(key))
            found = None
        if found is None:
            found = _Open(now + self._timeout_s, recommendation, user)
            self._open.put(key, found)
        found.slate = found.slate or slate
        return found

    def _outcome(self, o: _Open) -> Outcome | None:
        served = Served("", tuple(o.slate))
        if o.recommendation is not None:
            if o.recommendation not in self._served:
                return None  # made before this monitor listened
            served = self._served[o.recommendation]
        ranks = [served.items.index(item) + 1 for item in o.items if item in served.items]
        return Outcome(bool(ranks) if o.shown else None, ranks, served, o.user)
