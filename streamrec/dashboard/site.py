"""What the pages know of the running system, and what they may do to it."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from streamrec.broker import Broker
from streamrec.clock import Clock, due
from streamrec.dashboard.login import Login
from streamrec.dashboard.watch import Newest, Source, Watch
from streamrec.errors import InvalidMessage, SetupError
from streamrec.events import DriftReport, ModelDiff, Recommendation, decode
from streamrec.metrics import BOARD_PULSE, BOARD_QUALITY, BOARD_SEEN, Board
from streamrec.registry import VersionRecord
from streamrec.replay import Read

BEATS, INCREMENTS, REPORTS, LOOK_S = 900, 120, 500, 5.0
KEPT = 50  # versions whose files the registry keeps
Facts = dict[str, Any]


class Asking(Protocol):
    """The answering side, as far as the pages need it. All raise RetryLater and NotFound."""

    async def list_of(self, user: str, policy: str = "live", version: str = "") -> Recommendation:
        """A reader's list with reasons: under a control's policy, or under an older version."""

    async def similar(self, item_id: str) -> Recommendation:
        """Articles like one."""


class Acts(NamedTuple):
    """What the pages can look up and do, each by a call that may wait for a server."""

    history: Callable[[str], list[Read]]
    article: Callable[[str], Facts | None]
    letters: Callable[[], list[Facts]]
    replay: Callable[[set[str]], int]
    rollback: Callable[[str], object]
    diff: Callable[[str, str], ModelDiff]


class ReportLog:
    """The newest drift reports, as the topic tells them from its start on."""

    def __init__(self, broker: Broker, topic: str, clock: Clock) -> None:
        self._broker, self._topic, self._clock = broker, topic, clock
        self._subscription: Any = None
        self._looked_at, self._missing = 0.0, False
        # Apart, so that quiet ones do not push alarms out.
        self._found: dict[str, deque[DriftReport]] = {
            trigger: deque(maxlen=REPORTS) for trigger in ("alarm", "period")}

    def read(self) -> list[DriftReport]:
        """All so far, oldest first. Raises RetryLater, and SetupError if the topic is missing."""
        if self._subscription is None:
            self._subscription = self._broker.subscribe([self._topic], None, "earliest")
        while batches := self._subscription.poll(0.1, 500):
            for records in batches.values():
                self._take([r.value for r in records])
        self._look()
        return sorted([r for some in self._found.values() for r in some], key=lambda r: r.generated_at)

    def _look(self) -> None:
        """A topic that has been deleted brings nothing, as one where nothing is new."""
        now = self._clock.now()
        if due(now, self._looked_at, LOOK_S):
            self._missing = self._topic not in self._broker.topics()
            self._looked_at = now
        if self._missing:
            raise SetupError(f"no topic {self._topic}: run `streamrec topics create`")

    def _take(self, values: list[bytes | None]) -> None:
        for value in values:
            try:
                found = decode(DriftReport, value, self._clock.now())
                self._found[found.trigger].append(found)
            except InvalidMessage:
                continue  # somebody else wrote it


class Site:
    """Everything behind the pages."""

    def __init__(
        self, facts: Callable[[], Facts], lag: Callable[[], dict[str, int]], board: Board,
        records: Callable[[], list[VersionRecord]], reports: ReportLog, asking: Asking, acts: Acts,
        login: Login, clock: Clock,
    ) -> None:
        self.asking, self.acts, self.login, self.clock = asking, acts, login, clock
        self.facts: Source[Facts] = Source("redis", facts, {}, 1.0)
        self.pulse: Source[list[Facts]] = Source(
            "pulse", Newest(board, BOARD_PULSE, BEATS).read, [], 0.25)
        self.quality: Source[list[Facts]] = Source(
            "quality", Newest(board, BOARD_QUALITY, INCREMENTS).read, [], 0.5)
        # A thousand versions with what each changed are megabytes: they are read when there is another.
        self.versions: Source[list[VersionRecord]] = Source("versions", records, [], 5.0, self.model)
        self.seen: Source[dict[str, list[int]]] = Source(
            "articles", lambda: board.get(BOARD_SEEN) or {}, {}, 5.0)
        self.lag: Source[dict[str, int]] = Source("kafka", lag, {}, 1.0)
        self.reports: Source[list[DriftReport]] = Source("reports", reports.read, [], 1.0)
        redis: list[Any] = [self.facts, self.pulse, self.quality, self.versions, self.seen]
        kafka: list[Any] = [self.lag, self.reports]
        self.watch = Watch(redis, kafka)

    def model(self) -> str | None:
        """The version that the pointer names."""
        found: str | None = self.facts.seen.value.get("model", {}).get("version")
        return found

    def kept(self) -> list[str]:
        """Versions that can be looked at or gone back to, newest first."""
        return [v.version for v in reversed(self.versions.seen.value)][:KEPT]
