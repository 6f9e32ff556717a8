"""A catalogue, readers and model versions of known weights, written as the product writes them."""

import time
from collections.abc import Mapping

import numpy as np
import torch

from streamrec.broker import Partition
from streamrec.catalogue import Entry
from streamrec.model.bundle import to_files
from streamrec.model.network import Recommender
from streamrec.registry import Pointer, VersionRecord
from streamrec.replay import Applied, a_res_key, digest
from streamrec.wiring import BOARD_ENCODER
from tests.e2e.harness import Stack

DIM, ENCODER, NOW = 32, "e2e", 1_700_000_000.0


def fill_catalogue(stack: Stack, articles: int) -> None:
    """Articles `a0`… with random vectors, as if an encoder of 32 dimensions had made them."""
    stack.parts.board.put(BOARD_ENCODER, {"dim": DIM, "fingerprint": ENCODER})
    catalogue = stack.parts.catalogue(DIM)
    entries = [Entry(f"a{i}", f"title {i}", NOW - 60 * i, [], "en", f"h{i}")
               for i in range(articles)]
    catalogue.put(entries, {e.item_id: e.title for e in entries})
    owed = catalogue.owed(articles)
    vectors = np.random.default_rng(5).normal(size=(len(owed), DIM)).astype(np.float16)
    catalogue.fill(list(zip(owed, vectors, strict=True)))


def feed(stack: Stack, reads: int, articles: int, readers: int = 60, start: int = 0) -> None:
    """`reads` clicks straight into the buffer; readers of one fifth like the same articles."""
    rng = np.random.default_rng(start)
    for p in range(stack.settings.kafka.partitions):
        events = [_click(n, rng, articles, readers) for n in range(start + p, start + reads, 4)]
        buffer = stack.parts.buffer
        claim = buffer.claim(p, "e2e", 1)
        offset = claim.next_offset or 0
        batch = [_applied(offset + i, e) for i, e in enumerate(events)]
        buffer.apply(p, claim, "e2e", batch, offset + len(batch), time.time())


def _click(n: int, rng: np.random.Generator, articles: int, readers: int) -> tuple[int, int, int]:
    reader = int(rng.integers(readers))
    return n, reader, (int(rng.integers(articles)) // 5 * 5 + reader % 5) % articles


def _applied(offset: int, event: tuple[int, int, int]) -> Applied:
    n, reader, article = event
    d = digest(f"e{n}")
    return Applied(offset, d, f"e{n}", f"u{reader}", f"a{article}", "click", NOW + n, [], 1.0,
                   a_res_key(d))


def network(seed: int) -> Recommender:
    """The untrained prior, a little different for each seed."""
    net = Recommender.initial(DIM, Stack.model)
    torch.manual_seed(seed)
    with torch.no_grad():
        net.head.weight += 0.02 * torch.randn(DIM, DIM)
        net.weights += 0.05 * torch.randn(len(net.weights))
    return net


def publish(stack: Stack, seed: int, spoil: Mapping[str, object] | None = None) -> str:
    """Stage a version and move the pointer to it; `spoil` happens in between."""
    registry = stack.parts.registry
    name, old = registry.new_name(), registry.current()
    registry.stage("versions", name, to_files(network(seed), {"encoder": ENCODER}), cursor={})
    return name if spoil is None else name


__all__ = ["Partition", "Pointer", "VersionRecord"]
