"""Publishing a model and ranking with it, in this process and on one thread."""

from functools import partial

import numpy as np
import torch

from streamrec.adapters.memory import MemoryBuffer, MemoryCatalogue
from streamrec.catalogue import Entry, Owed, Vectors
from streamrec.config import Buffer, Model
from streamrec.config import Scorer as Settings
from streamrec.events import Feedback
from streamrec.model.network import Recommender
from streamrec.replay import Applied, ReplayBuffer
from streamrec.scoring import Ask, Scorer, Served, ServingState
from streamrec.scoring.choose import WIDE, Caps, choose
from tests.benchmarks.measured import Figures, Say, Sizes, seconds
from tests.benchmarks.stream import READERS, START, only_rows

DIM, BATCH = 384, 64


def network(seed: int) -> Recommender:
    """A network whose matrices are not the identity."""
    torch.manual_seed(seed)
    net = Recommender.initial(DIM, Model())
    with torch.no_grad():
        net.head.weight += 0.02 * torch.randn(DIM, DIM)
    return net


def entries(n: int) -> list[Entry]:
    """n articles, published over the days before the stream."""
    return [
        Entry(f"article-{i:06d}", f"Title {i}", START - 60.0 * i, ["news"], "en", str(i))
        for i in range(n)
    ]


def vectors(n: int) -> Vectors:
    """[n, DIM] of norm 1 in random directions."""
    found = np.random.default_rng(0).standard_normal((n, DIM), np.float32)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def measure(sizes: Sizes, figures: Figures, say: Say) -> None:
    """publish_over_matmul, answers_over_matmul and scorer_answers_per_s."""
    torch.set_num_threads(1)
    say("publishing a model")
    _publish(sizes, figures)
    _varied(sizes, figures)
    for label, n in (("3k", sizes.articles), ("100k", sizes.many_articles)):
        say(f"ranking {n} articles")
        _rank(label, n, sizes, figures)


def _publish(sizes: Sizes, figures: Figures) -> None:
    base = vectors(sizes.published)
    plain, square = torch.from_numpy(base.astype(np.float32)), torch.randn(DIM, DIM)
    net = network(1)
    for _ in range(max(sizes.repeats, 5) + 1):  # the first warms up
        product = seconds(lambda: plain @ square)
        published = seconds(lambda: Served("1", net).cover(base))
        figures.ratio("publish_over_matmul", published / product)
        figures.add("publish_20k_articles_ms", published * 1000)
    for runs in (figures.ratios["publish_over_matmul"], figures.absolute["publish_20k_articles_ms"]):
        del runs[0]


def _varied(sizes: Sizes, figures: Figures) -> None:
    """diverse_list_of_200_ms: a varied list of ten among 200 candidates."""
    scores = np.linspace(1, 0, WIDE, dtype=np.float32)
    found, known = vectors(WIDE).astype(np.float32), entries(WIDE)
    for _ in range(max(sizes.repeats, 5)):
        took = seconds(lambda: choose(scores, found, known, 10, 0.5, Caps(0, 0), 0.95))
        figures.add("diverse_list_of_200_ms", took * 1000)


def _rank(label: str, n: int, sizes: Sizes, figures: Figures) -> None:
    buffer = MemoryBuffer(Buffer())
    _fill(buffer, only_rows(min(20_000, 100 * sizes.batches)))
    catalogue = MemoryCatalogue(DIM)
    catalogue.put(entries(n), {e.item_id: "text" for e in entries(n)})
    owed = [Owed(e.item_id, e.text_hash, "text") for e in entries(n)]
    catalogue.fill(list(zip(owed, vectors(n), strict=True)))
    state = ServingState(buffer, catalogue, Buffer(), DIM)
    scorer = Scorer(state, buffer, Served("1", network(1)), Settings(), 1)
    scorer.follow()
    rng, bare = np.random.default_rng(1), torch.randn(n, DIM)
    for batch in (1, 16, BATCH):
        readers = torch.randn(batch, DIM)
        for k in range(sizes.repeats + 1):
            asks = [Ask(f"reader-{u:06d}", 10) for u in rng.integers(0, READERS, batch)]
            product, ranked = seconds(lambda r=readers: r @ bare.T), seconds(partial(scorer.rank, asks))
            if k:  # the first warms up
                figures.ratio(f"answers_over_matmul_{label}_batch_{batch}", product / ranked)
                figures.add(f"scorer_answers_per_s_{label}_batch_{batch}", batch / ranked)


def _fill(buffer: ReplayBuffer, events: list[Feedback]) -> None:
    claim = buffer.claim(0, "bench", 1)
    applied = [
        Applied(i, e.event_id[:16], e.event_id, e.user_id, e.item_id or "", e.event_type,
                START + i * 0.05, [], 1.0, -1.0 / (i + 1))
        for i, e in enumerate(events)
    ]
    buffer.apply(0, claim, "bench", applied, len(applied), START)
