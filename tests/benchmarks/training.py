"""A training step through the text encoder, over the naive step that encodes every text in place
(in batches of 64 of like length, so it loses by what it repeats and not by padding).

64 examples of 10 reads and 21 candidates among 300 articles (a real step has 20 and 41: fewer
make the naive step bearable and the ratio smaller), texts of at most 16 tokens, MiniLM with its
top layer learning, one thread. Both compute a loss and all gradients; no optimizer.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from streamrec.learning.packed import OverExamples
from streamrec.learning.text_step import AFFORDABLE, Gram
from streamrec.model.tuned import TunedEncoder
from tests.benchmarks.measured import Figures, Say, Sizes, seconds
from tests.benchmarks.servers import REPOSITORY

BATCH, ARTICLES, READS, NEGATIVES = 64, 300, 10, 20
Step = Callable[[], None]


def measure(sizes: Sizes, figures: Figures, say: Say) -> None:
    """text_step_over_naive (default), exact_text_step_over_naive (every article has a gradient);
    text_step_examples_per_s and naive_text_step_examples_per_s. Caches are warm, as after the
    first steps of an increment."""
    torch.set_num_threads(1)
    say("training steps through the text encoder")
    batch = BATCH if sizes.repeats > 1 else 8  # only to see it run
    naive, step, exact = _steps(batch)
    for warm in (step, exact):
        warm()
    for _ in range(min(sizes.repeats, 3)):
        took = {"naive_": seconds(naive), "": seconds(step), "exact_": seconds(exact)}
        figures.ratio("text_step_over_naive", took["naive_"] / took[""])
        figures.ratio("exact_text_step_over_naive", took["naive_"] / took["exact_"])
        for name, s in took.items():
            figures.add(f"{name}text_step_examples_per_s", batch / s)


def _steps(batch: int) -> tuple[Step, Step, Step]:
    """The naive step, the default one, and the one in which every article has a gradient."""
    folder = str(REPOSITORY / "tests" / "learning")  # whose helpers import each other by name
    sys.path.insert(0, folder)
    import text_stream

    sys.path.remove(folder)
    texts = text_stream.texts(ARTICLES)
    some: Any = text_stream.examples(8 * batch, ARTICLES, READS, NEGATIVES).take(range(7 * batch, 8 * batch))
    net, base = text_stream.network(history=READS), text_stream.base_vectors(texts)
    rows, targets = torch.arange(batch), torch.from_numpy(some.target)

    def gram_step(gram: Gram, model: OverExamples) -> None:
        gram.choose(rows)
        model.loss(model(rows), targets).backward()  # type: ignore[no-untyped-call]
        gram.backward()

    def ours(limit: int | None) -> Step:
        gram = Gram(TunedEncoder(text_stream.ENCODER, "top:1"), texts, some, base, limit=limit, seed=0)
        return partial(gram_step, gram, OverExamples(net, some, base, torch.device("cpu"), gram))

    plain = TunedEncoder(text_stream.ENCODER, "top:1", dtype=torch.float32)

    def naive() -> None:
        text_stream.naive_loss(net, plain, texts, some, rows.numpy()).backward()

    return naive, ours(AFFORDABLE), ours(None)
