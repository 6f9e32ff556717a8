"""What a new version changes for readers, found out before it is published."""

from streamrec import logs
from streamrec.catalogue import Catalogue
from streamrec.clock import Clock
from streamrec.config import Settings
from streamrec.errors import CorruptArtefact, RetryLater
from streamrec.events import ModelDiff
from streamrec.model.bundle import from_files
from streamrec.model.network import Recommender
from streamrec.registry import Files
from streamrec.replay import Cursor, ReplayBuffer
from streamrec.scoring import Scorer, Served, ServingState, of_files
from streamrec.scoring.compare import compare
from streamrec.scoring.snapshot import FROM, Snapshots

log = logs.get(__name__)
READERS = 100


class Changes:
    """A scorer of the trainer's own, made when the first version has a parent to be compared with."""

    def __init__(
        self, buffer: ReplayBuffer, catalogue: Catalogue, settings: Settings, dim: int, clock: Clock,
        snapshots: Snapshots,
    ) -> None:
        self._buffer, self._catalogue, self._s = buffer, catalogue, settings
        self._dim, self._clock, self._snapshots = dim, clock, snapshots
        self._scorer: Scorer | None = None

    def diff(
        self, older: str, old: Files, newer: str, new_files: Files, cursor: Cursor, users: list[str]
    ) -> ModelDiff | None:
        """From the files of both, and the `cursor` of the newer; None if a server is away or a version cannot
        be read."""
        try:
            scorer = self._following()
            articles, exact = scorer.state.articles, self._s.scorer.exact
            before = of_files(older, from_files(old)[0], old, articles, exact=exact)
            new = of_files(newer, from_files(new_files)[0], new_files, articles, cursor, exact)
            scorer.swap(new)
            return compare(scorer, before, new, users[:READERS])
        except (RetryLater, CorruptArtefact) as error:  # the version is published all the same
            log.warning("changes_not_known", why=str(error))
            return None

    def keep_snapshot(self, articles: int) -> None:
        """Let the next scorer start from the catalogue as it is, of so many articles, if it has changed
        much."""
        if articles < FROM:
            return
        try:
            self._snapshots.keep(self._following().state)
        except Exception as error:  # what was learned counts all the same
            log.warning("no_snapshot", why=str(error))

    def _following(self) -> Scorer:
        if self._scorer is None:
            state, _ = self._snapshots.begin(
                lambda: ServingState(self._buffer, self._catalogue, self._s.buffer, self._dim))
            prior = Served("0", Recommender.initial(self._dim, self._s.model))
            seed = self._s.trainer.seed
            self._scorer = Scorer(state, self._buffer, prior, self._s.scorer, seed, clock=self._clock)
        self._scorer.follow()
        return self._scorer
