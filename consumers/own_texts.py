"""Beside the scorer: encodes what was announced since a version with an encoder of its own was made, and
what readers say to like."""

import threading
from functools import partial

from streamrec import logs
from streamrec.catalogue import Catalogue, LiveArticles, Vectors
from streamrec.config import Encoder
from streamrec.errors import CorruptArtefact
from streamrec.metrics import ENCODED
from streamrec.model import tuned_files
from streamrec.model.network import Recommender
from streamrec.model.tuned import TunedEncoder
from streamrec.registry import Files
from streamrec.replay import Cursor
from streamrec.scoring import Served, TunedServed, of_files
from streamrec.scoring.served import EXACT

SAID, PATIENCE_S = 1024, 0.1  # latest interests kept; an answer waits for the encoder so long
FEW = 8  # texts encoded before somebody else may
log = logs.get(__name__)


class OwnTexts:
    """Builds versions that bring an encoder, and keeps their new articles encoded. One encoder per
    mode is held, and the versions of a mode take turns in it."""

    def __init__(
        self, catalogue: Catalogue, articles: LiveArticles, settings: Encoder, exact: int = EXACT
    ) -> None:
        self._catalogue, self._articles, self._s, self._exact = catalogue, articles, settings, exact
        self._encoders: dict[str, TunedEncoder] = {}
        self._in: dict[str, str] = {}  # which version's state an encoder holds, by mode
        self._states: dict[str, Files] = {}
        self._serving: dict[str, TunedServed] = {}  # live, frozen
        self._turn = threading.Lock()  # the encoders: who answers, who fetches and who encodes share them
        self._said: dict[tuple[str, str], Vectors] = {}  # of what readers said, by version and text

    def build(self, version: str, net: Recommender, files: Files, cursor: Cursor) -> Served:
        """A version with its own encoder; `keep` it to have its articles encoded.
        Raises CorruptArtefact if the encoder or its vectors cannot be read."""
        self._states[version] = {n: files[n] for n in (tuned_files.TENSORS, tuned_files.CONFIG) if n in files}
        with self._turn:
            self._encoder(version)
        return of_files(version, net, files, self._articles, cursor, self._exact, partial(self._say, version))

    def _say(self, version: str, text: str) -> Vectors | None:
        """The vector [d] of what a reader says, for the thread that answers. None: not to be had now, as the
        version has just been replaced, or the encoder is at work or in trouble; the frozen one's must do."""
        found = self._said.get((version, text))
        if found is not None or not self._turn.acquire(timeout=PATIENCE_S):
            return found
        try:
            if version in self._states:
                found = self._said[version, text] = self._encoder(version).encode([text]).reshape(-1)
                if len(self._said) > SAID:
                    del self._said[next(iter(self._said))]
        except Exception as error:  # one reader's interests may not cost the others their answers
            log.warning("interests_unread", version=version, why=f"{type(error).__name__}: {error}")
        finally:
            self._turn.release()
        return found

    def keep(self, place: str, served: Served) -> None:
        """This version serves in a place, live or frozen, from now on."""
        self._serving.pop(place, None)
        if isinstance(served, TunedServed):
            self._serving[place] = served
        alive = {s.version for s in self._serving.values()}
        with self._turn:
            self._states = {v: f for v, f in self._states.items() if v in alive}

    def work(self) -> int:
        """Encode some of the texts that wait; how many. Raises RetryLater."""
        done = 0
        for served in self._serving.values():
            if owed := served.owed(self._s.batch):
                ids = [self._articles.entries[row].item_id for row, _ in owed]
                texts, known = self._catalogue.texts(ids), self._catalogue.entries(ids)
                there = [n for n, (_, text_hash) in enumerate(owed)  # as it was owed
                         if ids[n] in known and known[ids[n]].text_hash == text_hash]
                for at in range(0, len(there), FEW):
                    few = there[at : at + FEW]
                    with self._turn:
                        found = self._encoder(served.version).encode([texts.get(ids[n], "") for n in few])
                    served.fill([owed[n] for n in few], found)
                served.forget([owed[n] for n in range(len(owed)) if n not in there])
                done += len(there)
        ENCODED.inc(done)
        return done

    def _encoder(self, version: str) -> TunedEncoder:
        """The encoder of a version's mode, holding that version's state."""
        files = self._states[version]
        mode = tuned_files.identity_of(files)["mode"]
        if self._in.get(mode) != version:
            try:
                self._encoders[mode].load_state(files)
            except (KeyError, CorruptArtefact):  # none yet, or one of other layers or rank
                self._encoders[mode] = TunedEncoder.like(self._s, files)
            self._in[mode] = version
        return self._encoders[mode]
