"""What an increment goes on from and is compared with: the version that serves, the first one, and the
trainer's state."""

from functools import partial

from streamrec import logs
from streamrec.catalogue import LiveArticles
from streamrec.config import Buffer
from streamrec.errors import OtherFeatures, StreamrecError
from streamrec.learning.shadows import Control
from streamrec.learning.state import TrainerState
from streamrec.model import own_vectors, tuned_files
from streamrec.model.bundle import from_files
from streamrec.model.network import Recommender
from streamrec.registry import Files, Pointer, Registry

log = logs.get(__name__)


class Earlier:
    """Reads them from the registry. `fingerprint`: of the encoder that the catalogue's vectors are by."""

    def __init__(
        self, registry: Registry, articles: LiveArticles, fingerprint: str, buffer: Buffer
    ) -> None:
        self._registry, self._articles = registry, articles
        self._fingerprint, self._buffer = fingerprint, buffer
        self._first: tuple[str | None, Control | None] = (None, None)

    def state(self, pointer: Pointer) -> TrainerState:
        """As the last increment left it. Raises CorruptArtefact."""
        if pointer.state is None:
            return TrainerState.empty(self._buffer)
        return TrainerState.from_files(self._registry.load("states", pointer.state).files, self._buffer)

    def parent(self, pointer: Pointer) -> tuple[Recommender | None, Files]:
        """The model to go on from, and all files of its version; nothing if a first model is due. Raises
        CorruptArtefact."""
        if pointer.version is None:
            return None, {}
        files = self._registry.load("versions", pointer.version).files
        try:
            net, other = self._read(files)
        except OtherFeatures as error:
            net, other = None, str(error)
        if net and not other:
            return net, files
        log.warning("begins_anew", version=pointer.version, why=other)
        return None, {}

    def controls(self, pointer: Pointer) -> dict[str, Control]:
        """The first model, scored in shadow: what learning has brought since."""
        first = pointer.first_trained
        if first is not None and self._first[0] != first:
            self._first = first, self._control(first)
        control = self._first[1]
        return {"frozen": control} if control and control.net.dim == self._articles.dim else {}

    def _control(self, version: str) -> Control | None:
        """None for a version that cannot be compared: learning does not depend on it."""
        try:
            files = self._registry.load("versions", version).files
            net, other = self._read(files)
            own = own_vectors.from_files(files, net.dim) if tuned_files.is_among(files) else {}
        except (StreamrecError, OSError) as error:
            log.warning("no_control", version=version, why=str(error))
            return None
        return None if other else Control(net, partial(own_vectors.among, own, self._hash_of))

    def _read(self, files: Files) -> tuple[Recommender, str]:
        """A version's model, and why its vectors are not those of the catalogue, if they are not."""
        net, meta = from_files(files)
        if meta.get("encoder") in (None, self._fingerprint):
            return net, ""
        return net, (f"it read texts by {meta['encoder']}, the catalogue does by {self._fingerprint}: its "
                     "vectors mean nothing to that model")

    def _hash_of(self, item_id: str) -> str:
        row = self._articles.index.get(item_id)
        return "" if row is None else self._articles.entries[row].text_hash
