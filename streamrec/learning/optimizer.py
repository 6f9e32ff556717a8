"""The optimizer with a rate per kind of parameter, and its state as safetensors (never pickle).

One rate for all ruins the model: what suits a feature weight tears the text head apart.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from streamrec.config import Trainer
from streamrec.errors import CorruptArtefact
from streamrec.model.network import Recommender

State = dict[str, Tensor]  # "<parameter>/<slot>"
Named = tuple[str, nn.Parameter]
FILE = "optimizer.safetensors"


class Kind(NamedTuple):
    """How an optimizer is made from groups, what it keeps of a parameter, and how much larger its rates
    are than AdamW's, which the settings give."""

    make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
    slots: frozenset[str]
    times: float = 1.0


KINDS = {
    "adamw": Kind(torch.optim.AdamW, frozenset({"step", "exp_avg", "exp_avg_sq"})),
    # Without Adam's division by the gradient's size a step of the same rate is far shorter.
    "sgd": Kind(partial(torch.optim.SGD, momentum=0.9), frozenset({"momentum_buffer"}), 20.0),
    # Adafactor (Shazeer & Stern 2018) keeps a row and a column where Adam keeps a matrix, and takes a rate
    # as a share of the parameter's own size.
    "adafactor": Kind(torch.optim.Adafactor, frozenset({"step", "row_var", "col_var", "variance"}), 30.0),
}
_SCALARS = ("log_temperature", "recency")


def build(net: Recommender, settings: Trainer, first: bool, state: State | None
          ) -> torch.optim.Optimizer:
    """The optimizer, with its state from the last increment. Each group's `base` is its full
    rate: later increments take `increment_scale` of it."""
    kind = KINDS[settings.optimizer]
    scale = kind.times * (1.0 if first else settings.increment_scale)
    rates = (settings.lr_tower, settings.lr_temperature, settings.lr_features, settings.lr_interplay)
    groups = [
        {"params": params, "lr": rate * scale, "base": rate * scale,
         "weight_decay": settings.weight_decay if i in (0, 3) else 0.0}
        for i, (params, rate) in enumerate(zip(_kinds(net), rates, strict=True))
    ]
    optimizer = kind.make(groups)
    restore(optimizer, net.named_parameters(), state, kind.slots)
    return optimizer


def restore(
    optimizer: torch.optim.Optimizer, named: Iterable[Named], state: State | None, slots: frozenset[str]
) -> None:
    """Give parameters what an earlier `state_of` kept of them; those it does not know, or that another
    kind of optimizer had, start anew."""
    kept: dict[str, State] = defaultdict(dict)
    for key, value in (state or {}).items():
        name, _, slot = key.rpartition("/")
        kept[name][slot] = value
    for name, p in named:
        own = kept.get(name, {})
        if own and own.keys() <= slots and own.keys() != {"step"}:
            optimizer.state[p] = {s: _like(s, value, p) for s, value in own.items()}


def set_rates(optimizer: torch.optim.Optimizer, step: int, warmup: int, steps: int) -> None:
    """Set the rates of `step` (from 0) of `steps`: linear up to `base` over `warmup` steps, and
    linear down to nothing, so that the last batches do not decide what is published."""
    share = min(1.0, (step + 1) / max(warmup, 1)) * max(1.0 - step / max(steps, 1), 0.0)
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * share


def state_of(named: Iterable[Named], optimizer: torch.optim.Optimizer) -> State:
    """A copy of what the optimizer keeps (Adam: the moments) by parameter name, on the CPU."""
    return {f"{name}/{slot}": value.detach().clone().cpu()
            for name, p in named if p in optimizer.state
            for slot, value in optimizer.state[p].items() if isinstance(value, Tensor)}


def to_files(state: State | None) -> dict[str, bytes]:
    """The state as one safetensors file."""
    return {FILE: save({k: v.contiguous() for k, v in (state or {}).items()})}


def from_files(files: Mapping[str, bytes]) -> State:
    """The state back. Raises CorruptArtefact."""
    try:
        return dict(load(files[FILE]))
    except (KeyError, ValueError, SafetensorError) as error:
        raise CorruptArtefact(f"the optimizer's state cannot be read: {error}") from None


def _kinds(net: Recommender) -> Iterator[list[nn.Parameter]]:
    named = dict(net.named_parameters())
    together = [n for n in named if n.startswith("interplay.")]
    small = (*_SCALARS, "weights", *together)
    yield [p for n, p in named.items() if n not in small]
    yield [named[n] for n in _SCALARS]
    yield [net.weights]
    yield [named[n] for n in together]


def _like(slot: str, value: Tensor, p: Tensor) -> Tensor:
    # AdamW wants its step count on the CPU, its moments where the parameter is.
    return value.clone() if slot == "step" else value.clone().to(p.device)
