"""What every process that answers has in common: follow catalogue, counters, rules and models, and
turn wishes into messages. One thread calls it."""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from consumers.last_lists import Kept, LastLists
from consumers.model_fetch import ModelFetch
from streamrec import logs
from streamrec.clock import Clock, due
from streamrec.config import Scorer as Settings
from streamrec.events import Recommendation, Request, Trigger
from streamrec.metrics import ANSWER_SECONDS, ANSWERS, BOARD_SCORER, MODEL_VERSION, STALE, SWAPS, Board
from streamrec.rules import RuleStore
from streamrec.scoring import PRIOR, Ask, Ranked, Scorer, Served
from streamrec.scoring.lately import Lately
from streamrec.traces import NO_TRACES, Tracer

log = logs.get(__name__)
BATCH = 64
AGAIN_S = 10.0  # what serves is told again: another scorer, which has ended since, may have said otherwise
SPECIAL = ("filters", "similar_to", "interests", "session", "explain")
MIXED = ("diversity", "calibration")  # special where it is another than the settings have


class Wish(NamedTuple):
    """One reader's wish as it came. `due`: epoch s after which it is better answered from the last
    list; None: never. `trace` and `asked_at`: of the click that brought it about, if that is followed."""

    ask: Ask
    request_id: str
    trigger: Trigger = "request"
    due: float | None = None
    trace: str = ""
    asked_at: float = 0.0

    @classmethod
    def of(cls, user: str, request: Request, asked_at: float) -> "Wish":
        """What a request of `asked_at` (epoch s) wants for one reader."""
        due = None if request.deadline_ms is None else asked_at + request.deadline_ms / 1000
        return cls(Ask.of(user, request), request.request_id, request.trigger, due)


class Serving:
    """See module. `interests`: whether what readers say to like can be read now, see Interests.state."""

    def __init__(
        self, scorer: Scorer, fetch: ModelFetch, rules: RuleStore, board: Board, clock: Clock,
        settings: Settings, new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        tracer: Tracer = NO_TRACES, interests: Callable[[], str] = lambda: "ready",
    ) -> None:
        self.scorer, self._fetch, self._rules = scorer, fetch, rules
        self._board, self._clock, self._s, self._new_id = board, clock, settings, new_id
        self.tracer, self.interests, self._rules_at = tracer, interests, 0
        self._last, self.lately = LastLists(), Lately(clock)
        self.synced_at = self._tried_at = 0.0
        self._told, self._told_at = dict[str, Any](), 0.0

    def close(self) -> None:
        """No model is fetched any more."""
        self._fetch.stop()

    def follow(self) -> None:
        """Follow everything, at most every `sync_s`, and take a new model if one is ready.
        Raises RetryLater."""
        now = self._clock.now()
        if not due(now, self._tried_at, self._s.sync_s):
            return
        self._tried_at = now
        live, frozen = self._fetch.take()
        self.scorer.frozen = frozen or self.scorer.frozen
        if live is not None:
            self._swap(live)
        self._tell()
        self.scorer.follow()
        if (version := self._rules.version()) != self._rules_at:
            self.scorer.rules.replace(self._rules.all())
            self._rules_at = version
        self.synced_at = now

    def _swap(self, served: Served) -> None:
        self.scorer.swap(served)
        SWAPS.inc()
        MODEL_VERSION.set(int(served.version))
        for trace in served.traces:
            self.tracer.span(trace, "serve", self._clock.now(), self._clock.now(), version=served.version)
        log.info("swapped", version=served.version)

    def _tell(self) -> None:
        """Which version answers, and which is to and was refused: what the pointer names may not serve."""
        version = None if self.scorer.live.version == PRIOR else self.scorer.live.version
        told, now = {"version": version, "refused": self._fetch.refusal}, self._clock.now()
        if told != self._told or due(now, self._told_at, AGAIN_S):
            self._board.put(BOARD_SCORER, told)
            self._told, self._told_at = told, now

    def version(self, name: str) -> Served:
        """A version, to look at what it would say; any thread may ask. Raises NotFound, CorruptArtefact."""
        return self._fetch.build(name, to_look=True)

    def under(self, served: Served | None, wish: Wish) -> Recommendation:
        """The answer to one wish as if `served` were live; nobody else hears of it. Raises RetryLater."""
        return self._message(wish, self.scorer.rank([self._ask(wish)._replace(explore=False)], served)[0])

    def answer(self, wishes: Sequence[Wish]) -> list[Recommendation]:
        """The answers, in order; at most BATCH at once. Raises RetryLater."""
        started, now = time.perf_counter(), self._clock.now()
        late = {i: m for i, w in enumerate(wishes) if w.due and w.due < now and (m := self.last(w))}
        fresh = [i for i in range(len(wishes)) if i not in late]
        ranked = self.scorer.rank([self._ask(wishes[i]) for i in fresh])
        done = late | {i: self._message(wishes[i], r) for i, r in zip(fresh, ranked, strict=True)}
        for wish in wishes:
            ANSWERS.labels(wish.trigger).inc()
        ANSWER_SECONDS.observe(time.perf_counter() - started)
        return [done[i] for i in range(len(wishes))]

    def special(self, wish: Wish) -> list[str]:
        """What is asked for beyond the reader's own list: without, one list may stand in for another."""
        ask = wish.ask
        found = [name for name in SPECIAL if getattr(ask, name)]
        found += [name for name in MIXED if getattr(ask, name) not in (None, getattr(self._s, name))]
        return found if ask.policy == "live" else [*found, "policy"]

    def _ask(self, wish: Wish) -> Ask:
        return wish.ask._replace(without=self.lately.of(wish.ask.user), gone=self.lately.gone())

    def last(self, wish: Wish) -> Recommendation | None:
        """The reader's last list, or the last one of a reader never seen, as the answer to a wish that
        cannot wait, marked stale."""
        ask = wish.ask
        kept = None if self.special(wish) else self._last.of(ask.user, ask.locale, ask.n)
        if kept is None:
            return None
        without = self.lately.of(ask.user)
        items = [i for i in self.scorer.showable(kept.list.items, kept.pinned) if i.item_id not in without]
        if not items:
            return None
        STALE.inc()
        return replace(
            kept.list, recommendation_id=self._new_id(), request_id=wish.request_id, user_id=ask.user,
            trigger=wish.trigger, stale=True, rules=self.scorer.rules_now(kept.list.rules),
            items=[replace(i, rank=k) for k, i in enumerate(items[: ask.n], 1)],
        )

    def _message(self, wish: Wish, ranked: Ranked) -> Recommendation:
        message = Recommendation(
            recommendation_id=self._new_id(), request_id=wish.request_id, user_id=wish.ask.user,
            trigger=wish.trigger, policy=wish.ask.policy, model_version=ranked.version,
            generated_at=self._clock.now(), items=ranked.items, state_at=ranked.state_at,
            tier=ranked.tier, rules=list(ranked.rules), error=ranked.error,
        )
        if ranked.items and not self.special(wish):
            self._last.keep(Kept(message, wish.ask.n, ranked.pinned), wish.ask.locale)
        return message

    def refusal(self, request_id: str, user: str, error: str) -> Recommendation:
        """The answer to a request that cannot be understood."""
        return Recommendation(
            recommendation_id=self._new_id(), request_id=request_id, user_id=user, trigger="request",
            policy="live", model_version=self.scorer.live.version, generated_at=self._clock.now(),
            items=[], error=error,
        )
