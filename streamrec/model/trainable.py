"""Which part of a transformer learns: its top layers, all of it, or a few numbers beside them."""

import importlib.util
import re
from typing import Any

from torch import Tensor, nn

from streamrec.errors import SetupError

PEFT = ("lora", "adalora", "ia3", "prefix")
MODES = ("top:K", *PEFT, "full")
CPU_LAYERS = 2  # of a peft mode on a CPU: each further layer costs as much again
# Full rates of AdamW. The few numbers of a peft mode need far larger steps than whole layers: at
# these the loss of a synthetic stream falls about as fast (a third as fast by AdaLoRA and prefix).
RATES = {"top": 2e-5, "full": 2e-5, "lora": 5e-4, "adalora": 5e-3, "ia3": 5e-3, "prefix": 5e-3}


def layers_of(mode: str, depth: int, wanted: int | None) -> tuple[str, int]:
    """Kind of a mode, and how many of `depth` layers learn; `wanted`: of a peft mode, None: all.

    Raises SetupError for a mode or number of layers that there is not."""
    kind, _, number = mode.partition(":")
    plain = kind in (*PEFT, "full") and not number
    if not plain and not re.fullmatch(r"top:\d+", mode):
        raise SetupError(f"{mode!r} does not name what of the encoder to train: {', '.join(MODES)}")
    layers = int(number) if kind == "top" else depth if kind == "full" else min(wanted or depth, depth)
    if not 1 <= layers <= depth:
        raise SetupError(f"this encoder has {depth} layers, {mode!r} cannot be trained: top:1 to top:{depth}")
    return kind, layers


class Part:
    """The part that learns; `params`: its parameters by name."""

    params: dict[str, nn.Parameter]

    def begin(self, steps: int) -> None:
        """Training of `steps` steps starts."""

    def penalty(self) -> Tensor | None:
        """What is added to the loss, apart from any example."""
        return None

    def stepped(self, step: int) -> None:
        """Step number `step` (from 1) of the optimizer is done, gradients are still there."""

    def prompt(self, batch: int) -> list[tuple[Tensor, Tensor]]:
        """Keys and values [batch, heads, P, d/heads] put before each layer's own; mostly none."""
        return []


class Layers(Part):
    """The top layers themselves; with `embeddings`, those too."""

    def __init__(self, model: Any, layers: int, embeddings: bool) -> None:
        model.requires_grad_(False)
        model.encoder.layer[-layers:].requires_grad_(True)
        model.embeddings.requires_grad_(embeddings)
        self.params = {n: p for n, p in model.named_parameters() if p.requires_grad}


def attach(model: Any, kind: str, layers: int, rank: int) -> Part:
    """Freeze `model` but for the part that learns. Raises SetupError if peft is missing."""
    if kind in ("top", "full"):
        return Layers(model, layers, embeddings=kind == "full")
    if importlib.util.find_spec("peft") is None:
        raise SetupError("peft is missing: pip install 'streamrec[train]'")
    from streamrec.model import peft_parts

    return peft_parts.attach(model, kind, layers, rank)
