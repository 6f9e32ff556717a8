"""Values for every detector, by the type that its `update` takes: of a quiet site, and after a shift."""

import random
from collections.abc import Callable
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from streamrec.drift.content import Title, Vector
from streamrec.drift.contract import Detector
from streamrec.drift.controls import Gap, Slate
from streamrec.drift.mixes import Choice
from streamrec.drift.turns import Read

Draw = Callable[[random.Random, int], Any]  # shifted: 0 quiet, 1 shifted, 2 shifted elsewhere
TOPICS, DIM = 12, 32
_centres: NDArray[np.float32] = np.random.default_rng(1).standard_normal((2, DIM)).astype(np.float32)


def rate(rng: random.Random, shifted: int) -> float:
    return float(rng.random() < (0.2 if shifted else 0.4))


def rising(rng: random.Random, shifted: int) -> float:
    """For whom a fall is no news."""
    return rate(rng, not shifted)


def topic(rng: random.Random, shifted: int) -> str:
    if shifted and rng.random() < 1 / 3:
        return "t0"
    return f"t{min(int(rng.paretovariate(0.8)), 60)}"


def read(rng: random.Random, shifted: int) -> Read:
    """Sixty readers of a topic each; after the shift a third of them read t0."""
    reader = rng.randrange(60)
    liked = 0 if shifted and reader < 20 else reader % TOPICS
    return Read(f"t{liked if rng.random() < 0.7 else rng.randrange(TOPICS)}", f"u{reader}")


def choice(rng: random.Random, shifted: int) -> Choice:
    """Readers like t1 three times as much as others; after the shift t2."""
    shown = tuple(f"t{rng.randrange(TOPICS)}" for _ in range(8))
    liked = "t2" if shifted else "t1"
    return Choice(rng.choices(shown, [6.0 if t == liked else 1.0 for t in shown])[0], shown)


def vector(rng: random.Random, shifted: int) -> Vector:
    noise = np.array([rng.gauss(0, 1) for _ in range(DIM)], np.float32)
    found = _centres[int(shifted and rng.random() < 1 / 3)] * 0.7 + noise
    unit: Vector = found / np.linalg.norm(found)
    return unit


def title(rng: random.Random, shifted: int) -> Title:
    prefix = f"new{shifted}" if shifted and rng.random() < 1 / 3 else "word"
    return Title(" ".join(f"{prefix}{min(int(rng.paretovariate(0.6)), 5000)}" for _ in range(8)))


def slate(rng: random.Random, shifted: int) -> Slate:
    """The popular ones are shown more; after the shift much more."""
    return tuple(f"a{int(200 * rng.random() ** (4.0 if shifted else 1.5))}" for _ in range(8))


def gap(rng: random.Random, shifted: int) -> Gap:
    return Gap(rng.gauss(-0.1 if shifted else 0.05, 0.3))


DRAWS: dict[Any, Draw] = {
    float: rate, str: topic, Read: read, Choice: choice, Vector: vector, Title: title, Slate: slate, Gap: gap,
}


def draw_for(kind: type[Detector]) -> Draw:
    """Raises KeyError for a detector that takes what nobody draws yet."""
    return rising if getattr(kind, "one_way", False) else DRAWS[get_type_hints(kind.update)["x"]]
