"""Article vectors of an encoder that has learned, as a version's file: made once by the trainer, so
that a scorer need not encode its catalogue at every swap. By text hash: safetensors, no pickle."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamrec.errors import CorruptArtefact

FILE = "vectors.safetensors"
Vector = NDArray[np.float16]
OwnVectors = dict[str, Vector]  # text hash -> [d]


def to_files(hashes: Sequence[str], vectors: NDArray[np.float16]) -> dict[str, bytes]:
    """One file of the `vectors` [n, d] of texts with these hashes (16 hex digits each)."""
    numbers = np.array([int(h, 16) for h in hashes], np.uint64)
    return {FILE: save({"hashes": numbers, "vectors": np.ascontiguousarray(vectors, np.float16)})}


def among(
    own: OwnVectors, hash_of: Callable[[str], str], ids: Sequence[str], base: NDArray[np.float16]
) -> NDArray[np.float16]:
    """The vectors [N, d] of the articles `ids` [N] by an encoder that has learned; those that it has not
    read, as they came later, keep the frozen one's of `base`, which is near."""
    if not own:
        return base
    found = base.copy()
    for n, vector in ((n, own.get(hash_of(item))) for n, item in enumerate(ids)):
        if vector is not None:
            found[n] = vector
    return found


def from_files(files: Mapping[str, bytes], dim: int) -> OwnVectors:
    """The vectors back. Raises CorruptArtefact."""
    try:
        found = load(files[FILE])
        hashes, vectors = found["hashes"], found["vectors"]
        if vectors.dtype != np.float16 or vectors.shape != (len(hashes), dim):
            raise ValueError(f"{vectors.dtype} {vectors.shape} for {len(hashes)} texts of {dim} dimensions")
    except (KeyError, ValueError, SafetensorError) as error:
        raise CorruptArtefact(f"{FILE} cannot be read ({error}): keep the old version") from None
    return {f"{h:016x}": v for h, v in zip(hashes.tolist(), vectors, strict=True)}
