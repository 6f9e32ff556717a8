"""A version whose text encoder has learned too, which encodes what it is owed at once."""

from collections.abc import Callable, Sequence

from streamrec.catalogue import LiveArticles, Vectors
from streamrec.learning.tuning import EncoderTuning
from streamrec.model.network import Recommender
from streamrec.registry import Files
from streamrec.scoring import TunedServed


class TunedNow(TunedServed):
    """See TunedServed. All versions of an arm share one encoder, and each puts what it had learned
    back before it encodes."""

    def __init__(
        self, version: str, net: Recommender, articles: LiveArticles, tuning: EncoderTuning,
        text_of: Callable[[str], str], state: Files | None = None,
    ) -> None:
        super().__init__(version, net, articles, {})
        self._tuning, self._text_of = tuning, text_of
        self.state = tuning.state_files() if state is None else state

    def over(self, articles: LiveArticles) -> "TunedNow":
        """The same version, its articles those of another walk."""
        return TunedNow(self.version, self.net, articles, self._tuning, self._text_of, self.state)

    def cover(self, vectors: Vectors, rows: Sequence[int] | None = None) -> None:
        """See Served."""
        super().cover(vectors, rows)
        if owed := self.owed(len(vectors)):
            encoder = self._tuning.encoder
            encoder.load_state(self.state)
            ids = [self._articles.entries[row].item_id for row, _ in owed]
            self.fill(owed, encoder.encode([self._text_of(i) for i in ids]))
            super().cover(vectors, self.filled())
