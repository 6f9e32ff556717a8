"""Co-read counts that travel with a model, so that a new scorer need not count from the start."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamrec.errors import CorruptArtefact
from streamrec.model.counters import Counters
from streamrec.model.pairs import Pairs

FILE, IDS = "co_reads.safetensors", "co_reads.json"
CoRead = tuple[str, int, str, str, float]  # table, partition, article, partner, forward-decayed weight


def tables(counters: Counters) -> dict[str, Pairs]:
    """What travels, by name."""
    return {"co": counters.co, "near": counters.near}


def to_files(counters: Counters) -> dict[str, bytes]:
    """The tables as two files: places and weights, and the article ids."""
    arrays: dict[str, Any] = {}
    for name, pairs in tables(counters).items():
        places, weights = pairs.arrays()
        arrays |= {f"{name}/places": np.ascontiguousarray(places), f"{name}/weights": weights}
    return {FILE: save(arrays), IDS: json.dumps(counters.ids).encode()}


def from_files(files: Mapping[str, bytes]) -> list[CoRead]:
    """The tables back; empty when the version has none. Raises CorruptArtefact."""
    if FILE not in files:
        return []
    try:
        return list(_rows(load(files[FILE]), json.loads(files[IDS])))
    except (KeyError, ValueError, IndexError, SafetensorError) as error:
        raise CorruptArtefact(f"the co-reads of the model cannot be read: {error}") from None


def _rows(arrays: dict[str, Any], ids: list[str]) -> Iterator[CoRead]:
    for name in ("co", "near"):
        places, weights = arrays[f"{name}/places"].tolist(), arrays[f"{name}/weights"].tolist()
        for p, i, k, weight in zip(*places, weights, strict=True):
            yield name, p, ids[i], ids[k], weight
