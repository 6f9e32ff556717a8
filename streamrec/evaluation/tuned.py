"""A version whose text encoder has learned too, which encodes what it is owed at once."""

from collections.abc import Callable, Sequence

from streamrec.catalogue import LiveArticles, Vectors
from streamrec.learning.tuning import EncoderTuning
from streamrec.model.network import Recommender
from streamrec.scoring import TunedServed


class TunedNow(TunedServed):
    """See TunedServed. All versions of an arm share one encoder, and each puts what it had learned
    back before it encodes."""

    def __init__(
        self, version: str, net: Recommender, articles: LiveArticles, tuning: EncoderTuning,
        text_of: Callable[[str], str],
    ) -> None:
        super().__init__(version, net, articles, {})
        self._encoder, self.state, self._text_of = tuning.encoder, tuning.state_files(), text_of

    def cover(self, vectors: Vectors, rows: Sequence[int] | None = None) -> None:
        """See Served."""
        super().cover(vectors, rows)
        if owed := self.owed(len(vectors)):
            self._encoder.load_state(self.state)
            ids = [self._articles.entries[row].item_id for row, _ in owed]
            self.fill(owed, self._encoder.encode([self._text_of(i) for i in ids]))
            super().cover(vectors, self.filled())
