"""How a reader of the demo site reacts to a slate.

Deliberately not of the recommender's form: no dot product, no softmax. A topic appeals only above a
threshold and then saturates, topics combine by a noisy-OR, and what is clicked depends on the
position, on how tired the reader is of the topic and of the session, and on chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

THRESHOLD, HALF = 0.10, 0.30
"""Overlap of article and interest that leaves a reader cold; excess over it that half wins."""
CLICK_RATE = 0.65
"""Chance that an examined, perfectly relevant article is opened by a rested reader."""
ACCIDENT = 0.002
"""Chance of a click for no reason at all."""
MOOD_SIGMA = 0.4
"""Spread (log scale) of how much a reader feels like clicking, drawn anew at every visit."""
MAX_CLICKS = 3
MEMORY = 0.01
"""Time, in fractions of the demo, after which a reader's tiredness has fallen to 1/e."""


class Click(NamedTuple):
    """One click: what, where in the slate (0 is the top), and seconds spent reading."""

    item_id: str
    position: int
    dwell_s: float


@dataclass
class Memory:
    """What a reader is tired of: recent topics [topics], slates this session, articles read."""

    topics: Floats
    slates: float = 0.0
    visits: int = 0
    last: float = 0.0
    read: set[str] = field(default_factory=set)

    def rested(self, progress: float) -> "Memory":
        """This memory at `progress`: tiredness fades, what was read stays read."""
        fade = float(np.exp(-max(0.0, progress - self.last) / MEMORY))
        return Memory(self.topics * fade, self.slates * fade, self.visits, progress, self.read)

    def note(self, mains: Ints, clicks: Sequence[Click]) -> None:
        """Remember a slate: an article shown tires a little of its topic, one read tires more."""
        np.add.at(self.topics, mains, 0.1)
        for click in clicks:
            self.topics[mains[click.position]] += 1.0
            self.read.add(click.item_id)
        self.slates += 1.0
        self.visits += 1


def examination(n: int) -> Floats:
    """Chance [n] that a reader looks at each position at all."""
    return 1.0 / (1.0 + 0.25 * np.arange(n, dtype=np.float64))


def appeal(mixture: Floats, broad: Floats, quality: Floats, interest: Floats) -> Floats:
    """True relevance [n] in [0, 1] of articles with topic `mixture` [n, topics] to an `interest`.

    `broad` [n] is what makes an article appeal to anyone; `quality` [n] scales everything.
    """
    overlap = np.square(np.maximum(mixture * interest - THRESHOLD, 0.0))
    unmoved: Floats = (1.0 - overlap / (overlap + HALF**2)).prod(axis=1)
    return quality * (1.0 - (1.0 - broad) * unmoved)


def fatigue(mains: Ints, item_ids: Sequence[str], memory: Memory) -> Floats:
    """Factor [n] in (0, 1] on an article's appeal, from main topics [n] and the reader's memory."""
    above = np.tril(mains[:, None] == mains[None, :], -1).sum(axis=1)
    recent = np.maximum(0.4, 1.0 / (1.0 + 0.12 * memory.topics[mains]))
    session = max(0.7, 1.0 / (1.0 + 0.05 * memory.slates))
    again = np.array([0.05 if item_id in memory.read else 1.0 for item_id in item_ids])
    tired: Floats = 0.95**above * recent * session * again
    return tired


def mood(rng: np.random.Generator) -> float:
    """How much a reader feels like clicking on this visit; mean 1."""
    return float(rng.lognormal(-(MOOD_SIGMA**2) / 2, MOOD_SIGMA))


def dwell(relevance: float, rng: np.random.Generator) -> float:
    """Seconds spent on a clicked article: some 5 s on a bad one, two minutes on a perfect one."""
    return float((5.0 + 115.0 * relevance) * rng.lognormal(0.0, 0.35))
