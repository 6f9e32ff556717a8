"""The article encoder with a part that learns.

Frozen layers come first, so their output is computed once per text and kept: training and
re-encoding the catalogue then cost only the layers that change.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamrec.config import Encoder
from streamrec.errors import SetupError
from streamrec.model import tuned_files
from streamrec.model.encoder import TextEncoder, Vectors, frozen_dtype
from streamrec.model.lower_cache import LowerCache, key_of
from streamrec.model.stack import FAMILIES, Stack
from streamrec.model.trainable import CPU_LAYERS, RATES, attach, layers_of


class TunedEncoder(TextEncoder):
    """TextEncoder whose transformer learns. d: dimensions, t: tokens of a text.

    `mode`: top:K, lora, adalora, ia3, prefix or full. `lora_layers`: on how many top layers the
    peft modes work; None: 2 on a CPU, all on CUDA. `dtype`: of the frozen lower layers and of their
    cached output; None: the fastest that is exact enough, and float16, which moves the gradient by
    3e-4 of its norm. `seed`: of the first values. Raises SetupError.
    """

    def __init__(
        self, settings: Encoder, mode: str, device: str = "cpu", lora_rank: int = 8, *,
        lora_layers: int | None = None, dtype: torch.dtype | None = None, seed: int = 7,
    ) -> None:
        super().__init__(settings, "cpu", torch.float32)
        model, self.device = self._model, torch.device(device)
        if model.config.model_type not in FAMILIES:
            raise SetupError(f"the encoder {settings.name} is no BERT, whose layers can be trained one by "
                             "one: set STREAMREC_ENCODER__NAME=minilm or train the head only")
        self.depth = len(model.encoder.layer)
        few = CPU_LAYERS if self.device.type == "cpu" else None
        self.kind, self.layers = layers_of(mode, self.depth, lora_layers or few)
        self.mode, self.rank, self.cut = mode, lora_rank, self.depth - self.layers
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._part = attach(model, self.kind, self.layers, lora_rank)
        model.to(self.device)
        for frozen in (model.embeddings, *model.encoder.layer[: self.cut]) if self.cut else ():
            frozen.to(dtype or frozen_dtype(self.device))
        self._cached_dtype = dtype or torch.float16
        self._stack = Stack(model, self._tokenizer.pad_token_id, self._part)
        self._cache, self.tokens = LowerCache(settings.cache_mb * 1_000_000), 0.0

    @classmethod
    def like(cls, settings: Encoder, files: Mapping[str, bytes], device: str = "cpu") -> "TunedEncoder":
        """The encoder that a `trainable_state` belongs to, holding it. Raises CorruptArtefact."""
        made = tuned_files.identity_of(files)
        encoder = cls(settings, made["mode"], device, made["rank"], lora_layers=made["layers"])
        encoder.load_state(files)
        return encoder

    @property
    def rate(self) -> float:
        """The full learning rate that suits the mode."""
        return RATES[self.kind]

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """What learns, by name."""
        return self._part.params

    def parameters(self) -> list[nn.Parameter]:
        """What learns."""
        return list(self._part.params.values())

    def begin(self, steps: int) -> None:
        """A training of `steps` steps starts."""
        self._part.begin(steps)

    def penalty(self) -> Tensor | None:
        """What the mode adds to the loss (AdaLoRA), or None."""
        return self._part.penalty()

    def stepped(self, step: int) -> None:
        """Call after the optimizer's step number `step` (from 1), before zero_grad."""
        self._part.stepped(step)

    def trainable_state(self) -> dict[str, bytes]:
        """The part that learns as two files; see `tuned_files`."""
        return tuned_files.to_files(self._part.params, self._identity())

    def load_state(self, files: Mapping[str, bytes]) -> None:
        """Take over a `trainable_state`. Raises CorruptArtefact, with nothing changed, if it cannot
        be read or was made by another base model, cut, mode or rank."""
        tuned_files.load_into(self._part.params, self._identity(), files)

    def version(self) -> str:
        """Which model made a vector, training included: other versions' vectors do not compare."""
        return f"{self.fingerprint}+{tuned_files.digest(self.trainable_state())}"

    def _identity(self) -> dict[str, Any]:
        return {"base": self.fingerprint, "mode": self.mode, "rank": self.rank, "layers": self.layers}

    @torch.no_grad()
    def encode(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> Vectors:
        """See TextEncoder.encode: float16 [n, d]."""
        out: Vectors = np.zeros((len(texts), self.dim), dtype=np.float16)
        order = sorted(self.read(texts), key=lambda i: -len(texts[i]))
        for start in range(0, len(order), self.settings.batch):
            batch = order[start : start + self.settings.batch]
            states = self.lower([texts[i] for i in batch], evict=False)
            out[batch] = self.forward_tokens(states).cpu().numpy()
            if progress:
                progress(start + len(batch), len(order))
        return out

    @torch.no_grad()
    def lower(self, texts: Sequence[str], evict: bool = True) -> list[Tensor]:
        """What the learning layers start from, for texts that are not blank: float16 [t, d] behind
        the frozen layers, or token ids [t] where none is frozen. On the CPU; cached by text, exactly:
        what was not cached is rounded too. `evict`: see LowerCache.put."""
        keys = [key_of(text) for text in texts]
        found = {key: state for key in keys if (state := self._cache.get(key)) is not None}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        for key, computed in zip(missing, self._lower(list(missing.values())), strict=True):
            found[key] = computed
            self._cache.put(key, computed, evict)
        return [found[key] for key in keys]

    def _lower(self, texts: list[str]) -> list[Tensor]:
        tokens = [torch.tensor(ids, dtype=torch.int32) for ids in self._tokens(texts)]
        out = list(tokens)
        order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]))
        for start in range(0, len(order) if self.cut else 0, self.settings.batch):
            batch = order[start : start + self.settings.batch]
            hidden, mask = self._stack.padded([tokens[i] for i in batch])
            hidden = self._stack.walk(hidden, mask, range(self.cut)).to(self._cached_dtype).cpu()
            self.tokens += mask.numel() * self.cut / self.depth
            for i, row in zip(batch, hidden, strict=True):
                out[i] = row[: len(tokens[i])].clone()  # a view would keep the whole batch alive
        return out

    def forward_tokens(self, states: Sequence[Tensor]) -> Tensor:
        """Unit vectors [n, d] float32 of n >= 1 `states` as `lower` gives them; with gradient."""
        hidden, mask = self._stack.padded(states)
        self.tokens += mask.numel() * self.layers / self.depth * (2 if torch.is_grad_enabled() else 1)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            hidden = self._stack.walk(hidden, mask, range(self.cut, self.depth))
        weights = mask[..., None].float()
        return nn.functional.normalize((hidden.float() * weights).sum(1) / weights.sum(1), dim=-1)
