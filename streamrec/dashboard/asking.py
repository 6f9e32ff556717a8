"""What the pages ask of the answering side: as a reader would, but no topic hears of it."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from consumers.serving import Serving, Wish
from streamrec.clock import Clock
from streamrec.drift.remembered import Increments, with_eras
from streamrec.events import ModelDiff, Recommendation, Request
from streamrec.scoring.compare import compare
from streamrec.web.desk import Desk

T = TypeVar("T")
PATIENCE_S = 10.0
READERS = 100  # whose lists are compared


class DeskAsking:
    """See site.Asking. `readers`: ids of some recent readers; `increments`: as the trainer noted them."""

    def __init__(
        self, desk: Desk, clock: Clock, readers: Callable[[int], list[str]],
        increments: Callable[[], Increments],
    ) -> None:
        self._desk, self._clock, self._readers, self._increments = desk, clock, readers, increments

    async def list_of(self, user: str, policy: str = "live", version: str = "") -> Recommendation:
        """A reader's list with reasons."""
        wish = self._wish(user, policy=policy)
        served = await asyncio.to_thread(self._desk.serving.version, version) if version else None
        return await self._run(lambda serving: serving.under(served, wish))

    async def similar(self, item_id: str) -> Recommendation:
        """Articles like one."""
        wish = self._wish("dashboard", similar_to=item_id)
        return await self._run(lambda serving: serving.under(None, wish))

    def diff(self, older: str, newer: str) -> ModelDiff:
        """What changed between two versions, for some readers."""
        old, new = (self._desk.serving.version(v) for v in (older, newer))
        users = self._readers(READERS)
        found = self._desk.run(lambda s: compare(s.scorer, old, new, users)).result(PATIENCE_S)
        return with_eras(found, self._increments())

    async def _run(self, job: Callable[[Serving], T]) -> T:
        return await asyncio.wait_for(asyncio.wrap_future(self._desk.run(job)), PATIENCE_S)

    def _wish(self, user: str, **fields: Any) -> Wish:
        request = Request(request_id=uuid.uuid4().hex, user_id=user, explain=True, **fields)
        return Wish.of(user, request, self._clock.now())
