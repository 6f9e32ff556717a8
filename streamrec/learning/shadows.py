"""What the served model is worth: it and its controls score the same rows before they are learned
(prequential, Gama et al. 2013), and the new model scores what older eras taught (the row of the matrix R
of Lopez-Paz & Ranzato 2017)."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from streamrec.learning.examples import PAD, Examples
from streamrec.learning.fine_tune import Base
from streamrec.learning.gate import Compared, ndcg
from streamrec.learning.negatives import Array
from streamrec.learning.packed import scores
from streamrec.model.features import ITEM
from streamrec.model.network import Recommender

POPULAR = slice(ITEM.index("popular_short"), ITEM.index("popular_long") + 1)  # as the scorer's control


class Shadows(Struct, frozen=True):
    """NDCG@10 [n] of each arm on the rows held out: live (the model served until now), new (the one
    just fitted), popularity, and each control by name. `anchors`: event time and NDCG@10 of the new model
    on each row kept of older eras."""

    held_out: dict[str, list[float]]
    anchors: list[tuple[float, float]]


class Control(NamedTuple):
    """A model to compare with. `vectors`: its text vectors [N, d] of articles (ids [N]), from the frozen
    encoder's [N, d]."""

    net: Recommender
    vectors: Callable[[Sequence[str], Base], Base]


def in_shadow(
    controls: Mapping[str, Control], rows: Examples, ids: Sequence[str], base: Base, judged: Compared,
    anchor_times: Array, anchors: Array,
) -> Shadows:
    """All arms on the same rows; `judged`: what the gate has scored of them already, maybe nothing."""
    arms = {"live": judged.old, "new": judged.new, "popularity": ndcg(_popular(rows), rows.target)}
    for name, (net, vectors) in controls.items():
        arms[name] = ndcg(scores(net, rows, vectors(ids, base)), rows.target)
    return Shadows(
        {name: np.round(x, 4).tolist() for name, x in arms.items() if len(x) == len(rows)},
        list(zip(anchor_times.tolist()[: len(anchors)], np.round(anchors, 4).tolist(), strict=True)),
    )


def _popular(rows: Examples) -> Array:
    """Scores [R, C]: decayed reads; empty slots -inf."""
    found = np.nan_to_num(rows.feats[:, :, POPULAR].astype(np.float32)).sum(axis=2)
    return np.where(rows.cand == PAD, -np.inf, found)
