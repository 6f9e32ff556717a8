"""A version whose text encoder has learned too: its articles' vectors are its own encoder's."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from streamrec.catalogue import LiveArticles, Vectors
from streamrec.model import co_reads as shipped
from streamrec.model import own_vectors, tuned_files
from streamrec.model.co_reads import CoRead
from streamrec.model.features import Stated
from streamrec.model.network import Recommender
from streamrec.model.own_vectors import OwnVectors
from streamrec.registry import Files
from streamrec.replay import Cursor
from streamrec.scoring.served import EXACT, Served


class TunedServed(Served):
    """See Served. `own` comes with the version. An article that was announced since is placed by the
    frozen encoder's vector, which is near, until somebody has encoded it: `owed`, `fill`. `cover` and
    `filled` are called by the thread that answers; `owed` and `fill` may be by another.
    `encode`: its encoder, for what readers say to like; None: that has the frozen encoder's vector, too.
    """

    own_texts = True

    def __init__(
        self, version: str, net: Recommender, articles: LiveArticles, own: OwnVectors,
        co_reads: Iterable[CoRead] = (), cursor: Cursor | None = None, exact: int = EXACT,
        encode: Callable[[str], Vectors | None] | None = None,
    ) -> None:
        super().__init__(version, net, co_reads, cursor, exact)
        self._articles, self._own, self._encode = articles, own, encode
        self._owed: dict[int, str] = {}  # row -> text hash
        self._filled: deque[int] = deque()

    def stated(self, stated: Stated) -> Vectors:
        """See Served."""
        own = self._encode(stated.text) if self._encode and stated.text else None
        return stated.vector if own is None else own

    def _text(self, vectors: Vectors, at: Sequence[int]) -> Vectors:
        text = vectors[at]
        for n, i in enumerate(at):
            wanted = self._articles.entries[i].text_hash
            if wanted in self._own:
                text[n] = self._own[wanted]
            elif wanted:
                self._owed[i] = wanted
        return text

    def owed(self, limit: int) -> list[tuple[int, str]]:
        """Rows and hashes of texts that wait for this version's encoder, the newest first."""
        return list(self._owed.items())[::-1][:limit]

    def fill(self, done: Sequence[tuple[int, str]], vectors: Vectors) -> None:
        """Give texts the vectors [n, d] of this version's encoder; zero for one that is not there."""
        for (row, text_hash), vector in zip(done, vectors, strict=True):
            self._own[text_hash] = vector
            self._filled.append(row)
        self.forget(done)

    def forget(self, owed: Sequence[tuple[int, str]]) -> None:
        """These texts are no longer owed: given, gone, or changed, which makes them owed anew."""
        for row, text_hash in owed:
            found = self._owed.pop(row, text_hash)
            if found != text_hash:  # the other thread has just noted a newer one
                self._owed.setdefault(row, found)

    def filled(self) -> list[int]:
        """See Served."""
        return [self._filled.popleft() for _ in range(len(self._filled))]


def of_files(
    version: str, net: Recommender, files: Files, articles: LiveArticles, cursor: Cursor | None = None,
    exact: int = EXACT, encode: Callable[[str], Vectors | None] | None = None,
) -> Served:
    """A version as a worker serves it, of its files and their `net`. Without `encode` no encoder is touched.
    Raises CorruptArtefact."""
    counted = shipped.from_files(files)
    if not tuned_files.is_among(files):
        return Served(version, net, counted, cursor, exact)
    own = own_vectors.from_files(files, net.dim)
    return TunedServed(version, net, articles, own, counted, cursor, exact, encode)
