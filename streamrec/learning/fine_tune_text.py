"""Fine-tuning of the recommender and the text encoder together; the loop to read."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from streamrec.config import Trainer
from streamrec.learning import optimizer as adam
from streamrec.learning.examples import Examples, concat
from streamrec.learning.fine_tune import Base, FitResult, Plan, plan, warm_up
from streamrec.learning.packed import OverExamples
from streamrec.learning.text_step import AFFORDABLE, Gram
from streamrec.model.network import Recommender
from streamrec.model.tuned import TunedEncoder

GENTLER = 0.5  # times the net's scale in increments: what an encoder forgets it forgets for every article
PREFIX = "encoder."  # of the encoder's parameters in the optimizer's state


@dataclass(frozen=True)
class TextFit(FitResult):
    """`tokens`: forward and backward passes of a token through the whole transformer; k of its L
    layers count k/L, padding counts. In proportion to the energy used."""

    tokens: int


def fine_tune_text(
    net: Recommender, encoder: TunedEncoder, texts: Sequence[str], new: Examples,
    rehearsal: Examples, base_vectors: Base, settings: Trainer, *, first: bool, seed: int,
    lr_encoder: float | None = None, optimizer_state: adam.State | None = None,
    step_cap: int | None = None, gradient_articles: int | None = AFFORDABLE,
) -> TextFit:
    """Fit `net` and `encoder` in place on each new row `passes` times, rehearsal mixed into every
    batch. `texts` [N] and `base_vectors` [N, d] by article index; the vectors are out of date
    afterwards: `encoder.encode(texts)`.

    `lr_encoder`: the encoder's full rate, None: what suits its mode; later increments take half the
    `increment_scale` of it. `step_cap`: of steps, instead of `max_steps`; batches
    grow, which costs the encoder nothing. `gradient_articles`: articles of a batch that the encoder
    learns from, None: all.
    """
    started, tokens, losses = time.monotonic(), encoder.tokens, list[float]()
    capped = settings.model_copy(update={"max_steps": step_cap or settings.max_steps})
    sizes, both = plan(len(new), len(rehearsal), capped, first), concat([new, rehearsal])
    gram = Gram(encoder, texts, both, base_vectors, limit=gradient_articles, seed=seed)
    model = OverExamples(net.train(), both, base_vectors, encoder.device, gram, settings.loss)
    targets, rate = torch.from_numpy(both.target), lr_encoder or encoder.rate
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        optimizer = _optimizer(net, encoder, settings, first, rate, optimizer_state)
        encoder.begin(sizes.steps)
        for step, rows in enumerate(batches(len(new), len(rehearsal), sizes)):
            optimizer.zero_grad()
            gram.choose(rows)
            loss = model.loss(model(rows), targets[rows].to(model.device))  # encodes, then ranks
            loss.backward()  # type: ignore[no-untyped-call]
            gram.backward()
            if (penalty := encoder.penalty()) is not None:
                penalty.backward()  # type: ignore[no-untyped-call]
            adam.set_rates(optimizer, step, warm_up(settings, sizes.steps, first), sizes.steps)
            for learner in (net, encoder):  # apart: the larger norm must not silence the other
                nn.utils.clip_grad_norm_(learner.parameters(), settings.clip)
            optimizer.step()
            encoder.stepped(step + 1)
            losses.append(loss.item())
    net.cpu().eval()
    tail = losses[-max(len(losses) // 10, 1) :]
    state = adam.state_of([*net.named_parameters(), *_named(encoder)], optimizer)
    return TextFit(len(losses), time.monotonic() - started, float(np.mean(tail)), state,
                   sizes.passes, round(encoder.tokens - tokens))


def batches(new: int, old: int, sizes: Plan) -> Iterator[Tensor]:
    """Example numbers of each step: every new row once a pass, and `sizes.old` of the `old` rows
    behind them, all of which come round before any comes again. Draws from torch's seed."""
    memory = torch.randperm(old)
    for _ in range(sizes.passes):
        for rows in torch.split(torch.randperm(new), sizes.new):
            while len(memory) < sizes.old:
                memory = torch.cat([memory, torch.randperm(old)])
            again, memory = memory[: sizes.old], memory[sizes.old :]
            yield torch.cat([rows, new + again])


def _optimizer(
    net: Recommender, encoder: TunedEncoder, settings: Trainer, first: bool, rate: float,
    state: adam.State | None,
) -> torch.optim.Optimizer:
    """The net's groups and one for the encoder, with their state from the last increment."""
    optimizer = adam.build(net, settings, first, state)
    kind = adam.KINDS[settings.optimizer]
    rate *= kind.times * (1.0 if first else GENTLER * settings.increment_scale)
    optimizer.add_param_group({
        "params": encoder.parameters(), "lr": rate, "base": rate, "weight_decay": settings.weight_decay,
    })
    adam.restore(optimizer, _named(encoder), state, kind.slots)
    return optimizer


def _named(encoder: TunedEncoder) -> list[adam.Named]:
    """The encoder's parameters under the names that the optimizer's state knows them by."""
    return [(PREFIX + name, p) for name, p in encoder.named_parameters().items()]
