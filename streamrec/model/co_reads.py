"""Co-read counts that travel with a model, so that a new scorer need not count from the start."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamrec.errors import CorruptArtefact
from streamrec.model.counters import Counters

FILE, IDS = "co_reads.safetensors", "co_reads.json"
CoRead = tuple[int, str, str, float]  # partition, read before, read after, forward-decayed weight


def to_files(counters: Counters) -> dict[str, bytes]:
    """The table as two files: places and weights, and the article ids."""
    rows = [
        (p, before, item, weight) for p, table in counters.co.items()
        for before, partners in table.items() for item, weight in partners.items()
    ]
    places = np.array([r[:3] for r in rows], dtype=np.int64).reshape(-1, 3)
    weights = np.array([r[3] for r in rows], dtype=np.float64)
    arrays = {"places": places, "weights": weights}
    return {FILE: save(arrays), IDS: json.dumps(counters.ids).encode()}


def from_files(files: Mapping[str, bytes]) -> list[CoRead]:
    """The table back; empty when the version has none. Raises CorruptArtefact."""
    if FILE not in files:
        return []
    try:
        return list(_rows(load(files[FILE]), json.loads(files[IDS])))
    except (KeyError, ValueError, IndexError, SafetensorError) as error:
        raise CorruptArtefact(f"the co-reads of the model cannot be read: {error}") from None


def _rows(arrays: dict[str, Any], ids: list[str]) -> Iterator[CoRead]:
    for (p, before, item), weight in zip(arrays["places"].tolist(), arrays["weights"].tolist(), strict=True):
        yield p, ids[before], ids[item], weight
