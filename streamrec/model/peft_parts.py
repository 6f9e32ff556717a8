"""A few numbers beside the frozen layers that learn, through peft: LoRA (Hu et al. 2021), AdaLoRA
(Zhang et al. 2023), IA3 (Liu et al. 2022) and prefix tuning (Li and Liang 2021), on the top layers
only, so that what lies below can be cached.
"""

import warnings
from typing import Any

import torch
from torch import Tensor

from streamrec.model.trainable import Part

VIRTUAL_TOKENS = 8  # of prefix tuning
ORTHOGONAL = 0.1  # weight of AdaLoRA's penalty


class Peft(Part):
    """LoRA and IA3; the model's layers are changed in place."""

    def __init__(self, model: Any, config: Any) -> None:
        from peft import get_peft_model

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about names of classes that we do not use
            self.model: Any = get_peft_model(model, config)
        self.params = {n: p for n, p in self.model.named_parameters() if p.requires_grad}


class AdaLora(Peft):
    """LoRA as singular values, of which training drops the least useful ones."""

    _steps = 0

    def begin(self, steps: int) -> None:
        """See Part. The ranks shrink between the first tenth and the last third."""
        self._steps, config = steps, self.model.peft_config["default"]
        config.total_step, config.tinit, config.tfinal = steps, steps // 10, steps // 3
        self.model.base_model.rankallocator.reset_ipt()

    def penalty(self) -> Tensor | None:
        """Both sides' vectors should stay orthogonal, or their singular values mean nothing."""
        grams = [p @ p.T if ".lora_A." in n else p.T @ p
                 for n, p in self.params.items() if ".lora_E." not in n]
        return ORTHOGONAL * torch.stack([torch.norm(g - torch.eye(len(g)).to(g)) for g in grams]).mean()

    def stepped(self, step: int) -> None:
        """See Part. Too few steps say nothing about usefulness; nor does one without gradient."""
        if self._steps >= 3 and all(p.grad is not None for p in self.params.values()):
            self.model.base_model.update_and_allocate(step)


class Prefix(Peft):
    """A few learned keys and values that every token may look at."""

    def __init__(self, model: Any, config: Any) -> None:
        super().__init__(model, config)
        with torch.no_grad():
            # peft's unit normal numbers would drown the text: start as tokens that say nothing.
            self.model.prompt_encoder["default"].embedding.weight.mul_(0.02)

    def prompt(self, batch: int) -> list[tuple[Tensor, Tensor]]:
        """See Part."""
        return [(layer.keys, layer.values) for layer in self.model.get_prompt(batch).layers]


def attach(model: Any, kind: str, layers: int, rank: int) -> Part:
    """Freeze `model` and put the part of `kind` on its top `layers`."""
    from peft import AdaLoraConfig, IA3Config, LoraConfig, PrefixTuningConfig

    depth = len(model.encoder.layer)
    top = rf"encoder\.layer\.({'|'.join(map(str, range(depth - layers, depth)))})\."
    attention = top + r"attention\.self\.(query|value)"
    if kind == "lora":
        return Peft(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=attention))
    if kind == "adalora":
        return AdaLora(model, AdaLoraConfig(
            init_r=rank + max(rank // 2, 1), target_r=rank, target_modules=attention, total_step=1000))
    if kind == "ia3":
        feed_forward = top + r"output\.dense"
        return Peft(model, IA3Config(
            target_modules=rf"{top}attention\.self\.(key|value)|{feed_forward}",
            feedforward_modules=feed_forward))
    return Prefix(model, PrefixTuningConfig(
        task_type="FEATURE_EXTRACTION", num_virtual_tokens=VIRTUAL_TOKENS, num_layers=layers,
        token_dim=model.config.hidden_size, num_attention_heads=model.config.num_attention_heads,
        num_transformer_submodules=1))
