"""What an encoder has learned as files: safetensors of the learning tensors only, and a JSON that
says what they belong to. No pickle."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from streamrec.errors import CorruptArtefact

TENSORS, CONFIG = "encoder.safetensors", "encoder.json"
Params = Mapping[str, nn.Parameter]


def to_files(params: Params, identity: dict[str, Any]) -> dict[str, bytes]:
    """The two files. `identity`: any JSON that must agree at loading (base, mode, rank, …)."""
    tensors = {name: p.detach().cpu().contiguous() for name, p in params.items()}
    return {TENSORS: save(tensors), CONFIG: json.dumps(identity, indent=1).encode()}


def is_among(files: Mapping[str, bytes]) -> bool:
    """Whether a version's files hold what an encoder has learned."""
    return CONFIG in files


def identity_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What the files belong to: base, mode, rank, layers. Raises CorruptArtefact."""
    try:
        found = json.loads(files[CONFIG])
        return {"base": str(found["base"]), "mode": str(found["mode"]), "rank": int(found["rank"]),
                "layers": int(found["layers"])}
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptArtefact(f"{CONFIG} cannot be read ({error}): keep the old version") from None


def load_into(params: Params, identity: dict[str, Any], files: Mapping[str, bytes]) -> None:
    """Copy the tensors into `params`. Raises CorruptArtefact before anything is changed."""
    try:
        made_for, tensors = json.loads(files[CONFIG]), load(files[TENSORS])
    except KeyError as error:
        raise CorruptArtefact(f"{error} is missing from the encoder: keep the old version") from None
    except (ValueError, SafetensorError) as error:
        raise CorruptArtefact(f"the encoder cannot be read ({error}): keep the old version") from None
    if made_for != identity:
        raise CorruptArtefact(f"the encoder's state is of {made_for}, this encoder is {identity}: "
                              "correct the settings or train a new first model")
    shapes = {name: (p.shape, p.dtype) for name, p in params.items()}
    if {name: (t.shape, t.dtype) for name, t in tensors.items()} != shapes:
        raise CorruptArtefact("the encoder's tensors have other names or shapes: keep the old version")
    with torch.no_grad():
        for name, p in params.items():
            p.copy_(tensors[name])


def digest(files: Mapping[str, bytes]) -> str:
    """16 hex digits of the tensors' content."""
    return hashlib.sha256(files[TENSORS]).hexdigest()[:16]
