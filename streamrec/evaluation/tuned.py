"""A version whose text encoder has learned too: its articles' vectors are its own encoder's."""

from collections.abc import Callable, Sequence

import numpy as np

from streamrec.catalogue import Vectors
from streamrec.model.network import Recommender
from streamrec.model.tuned import TunedEncoder
from streamrec.scoring import Served


class TunedServed(Served):
    """See Served. `text_of(row)` is an article's text. All versions of an arm share one encoder, and
    each puts what it had learned back before it encodes."""

    def __init__(
        self, version: str, net: Recommender, encoder: TunedEncoder, text_of: Callable[[int], str]
    ) -> None:
        super().__init__(version, net)
        self._encoder, self.state, self._text_of = encoder, encoder.trainable_state(), text_of
        self._own: Vectors = np.zeros((0, net.dim), np.float16)

    def cover(self, vectors: Vectors, rows: Sequence[int] | None = None) -> None:
        """See Served; `vectors` [N, d] only say how many articles there are."""
        n = len(vectors)
        todo = list(range(n)) if rows is None else sorted({*rows, *range(self.rows, n)})
        if n > len(self._own):
            self._own = np.pad(self._own, ((0, 2 * n - len(self._own)), (0, 0)))
        if todo:
            self._encoder.load_state(self.state)
            self._own[todo] = self._encoder.encode([self._text_of(i) for i in todo])
        super().cover(self._own[:n], todo)
