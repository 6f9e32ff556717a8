"""A million articles: how a scorer starts from a snapshot, what it holds in memory, how much of the exact
lists its index finds and how fast it answers. Each step in a process of its own, for its memory's sake.

`python -m tests.benchmarks.large write|start FOLDER ARTICLES`
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from streamrec.adapters.files import FsspecStore
from streamrec.adapters.memory import MemoryBuffer, MemoryPointers
from streamrec.catalogue import Changes, Entry, Vectors
from streamrec.config import Buffer
from streamrec.config import Scorer as Settings
from streamrec.registry import Registry
from streamrec.replay import Applied
from streamrec.scoring import Ask, Scorer, Served, ServingState
from streamrec.scoring.snapshot import Snapshots
from tests.benchmarks.measured import Figures, Say, Sizes, seconds
from tests.benchmarks.models import DIM, network
from tests.benchmarks.stream import START

TOPICS, READERS, READS, PAGE = 1000, 500, 3000, 2000


class _Read:
    """A catalogue that is only read: nobody else scores."""

    def explored(self, given: Mapping[str, int]) -> Mapping[str, int]:
        """See streamrec.catalogue.Catalogue."""
        return given


class Paged(_Read):
    """What a scorer reads of a catalogue: n articles around TOPICS centres, a page at a time."""

    def __init__(self, n: int) -> None:
        self._n, rng = n, np.random.default_rng(0)
        self._vectors: Vectors = np.empty((n, DIM), np.float16)
        centres = rng.standard_normal((TOPICS, DIM), np.float32)
        for start in range(0, n, 50_000):
            k = min(50_000, n - start)
            found = centres[rng.integers(0, TOPICS, k)] + 1.2 * rng.standard_normal((k, DIM), np.float32)
            self._vectors[start : start + k] = found / np.linalg.norm(found, axis=1, keepdims=True)

    def changes(self, since: int, limit: int = PAGE) -> Changes:
        """See streamrec.catalogue.Catalogue."""
        end = min(since + limit, self._n)
        return Changes(end, [_entry(i) for i in range(since, end)], self._vectors[since:end], [])


class Still(_Read):
    """A catalogue in which nothing changes any more."""

    def changes(self, since: int, limit: int = PAGE) -> Changes:
        """See streamrec.catalogue.Catalogue."""
        empty: Vectors = np.zeros((0, DIM), np.float16)
        return Changes(since, [], empty, [])

    def newest(self) -> int:
        """See streamrec.catalogue.Catalogue."""
        return sys.maxsize

    def identity(self) -> str:
        """See streamrec.catalogue.Catalogue."""
        return "bench"


def _entry(i: int) -> Entry:
    title = f"A title of several words, number {i}, about {i % 977} and {i % 501}"
    tags = [f"t{i % 300}", f"u{i % 50}"]
    return Entry(f"article-{i:07d}", title, START - i, tags, "en", str(i), f"s{i % 999}")


def measure(sizes: Sizes, figures: Figures, say: Say) -> None:
    """index_recall_1m, start_1m_s, memory_over_vectors_1m, answers over those without an index."""
    with TemporaryDirectory(prefix="large") as folder:
        say(f"a snapshot of {sizes.huge_articles} articles")
        _step("write", folder, sizes.huge_articles, figures)
        say("a scorer starts from it")
        _step("start", folder, sizes.huge_articles, figures)


def _step(name: str, folder: str, articles: int, figures: Figures) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.large", name, folder, str(articles)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=one_thread)
    for kind, values in json.loads(done.stdout.splitlines()[-1]).items():
        for figure, value in values.items():
            (figures.ratio if kind == "ratios" else figures.add)(figure, value)


def _snapshots(folder: Path) -> Snapshots:
    return Snapshots(Registry(FsspecStore(str(folder)), MemoryPointers()), Still(), "bench")  # type: ignore[arg-type]


def write(folder: Path, n: int) -> dict[str, dict[str, float]]:
    """From the catalogue page by page, and the snapshot."""
    state = ServingState(MemoryBuffer(Buffer()), Paged(n), Buffer(), DIM)  # type: ignore[arg-type]
    followed, written = seconds(state.sync), seconds(lambda: _snapshots(folder).keep(state, least=1))
    return {"absolute": {"follow_1m_s": followed, "write_snapshot_1m_s": written}}


def start(folder: Path, n: int) -> dict[str, dict[str, float]]:
    """Until the first answer, and answers with and without the index."""
    buffer, began = _buffer(n), time.perf_counter()
    state, texts = _snapshots(folder).begin(
        lambda: ServingState(buffer, Still(), Buffer(), DIM))  # type: ignore[arg-type]
    assert texts is not None
    served = Served("1", network(1), exact=n // 10)
    served.covered_at = state.articles.cursor
    served.cover(state.articles.vectors)
    rng = np.random.default_rng(1)
    served.search = served.searched(rng.integers(0, n, (200, 3)).tolist(), texts)
    scorer = Scorer(state, buffer, served, Settings(), 1)
    scorer.follow()
    scorer.rank([Ask("reader-0", 10)])
    started, memory = time.perf_counter() - began, _anonymous() / (2 * DIM * n)
    took = {batch: _answers(scorer, batch, 5) for batch in (1, 16, 64)}
    served.search, search = None, served.search
    exact = _answers(scorer, 1, 2)
    assert search is not None
    return {
        "ratios": {"index_recall_1m": search.recall, "memory_over_vectors_1m": memory,
                   "answer_exact_over_indexed_1m": exact / took[1]},
        "absolute": {"start_1m_s": started, "answer_1m_ms": 1000 * took[1],
                     "answer_exact_1m_ms": 1000 * exact, **{
                         f"answers_per_s_1m_batch_{b}": b / s for b, s in took.items()}},
    }


def _buffer(n: int) -> MemoryBuffer:
    buffer, rng = MemoryBuffer(Buffer()), np.random.default_rng(2)
    events = [
        Applied(i, f"{i:016x}", f"{i:016x}", f"reader-{i % READERS}", f"article-{rng.integers(0, n):07d}",
                "click", START + i, [], 1.0, -1.0 / (i + 1)) for i in range(READS)
    ]
    buffer.apply(0, buffer.claim(0, "bench", 1), "bench", events, READS, START)
    return buffer


def _answers(scorer: Scorer, batch: int, times: int) -> float:
    """Seconds of one batch."""
    rng = np.random.default_rng(batch)
    asks = [[Ask(f"reader-{u}", 10) for u in rng.integers(0, READERS, batch)] for _ in range(times + 1)]
    return median([seconds(lambda some=some: scorer.rank(some)) for some in asks][1:])


def _anonymous() -> float:
    """Bytes of this process that are its own, not a file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024.0 * int(line.split()[1])
    return float("nan")


if __name__ == "__main__":
    torch.set_num_threads(1)
    step: Any = {"write": write, "start": start}[sys.argv[1]]
    print(json.dumps(step(Path(sys.argv[2]), int(sys.argv[3]))))
