"""Co-read counts that travel with a model, so that a new scorer need not count from the start."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamrec.errors import CorruptArtefact
from streamrec.model.counters import Counters
from streamrec.model.pairs import Pairs

FILE, IDS = "co_reads.safetensors", "co_reads.json"
TABLES = ("co", "near")
CoRead = tuple[str, int, str, str, float]  # table, partition, article, partner, forward-decayed weight


def tables(counters: Counters) -> dict[str, Pairs]:
    """What travels, by name."""
    return dict(zip(TABLES, (counters.co, counters.near), strict=True))


def arrays(counters: Counters) -> dict[str, Any]:
    """Places and weights of all tables, by the numbers of `counters`."""
    found: dict[str, Any] = {}
    for name, pairs in tables(counters).items():
        places, weights = pairs.arrays()
        found |= {f"{name}/places": np.ascontiguousarray(places), f"{name}/weights": weights}
    return found


def restore(counters: Counters, kept: Mapping[str, Any]) -> None:
    """Begin with what `arrays` answered; an older streamrec kept fewer tables."""
    for name, pairs in tables(counters).items():
        if f"{name}/places" in kept:
            pairs.restore(kept[f"{name}/places"], kept[f"{name}/weights"])


def to_files(counters: Counters) -> dict[str, bytes]:
    """The tables as two files: places and weights, and the article ids."""
    return {FILE: save(arrays(counters)), IDS: json.dumps(counters.ids).encode()}


class Shipped:
    """The tables as they came with a version, gone through only by who adopts them: a running scorer has
    counted further itself."""

    def __init__(self, arrays: dict[str, Any], ids: list[str]) -> None:
        self._arrays, self._ids = arrays, ids
        for name in TABLES:
            places, weights = arrays[f"{name}/places"], arrays[f"{name}/weights"]
            if places.shape != (3, len(weights)) or not (places[1:] < len(ids)).all() or (places < 0).any():
                raise ValueError(f"table {name} names articles that are not there")

    def __len__(self) -> int:
        return sum(len(self._arrays[f"{name}/weights"]) for name in TABLES)

    def __iter__(self) -> Iterator[CoRead]:
        for name in TABLES:
            places, weights = (self._arrays[f"{name}/{part}"].tolist() for part in ("places", "weights"))
            for p, i, k, weight in zip(*places, weights, strict=True):
                yield name, p, self._ids[i], self._ids[k], weight


def from_files(files: Mapping[str, bytes]) -> Iterable[CoRead]:
    """The tables back; empty when the version has none. Raises CorruptArtefact."""
    if FILE not in files:
        return ()
    try:
        return Shipped(load(files[FILE]), json.loads(files[IDS]))
    except (KeyError, ValueError, SafetensorError) as error:
        raise CorruptArtefact(f"the co-reads of the model cannot be read: {error}") from None
