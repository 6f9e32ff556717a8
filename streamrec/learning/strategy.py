"""The Avalanche strategy: its training loop and plugins, with our batches, loss and optimizer.

A batch is two LongTensors, example numbers and target slots, so that Avalanche's plugins (EWC, MAS,
A-GEM, ...) work unchanged; `OverExamples` looks the examples up inside the model's forward.
"""

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.benchmarks.scenarios.dataset_scenario import DatasetExperience
from avalanche.benchmarks.scenarios.generic_scenario import CLStream
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from streamrec.learning.optimizer import set_rates
from streamrec.learning.packed import OverExamples, Report


def dataset(rows: Tensor, targets: Tensor) -> AvalancheDataset:
    """Example numbers [R] and target slots [R] as Avalanche sees them."""
    return AvalancheDataset([TensorDataset(rows, targets)])


def experience(data: AvalancheDataset) -> DatasetExperience:
    """The window as one Avalanche experience."""
    found = DatasetExperience(dataset=data, current_experience=0)
    found.origin_stream = CLStream("train", [])
    return found


class FineTuning(SupervisedTemplate):  # type: ignore[misc]
    """SupervisedTemplate whose four overrides keep our collate, optimizer state and clipping. The rates fall
    to nothing within `steps` steps, and do so again if there are more."""

    def __init__(
        self, *, model: OverExamples, optimizer: torch.optim.Optimizer, batch: int, passes: int,
        steps: int, warmup: int, clip: float, report: Report, plugins: Sequence[Any],
    ) -> None:
        super().__init__(
            model=model, optimizer=optimizer, criterion=model.loss, train_mb_size=batch,
            train_epochs=passes, device=model.device, plugins=list(plugins),
            # The default evaluator prints, and collects without bound.
            evaluator=EvaluationPlugin(collect_all=False), eval_every=-1,
        )
        self.planned, self.warmup, self.clip, self.report, self.steps = steps, warmup, clip, report, 0

    def _unpack_minibatch(self) -> None:
        self.mbatch: list[Tensor] = [part.to(self.device) for part in self.mbatch]

    def make_train_dataloader(self, **kwargs: Any) -> None:
        """Without rehearsal; ReplayPlugin puts its own loader in place of this one."""
        self.dataloader = DataLoader(
            self.adapted_dataset, batch_size=self.train_mb_size, shuffle=True
        )

    def make_optimizer(self, **kwargs: Any) -> None:
        """Keep our groups and Adam state: Avalanche's own version wipes them."""
        self.optimized_param_id = dict(self.model.named_parameters())

    def optimizer_step(self) -> None:
        """Warm-up and clipping around the step."""
        warmup = self.warmup if self.steps < self.planned else 0
        set_rates(self.optimizer, self.steps % self.planned, warmup, self.planned)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.steps += 1
        self.report(self.loss)
