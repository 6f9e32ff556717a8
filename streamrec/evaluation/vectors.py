"""Base vectors of a log's articles, encoded once and kept on disk by text hash."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from streamrec.catalogue import Vectors, text_hash
from streamrec.config import Encoder
from streamrec.model.encoder import TextEncoder

Progress = Callable[[int, int], None]
CHUNK = 512  # texts between two savings: an interruption loses at most these


class VectorCache:
    """text -> base vector [d]. One file per encoder; a torn or foreign file is made again."""

    def __init__(self, folder: Path, settings: Encoder) -> None:
        self._folder, self._settings = folder, settings
        self._encoder: TextEncoder | None = None
        self._known: dict[str, Vectors] = {}
        self.fingerprint, self.dim = "", 0

    def load(self, texts: Iterable[str], progress: Progress | None = None) -> None:
        """Encode what is not there yet. Raises SetupError if the encoder cannot be loaded."""
        encoder = self._encoder = self._encoder or TextEncoder(self._settings)
        self.fingerprint, self.dim = encoder.fingerprint, encoder.dim
        path = self._folder / f"vectors-{encoder.fingerprint.replace('/', '-')}.safetensors"
        self._known |= _read(path)
        todo = sorted({t for t in texts if t.strip()} - {t for t in texts if self._key(t) in self._known})
        for start in range(0, len(todo), CHUNK):
            chunk = todo[start : start + CHUNK]
            for text, vector in zip(chunk, encoder.encode(chunk), strict=True):
                self._known[self._key(text)] = vector
            _write(path, self._known)
            if progress:
                progress(start + len(chunk), len(todo))

    def encode(self, texts: list[str]) -> Vectors:
        """Vectors [n, d] of texts that were loaded; zero for blank ones."""
        out: Vectors = np.zeros((len(texts), self.dim), np.float16)
        for i, text in enumerate(texts):
            if text.strip():
                out[i] = self._known[self._key(text)]
        return out

    def _key(self, text: str) -> str:
        return text_hash(text, self.fingerprint)


def _read(path: Path) -> dict[str, Vectors]:
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError):
        return {}


def _write(path: Path, vectors: dict[str, Vectors]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    save_file(vectors, temporary)
    os.replace(temporary, path)
