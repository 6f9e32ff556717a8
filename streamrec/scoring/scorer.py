"""The scorer: ranks the live catalogue for batches of readers, under a model that may be swapped."""

from collections.abc import Sequence

import torch

from streamrec.config import Scorer as Settings
from streamrec.events import Policy
from streamrec.replay import ReplayBuffer
from streamrec.scoring.batch import Batch
from streamrec.scoring.served import Served
from streamrec.scoring.slate import Ask, Ranked, Slates
from streamrec.scoring.state import ServingState


class Scorer:
    """Ranks the live catalogue for batches of readers."""

    def __init__(
        self, state: ServingState, buffer: ReplayBuffer, live: Served, settings: Settings, seed: int
    ) -> None:
        self.state, self._buffer, self.live, self.frozen = state, buffer, live, live
        self._rerank, self._slates = settings.rerank, Slates(state, settings.explore, seed)

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
        """Sync the state, and give changed articles their vectors in every served model."""
        self.state.sync()
        for served in (self.live, self.frozen):
            self.catch_up(served)

    @torch.no_grad()
    def rank(self, asks: Sequence[Ask]) -> list[Ranked]:
        """Answers in the order of `asks`. Raises RetryLater when the buffer is away."""
        histories = self._buffer.histories([a.user for a in asks])
        arms: dict[Policy, Served] = {
            "live": self.live, "frozen": self.frozen, "popularity": self.live,
        }
        out: dict[int, Ranked] = {}
        for policy, served in arms.items():
            at = [i for i, a in enumerate(asks) if a.policy == policy]
            if at:
                known = [histories[asks[i].user] for i in at]
                batch = Batch(self.state, served, known, policy == "popularity", self._rerank)
                masks = [self.state.eligible(h) for h in known]
                for b, (i, scores) in enumerate(zip(at, batch.scores(masks), strict=True)):
                    out[i] = self._slates.slate(batch, b, scores, masks[b], asks[i])
        return [out[i] for i in range(len(asks))]
