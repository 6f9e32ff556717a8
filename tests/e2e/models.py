"""A catalogue, readers and model versions of known weights, written as the product writes them."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace

from streamrec.catalogue import Entry
from streamrec.config import Model
from streamrec.model.bundle import from_files, to_files
from streamrec.model.features import all_features
from streamrec.model.network import Recommender
from streamrec.registry import VersionRecord
from streamrec.replay import Applied, a_res_key, digest
from streamrec.scoring import ServingState
from streamrec.wiring import BOARD_ENCODER
from tests.e2e.harness import Stack

DIM, ENCODER, NOW, ARTICLES, READERS = 32, "e2e", 1_700_000_000.0, 200, 60
Scores = dict[str, dict[str, float]]  # reader -> article -> score


def fill_catalogue(stack: Stack, names: list[str], seed: int = 5) -> None:
    """Articles with random vectors, as if an encoder of 32 dimensions had made them."""
    stack.parts.board.put(BOARD_ENCODER, {"dim": DIM, "fingerprint": ENCODER})
    catalogue = stack.parts.catalogue(DIM)
    entries = [Entry(n, f"title {n}", NOW - 60 * i, [], "en", f"{n}-{seed}")
               for i, n in enumerate(names)]
    catalogue.put(entries, {e.item_id: e.title for e in entries})
    owed = catalogue.owed(len(names))
    vectors = np.random.default_rng(seed).normal(size=(len(owed), DIM)).astype(np.float16)
    catalogue.fill(list(zip(owed, vectors, strict=True)))


def names() -> list[str]:
    """Of all articles."""
    return [f"a{i}" for i in range(ARTICLES)]


def feed(stack: Stack, first: int, reads: int) -> None:
    """Clicks number `first` and on straight into the buffer; a reader likes one in five."""
    rng, buffer = np.random.default_rng(first), stack.parts.buffer
    for p in range(4):
        claim = buffer.claim(p, "e2e", 1)
        offset = claim.next_offset or 0
        clicks = range(first + p, first + reads, 4)
        batch = [_click(offset + i, n, rng) for i, n in enumerate(clicks)]
        buffer.apply(p, claim, "e2e", batch, offset + len(batch), time.time())


def _click(offset: int, n: int, rng: np.random.Generator) -> Applied:
    reader = int(rng.integers(READERS))
    article = int(rng.integers(ARTICLES)) // 5 * 5 + reader % 5
    d = digest(f"e{n}")
    return Applied(offset, d, f"e{n}", f"u{reader}", f"a{article}", "click", NOW + n, [], 1.0,
                   a_res_key(d))


def network(seed: int) -> Recommender:
    """The untrained prior, a little different for each seed."""
    net = Recommender.initial(DIM, Model())
    torch.manual_seed(seed)
    with torch.no_grad():
        net.head.weight += 0.02 * torch.randn(DIM, DIM)
        net.weights += 0.05 * torch.randn(len(net.weights))
    return net


def publish(stack: Stack, seed: int, spoil: Callable[[Any], None] = lambda folder: None) -> str:
    """Stage a version and move the pointer to it; `spoil` damages the folder in between."""
    registry = stack.parts.registry
    name, old = registry.new_name(), registry.current()
    registry.stage("versions", name, to_files(network(seed), {"encoder": ENCODER}), cursor={})
    spoil(stack.home / "models" / "versions" / name)
    record = VersionRecord(version=name, parent=old.version, created_at=time.time(), rows=0,
                           learned_until=0.0, metrics={})
    new = replace(old, version=name, attempt=old.attempt + 1, published_at=time.time())
    registry.pointers.move(new, old.attempt, None, record)
    return name


@torch.no_grad()
def scores(stack: Stack, version: str) -> Scores:
    """What `version` gives every article for every reader, from the registry's files."""
    buffer = stack.parts.buffer
    state = ServingState(buffer, stack.parts.catalogue(DIM), stack.settings.buffer, DIM)
    state.sync()
    net, _ = from_files(stack.parts.registry.load("versions", version).files)
    articles = net.articles(torch.from_numpy(state.articles.vectors.astype(np.float32)))
    histories = buffer.histories([f"u{i}" for i in range(READERS)])
    return {user: _of_reader(state, net, articles, [r.item for r in history])
            for user, history in histories.items()}


def _of_reader(
    state: ServingState, net: Recommender, articles: torch.Tensor, reads: list[str]
) -> dict[str, float]:
    index, now = state.articles.index, state.now()
    rows = [index[i] for i in reads][: net.history]
    hist = torch.zeros(1, net.history, DIM)
    hist[0, : len(rows)] = articles[rows]
    reader = net.readers(hist, torch.arange(net.history)[None] < len(rows))
    everything = np.arange(len(articles))
    feats = all_features(state.counters, now, everything, rows, state.articles.vectors, state.words)
    found = net.score(reader, articles, torch.from_numpy(feats)[None])[0]
    return {e.item_id: float(s) for e, s in zip(state.articles.entries, found, strict=True)}
