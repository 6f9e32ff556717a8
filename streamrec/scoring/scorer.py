"""The scorer: ranks the live catalogue for batches of readers, under a model that may be swapped."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import torch

from streamrec.clock import Clock, SystemClock
from streamrec.config import Scorer as Settings
from streamrec.errors import NotFound, RetryLater
from streamrec.events import Policy, RankedItem
from streamrec.model.features import Stated
from streamrec.replay import Read, ReplayBuffer
from streamrec.scoring.ask import Ask, Ranked
from streamrec.scoring.batch import Batch
from streamrec.scoring.fast import Bools
from streamrec.scoring.rules import NO_RULES, Applied, Rules
from streamrec.scoring.served import Served
from streamrec.scoring.slate import Slate, Slates
from streamrec.scoring.state import ServingState
from streamrec.scoring.wishes import Encode, Wishes

DEEPER = 2  # times the places of a list: duplicates and caps must leave enough


class Scorer:
    """Ranks the live catalogue for batches of readers. `encode`: see Wishes; `clock`: of the rules."""

    def __init__(
        self, state: ServingState, buffer: ReplayBuffer, live: Served, settings: Settings, seed: int,
        encode: Encode | None = None, clock: Clock | None = None,
    ) -> None:
        self.state, self._buffer, self.live, self.frozen = state, buffer, live, live
        self.rules = Rules(state.attributes)
        self._rerank, self._slates = settings.rerank, Slates(state, settings, seed)
        self._wishes, self._clock = Wishes(state, encode, settings.interests), clock or SystemClock()
        self._applied = NO_RULES  # as the thread that answers made them last; any thread may look

    def swap(self, served: Served) -> None:
        """Serve this version from the next batch on."""
        self.state.adopt(served.co_reads, served.cursor)
        served.co_reads = ()
        self.catch_up(served)
        self.live = served

    def catch_up(self, served: Served) -> None:
        """Give articles that changed since `served` was built their vectors."""
        articles, cursor = self.state.articles, self.state.articles.cursor
        served.cover(articles.vectors, [*articles.changed_since(served.covered_at), *served.filled()])
        served.covered_at = cursor

    def follow(self) -> None:
        """Sync the state, give changed articles their vectors in every served model, and share what was
        explored. Raises RetryLater."""
        self.state.sync()
        for served in (self.live, self.frozen):
            self.catch_up(served)
        self._rules("live")
        with suppress(RetryLater):  # of a Redis that is full: answers need none of it, and it is shared later
            self._slates.share_explored()

    def catch_up_rows(self) -> None:
        """Follow until all co-reads are counted: for one look, where a worker counts some at a time."""
        counted = None
        while counted != self.state.counted:
            counted = self.state.counted
            self.follow()

    def histories(self, users: Sequence[str]) -> dict[str, list[Read]]:
        """What some readers have read, as of now. Raises RetryLater when the buffer is away."""
        return self._buffer.histories(users)

    @torch.no_grad()
    def rank(
        self, asks: Sequence[Ask], under: Served | None = None,
        histories: Mapping[str, Sequence[Read]] | None = None,
    ) -> list[Ranked]:
        """Answers in the order of `asks`; `under`: as if this version were live; `histories`: of the readers,
        if known. Raises RetryLater when the buffer is away."""
        if under is not None:
            self.catch_up(under)
        if histories is None:
            histories = self.histories([a.user for a in asks])
        arms: dict[Policy, Served] = {
            "live": under or self.live, "frozen": self.frozen, "popularity": self.live,
        }
        out: dict[int, Ranked] = {}
        stated: list[Stated | None] = [None] * len(asks)
        for i, ask in enumerate(asks):
            try:
                stated[i] = self._wishes.stated(ask)
            except Exception as error:  # one reader's interests may not cost the others their answers
                now = "" if isinstance(error, NotFound) else " now"
                why = f"interests cannot be read{now}: {error} - at `$.interests`"
                out[i] = Ranked(self.live.version, [], None, why, "interests")
        for policy, served in arms.items():
            at = [i for i, a in enumerate(asks) if a.policy == policy and i not in out]
            if at:
                some = [asks[i] for i in at]
                known = [histories[a.user] for a in some], [stated[i] for i in at]
                ranked = self._rank(served, policy, some, *known)
                out.update(zip(at, ranked, strict=True))
        return [out[i] for i in range(len(asks))]

    def _rank(
        self, served: Served, policy: Policy, asks: Sequence[Ask],
        histories: Sequence[Sequence[Read]], stated: Sequence[Stated | None],
    ) -> list[Ranked]:
        popularity, rules = policy == "popularity", self._rules(policy)
        readers = [self._wishes.reader(a, h, s) for a, h, s in zip(asks, histories, stated, strict=True)]
        deep = max(self._rerank, *(DEEPER * a.n for a in asks))
        batch = Batch(self.state, served, readers, popularity, deep, rules.bias)
        masks = [self._wishes.eligible(a, h, rules) for a, h in zip(asks, histories, strict=True)]
        seen = [self._wishes.seen(a, h) for a, h in zip(asks, histories, strict=True)]
        slates = self._slates.make(batch, asks, masks, rules, seen)
        version = "popularity" if popularity else served.version
        return [
            Ranked(version, slate.items, max((r.ts for r in h), default=None),
                   None if slate.items else self._wishes.why_none(a, rules),
                   "popular" if popularity else self._wishes.tier(a, h), self._named(slate, rules, mask),
                   slate.pinned)
            for a, h, slate, mask in zip(asks, histories, slates, masks, strict=True)
        ]

    def _rules(self, policy: Policy) -> Applied:
        """Those in force; the control arms have no editors."""
        if policy != "live":
            return NO_RULES
        articles = self.state.articles
        self._applied = self.rules.at(self._clock.now(), articles.cursor, len(articles))
        return self._applied

    def _named(self, slate: Slate, rules: Applied, eligible: Bools) -> list[str]:
        """Ids of the rules that changed a list, also of those that kept articles out of it. What is pinned
        is moved by no other."""
        if rules is NO_RULES:
            return []
        rows_of, pinned = self.state.attributes.rows_of, slate.pinned
        if pinned and rules.buries:
            eligible = eligible.copy()
            eligible[rows_of(list(pinned))] = False
        rows = rows_of([i.item_id for i in slate.items if i.item_id not in pinned])
        found = {move.rule for row in rows for move in rules.by_row.get(row, [])}
        return sorted(found | set(pinned.values()) | rules.blocking | rules.burying(eligible))

    def showable(self, items: Sequence[RankedItem], pinned: Mapping[str, str]) -> list[RankedItem]:
        """Those of an earlier list that may still be shown: they are live, not blocked, and what was
        `pinned` (item -> rule) is so still, by a rule of that id. For any thread."""
        articles, rules = self.state.articles, self._applied
        rows = [articles.index[i.item_id] for i in items]  # a row is kept for good
        in_force, free = rules.in_force(self._clock.now()), ~np.isin(rows, rules.blocked)

        def as_pinned(item: str, row: int) -> bool:
            by = pinned.get(item)
            return by is None or (by in in_force and row in rules.pins and rules.pins[row][1] == by)

        return [i for i, row, ok in zip(items, rows, free, strict=True)
                if ok and articles.live[row] and as_pinned(i.item_id, row)]

    def rules_now(self, named: Sequence[str]) -> list[str]:
        """Those still in force of the rules that an earlier list names, and those that block. For any
        thread."""
        rules = self._applied
        return sorted((set(named) | rules.blocking) & rules.in_force(self._clock.now()))
