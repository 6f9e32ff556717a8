"""Fine-tuning: where the model learns. `plain_fit` is the loop to read; `fine_tune` is the same
training as an Avalanche strategy, so that its plugins can be added. A test holds the two to
the same weights.
"""

import math
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrec.config import Trainer
from streamrec.errors import SetupError
from streamrec.learning import optimizer as adam
from streamrec.learning.examples import Examples, concat
from streamrec.learning.packed import OverExamples
from streamrec.model.network import Recommender

Base = NDArray[np.float16]
FEWEST_STEPS, MOST_PASSES = 28, 8  # of a first model
FEW_STEPS, FEW_PASSES = 12, 4  # of an increment


@dataclass(frozen=True)
class FitResult:
    """What a fit did; `loss` is the mean over its last tenth of steps, `passes` how often it saw each row."""

    steps: int
    seconds: float
    loss: float
    optimizer_state: adam.State
    passes: int


@dataclass(frozen=True)
class Plan:
    """Sizes of a fit. The step cap never drops rows: batches grow instead."""

    new: int
    old: int
    passes: int
    steps: int

    @property
    def each(self) -> int:
        """Steps of one pass."""
        return self.steps // self.passes


def plan(new: int, rehearsal: int, settings: Trainer, first: bool) -> Plan:
    """How many new and rehearsed rows a batch has, and how many steps follow. Few rows are passed over
    more often: a first model would stand below the prior that it begins as after a dozen steps, and an
    increment of half a dozen learns nothing but noise."""
    passes = settings.first_passes if first else settings.passes
    share = settings.rehearsal_share if rehearsal else 0.0
    old = min(round(settings.batch * share), settings.batch - 1)
    size = max(settings.batch - old, math.ceil(new / max(settings.max_steps // passes, 1)))
    old = round(size * old / (settings.batch - old))
    each = math.ceil(new / size)
    if first and each:
        passes = max(passes, min(MOST_PASSES, min(FEWEST_STEPS, settings.max_steps) // each))
    elif each:
        passes = max(passes, min(FEW_PASSES, math.ceil(FEW_STEPS / each), settings.max_steps // each))
    return Plan(size, old, passes, passes * each)


def warm_up(settings: Trainer, steps: int, first: bool) -> int:
    """Steps until the full rates; of a short first fit a fifth at most."""
    return min(settings.warmup_steps, steps // 5) if first else settings.warmup_steps


def fine_tune(
    net: Recommender, new: Examples, rehearsal: Examples, base_vectors: Base, settings: Trainer, *,
    optimizer_state: adam.State | None = None, first: bool, seed: int,
    plugins: Sequence[Any] = (), tail: Examples | None = None,
) -> FitResult:
    """Fit `net` in place on each new row `passes` times, rehearsal rows mixed into every batch.

    `base_vectors` [N, d] are the text vectors by article index. `first`: full learning rates and
    `first_passes`; otherwise `increment_scale` of them. `plugins`: further Avalanche plugins. With a `tail`
    of rows held out, the `passes` of an increment end as soon as one helps it no more (see EarlyStopping).
    Raises SetupError if Avalanche is not installed.
    """
    rehearsing, strategy, stopping = _avalanche()
    started, losses = time.monotonic(), list[float]()
    sizes, both = plan(len(new), len(rehearsal), settings, first), concat([new, rehearsal])
    rows, targets = torch.arange(len(both)), torch.from_numpy(both.target)
    window = strategy.dataset(rows[: len(new)], targets[: len(new)])
    memory = strategy.dataset(rows[len(new) :], targets[len(new) :])
    replay = [rehearsing.replay_plugin(memory, sizes.new, sizes.old)] if sizes.old else []
    several = tail is not None and len(tail) and settings.passes > 1 and not first
    stop = [stopping.EarlyStopping(net, tail, base_vectors)] if several else []
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Avalanche 0.6 warns about its own deprecated calls
        torch.manual_seed(seed)
        optimizer = adam.build(net, settings, first, optimizer_state)
        strategy.FineTuning(
            model=OverExamples(net.train(), both, base_vectors, device_of(settings.device),
                               loss=settings.loss),
            optimizer=optimizer, batch=sizes.new, passes=sizes.passes,
            steps=sizes.each if stop else sizes.steps, warmup=warm_up(settings, sizes.steps, first),
            clip=settings.clip,
            report=lambda loss: losses.append(loss.item()), plugins=[*stop, *replay, *plugins],
        ).train(strategy.experience(window), eval_streams=[])
    return _result(net, optimizer, losses, started, len(losses) // sizes.each)


def warm() -> None:
    """Import what a fit needs: that takes seconds, which the first window need not wait for."""
    with suppress(SetupError):  # a fit will say so
        _avalanche()


def _avalanche() -> tuple[Any, Any, Any]:
    """Our modules that need Avalanche."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses solvers that we do without
            from streamrec.learning import early_stopping, rehearsal, strategy
    except ModuleNotFoundError as error:
        raise SetupError(f"{error.name} is missing: pip install 'streamrec[train]'") from None
    return rehearsal, strategy, early_stopping


def plain_fit(
    net: Recommender, examples: Examples, base_vectors: Base, settings: Trainer,
    batches: Sequence[Tensor], *, optimizer_state: adam.State | None = None, first: bool,
) -> FitResult:
    """The training loop by hand, over given batches of example numbers [B]."""
    started, losses, targets = time.monotonic(), [], torch.from_numpy(examples.target)
    model = OverExamples(net.train(), examples, base_vectors, device_of(settings.device),
                         loss=settings.loss)
    optimizer = adam.build(net, settings, first, optimizer_state)
    for step, rows in enumerate(batches):
        loss = model.loss(model(rows), targets[rows].to(model.device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.set_rates(optimizer, step, warm_up(settings, len(batches), first), len(batches))
        torch.nn.utils.clip_grad_norm_(net.parameters(), settings.clip)
        optimizer.step()
        losses.append(loss.item())
    return _result(net, optimizer, losses, started, settings.passes)


def _result(
    net: Recommender, optimizer: torch.optim.Optimizer, losses: list[float], started: float, passes: int
) -> FitResult:
    tail = losses[-max(len(losses) // 10, 1) :]
    net.cpu().eval()
    return FitResult(len(losses), time.monotonic() - started, float(np.mean(tail)),
                     adam.state_of(net.named_parameters(), optimizer), passes)


def device_of(name: str) -> torch.device:
    """The device that a setting names; auto: a GPU if there is one. Raises SetupError."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise SetupError("STREAMREC_TRAINER__DEVICE=cuda, but torch sees no GPU: set auto or cpu, or "
                         "install a torch built for this machine's driver")
    return torch.device("cuda" if there and name != "cpu" else "cpu")
