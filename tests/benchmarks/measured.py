"""What the measurements return, and how they are repeated."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """How much is measured: `full` for figures, `quick` to see that it runs."""

    repeats: int = 5
    backlog: int = 100_000
    worst_backlog: int = 40_000
    batches: int = 40
    messages: int = 20_000
    articles: int = 3000
    more_articles: int = 10_000
    many_articles: int = 100_000
    huge_articles: int = 1_000_000
    published: int = 20_000
    requests_per_s: float = 30.0
    window_s: float = 20.0  # so that all repeats together see a hundred swaps
    clicks_s: float = 4.0
    http_s: float = 4.0


QUICK = Sizes(
    repeats=1, backlog=3000, worst_backlog=2000, batches=4, messages=1000, articles=500,
    more_articles=1000, many_articles=2000, huge_articles=12_000, published=2000,
    window_s=3.0, clicks_s=1.5, http_s=0.7,
)


@dataclass
class Figures:
    """Ratios that hold anywhere, and absolute figures of this machine; each with all its runs."""

    ratios: dict[str, list[float]] = field(default_factory=dict)
    absolute: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, name: str, value: float) -> None:
        """One repetition's ratio."""
        self.ratios.setdefault(name, []).append(value)

    def add(self, name: str, value: float) -> None:
        """One repetition's absolute figure."""
        self.absolute.setdefault(name, []).append(value)

    def medians(self, kind: dict[str, list[float]]) -> dict[str, float]:
        """Name -> median over repetitions."""
        return {name: median(values) for name, values in kind.items()}


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    began = perf_counter()
    action()
    return perf_counter() - began


def p99(values: list[float]) -> float:
    """Of at least one value."""
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]
