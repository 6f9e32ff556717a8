"""A whole streamrec in memory, fed message by message: the collector, the catalogue keeper and the
scorer's state are those that run in production, over the memory adapters."""

from collections.abc import Callable, Iterable, Sequence

from consumers.catalogue import CatalogueKeeper
from consumers.collector import Collector
from consumers.dead_letters import DeadLetters
from consumers.loop import Loop, Policy
from consumers.reread import Reread
from streamrec.adapters.memory import MemoryBoard, MemoryBuffer, MemoryCatalogue
from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import TopicSpec
from streamrec.catalogue import Vectors
from streamrec.clock import ManualClock
from streamrec.config import Settings
from streamrec.evaluation.arm import Moment
from streamrec.events import MAX_MESSAGE_BYTES, Article, Feedback, encode, topic
from streamrec.model.encoder import article_text
from streamrec.replay import Row
from streamrec.scoring import ServingState

AT_ONCE = Policy(poll_s=0.0, max_records=5000, commit_every_s=0.0)
FEEDBACK, ARTICLES, REQUESTS = (topic("evaluation", n) for n in ("feedback", "articles", "requests"))


class Site:
    """Time is the log's; nothing is known of a message before it is given."""

    def __init__(
        self, settings: Settings, encode_texts: Callable[[list[str]], Vectors], dim: int
    ) -> None:
        self.settings, self.clock = settings, ManualClock(0.0)
        self.buffer, self.catalogue = MemoryBuffer(settings.buffer), MemoryCatalogue(dim)
        self.state = ServingState(self.buffer, self.catalogue, settings.buffer, dim)
        self._broker = MemoryBroker()
        names = (FEEDBACK, ARTICLES, REQUESTS, f"{FEEDBACK}.dlq", f"{ARTICLES}.dlq")
        self._broker.create_topics([TopicSpec(n, 1, 1, {}) for n in names])
        self._publisher = self._broker.publisher()
        self._collect, self._announce = self._collector(), self._keeper(encode_texts)
        self._owed = {FEEDBACK: True, ARTICLES: True}  # the first turn joins the group
        self._cursor: dict[int, int] = {}
        self._rows: list[Row] = []

    def _collector(self) -> Loop:
        subscription = self._broker.subscribe([FEEDBACK], "collect")
        handler = Collector(
            self.buffer, self._publisher, self._dead_letters(), self.clock, REQUESTS,
            self._broker.incarnation, subscription.generation, self.settings.buffer.weights,
        )
        return Loop(subscription, self._publisher, handler, self.clock, AT_ONCE)

    def _keeper(self, encode_texts: Callable[[list[str]], Vectors]) -> Loop:
        handler = CatalogueKeeper(
            self.catalogue, encode_texts, "evaluation", article_text, self._dead_letters(),
            self.clock, Reread(MemoryBoard(), "evaluation", self.clock), AT_ONCE.max_records,
            chars=MAX_MESSAGE_BYTES,
        )
        return Loop(self._broker.subscribe([ARTICLES], "catalogue"), self._publisher, handler,
                    self.clock, AT_ONCE)

    def _dead_letters(self) -> DeadLetters:
        return DeadLetters(self._publisher, "evaluation")

    def publish(self, message: Article | Feedback) -> None:
        """As a site does; taken in at the next `catch_up`."""
        if isinstance(message, Article):
            name, key = ARTICLES, message.item_id
        else:
            name, key = FEEDBACK, message.user_id
        self._publisher.send(name, key.encode(), encode(message))
        self._owed[name] = True

    def catch_up(self, now: float) -> None:
        """Let every process work off what it was sent; `now` in epoch s."""
        self.clock.sleep(max(now - self.clock.now(), 0.0))
        for name, loop in ((ARTICLES, self._announce), (FEEDBACK, self._collect)):
            while self._owed[name] or loop.subscription.lag():
                self._owed[name] = False
                loop.turn()
        self.state.sync()
        self._fetch_rows(self.settings.buffer.window_rows // 2)

    def moment(self, user: str, t: float, seen: Iterable[str] | None) -> Moment:
        """What can be known at `t`; `seen` are all articles this reader ever read or dismissed, which are
        no candidates; None: those are candidates again."""
        self.state.at = t
        history = self.buffer.histories([user])[user]
        eligible = self.state.eligible([] if seen is None else history)
        index = self.state.articles.index
        eligible[[index[i] for i in seen or () if i in index]] = False  # a history is too short to hold all
        return Moment(user, t, history, self.state, eligible)

    def new_rows(self) -> Sequence[Row]:
        """Training rows since the last call, oldest first."""
        self._fetch_rows(1)
        rows, self._rows = self._rows, []
        return rows

    def _fetch_rows(self, least: int) -> None:
        """Those made since the last time, if they are so many: the buffer keeps `window_rows`, a window of
        the evaluation may have more."""
        if self.buffer.counts().rows - sum(self._cursor.values()) < least:
            return
        rows = self.buffer.window(self._cursor, self.settings.buffer.window_rows)
        for w in rows:
            self._cursor[w.partition] = max(self._cursor.get(w.partition, 0), w.ordinal)
        self._rows += [w.row for w in rows]
