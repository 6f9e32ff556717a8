"""A model's files: safetensors weights and a JSON config, complete enough to serve. No pickle."""

import json
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from streamrec.errors import CorruptArtefact, OtherFeatures
from streamrec.model.features import FEATURES
from streamrec.model.network import Recommender

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def to_files(net: Recommender, meta: dict[str, Any]) -> dict[str, bytes]:
    """The two files of a version; `meta` is any JSON (encoder fingerprint, metrics, …)."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    shape = {"dim": net.dim, "history": net.history, "dropout": net.dropout}
    config = {"model": shape, "features": list(FEATURES), "meta": meta}
    return {WEIGHTS: save(tensors), CONFIG: json.dumps(config, indent=1).encode()}


def from_files(files: Mapping[str, bytes]) -> tuple[Recommender, dict[str, Any]]:
    """The network, in eval mode, and `meta`.

    Raises OtherFeatures if it was made for those, CorruptArtefact if a file is missing, unreadable, or made
    for other shapes.
    """
    try:
        config = json.loads(files[CONFIG])
        tensors = load(files[WEIGHTS])
        _refuse_other(config["features"])
        net, meta = Recommender(**config["model"]), config["meta"]
        net.load_state_dict(tensors)
    except KeyError as error:
        raise CorruptArtefact(f"{error} is missing from the model: keep the old version") from None
    except (ValueError, TypeError, RuntimeError, SafetensorError) as error:
        first = str(error).splitlines()[0]
        raise CorruptArtefact(f"the model cannot be read ({first}): keep the old version") from None
    return net.eval(), meta


def _refuse_other(made_for: list[str]) -> None:
    if made_for != list(FEATURES):
        raise OtherFeatures(
            f"the model needs features {made_for}, this streamrec computes {list(FEATURES)}: the trainer "
            "makes a new first model from what comes now; until then the untrained one answers"
        )
