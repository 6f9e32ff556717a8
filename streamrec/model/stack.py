"""A transformer's layers, walked one by one: its own forward cannot start in the middle."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from streamrec.model.trainable import Part

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert")  # whose layers are called like BERT's


class Stack:
    """The layers of `model` [d dimensions]; `pad`: the tokenizer's id of padding."""

    def __init__(self, model: Any, pad: int, part: Part) -> None:
        self.model, self._pad, self._part = model, pad, part

    def padded(self, states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """[n, t, d] hidden states (ids are embedded) and the mask [n, t], True: a real token."""
        pad = self._pad if states[0].dim() == 1 else 0.0
        padded = nn.utils.rnn.pad_sequence(list(states), batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(s) for s in states])
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).to(self.model.device)
        padded = padded.to(self.model.device)
        return (padded.float() if padded.dim() == 3 else self.model.embeddings(padded.long())), mask

    def walk(self, hidden: Tensor, mask: Tensor, layers: range) -> Tensor:
        """Hidden states [n, t, d] behind `layers`; a learned prompt stands before the learning ones."""
        from transformers import DynamicCache

        before = self._part.prompt(len(hidden)) if layers.stop == len(self.model.encoder.layer) else []
        if before:
            mask = torch.cat([mask.new_ones(len(mask), before[0][0].shape[2]), mask], dim=1)
        prompt: Any = DynamicCache() if before else None
        for i, (keys, values) in enumerate(before, layers.start):
            prompt.update(keys, values, i)
        for i in layers:
            hidden = self.model.encoder.layer[i](hidden, mask[:, None, None], past_key_values=prompt)
        return hidden
