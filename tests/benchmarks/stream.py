"""The feedback that the benchmarks feed in.

2,000 readers and 3,000 articles; an article's chance to be shown falls as the square of its
place, so the most popular tenth gets a third of it all. One visit is an impression with a slate
of 10, then 0.8 clicks and 0.5 reads on average: of all events about 43 % are impressions, 35 %
clicks and 22 % reads. Clicks and reads carry the slate they came from, as sites send them; a
read follows a click on the same article, so it makes no training row: about a third of the
events makes one. The worst case is clicks only, each on an article new to its reader: every
event makes a training row, with a slate of 10.
"""

import random
from collections.abc import Iterator

from streamrec.events import Feedback

READERS, ARTICLES, SLATE = 2000, 3000, 10
START = 1_760_000_000.0


def article(rng: random.Random) -> str:
    """One article, the popular ones more often."""
    return f"article-{int(rng.random() ** 2 * ARTICLES):06d}"


def realistic(n: int, seed: int = 1) -> list[Feedback]:
    """n events of visits in the order of time."""
    rng = random.Random(seed)
    events: list[Feedback] = []
    while len(events) < n:
        events += _visit(rng, f"reader-{rng.randrange(READERS):06d}", START + len(events) * 0.05)
    return events[:n]


def _visit(rng: random.Random, reader: str, at: float) -> Iterator[Feedback]:
    slate = [article(rng) for _ in range(SLATE)]
    yield _event(rng, reader, "impression", at, None, slate)
    if rng.random() < 0.8:
        item = rng.choice(slate)
        yield _event(rng, reader, "click", at + 0.01, item, slate)
        if rng.random() < 0.625:
            yield _event(rng, reader, "read", at + 0.02, item, slate)


def only_rows(n: int, seed: int = 2) -> list[Feedback]:
    """n clicks, no reader twice on the same article: each makes a training row."""
    rng = random.Random(seed)
    events: list[Feedback] = []
    used: set[tuple[int, str]] = set()
    while len(events) < n:
        reader, item = rng.randrange(READERS), article(rng)
        if (reader, item) not in used:
            used.add((reader, item))
            slate = [item, *(article(rng) for _ in range(SLATE - 1))]
            at = START + len(events) * 0.05
            events.append(_event(rng, f"reader-{reader:06d}", "click", at, item, slate))
    return events


def _event(
    rng: random.Random, reader: str, kind: str, at: float, item: str | None, slate: list[str]
) -> Feedback:
    return Feedback(
        event_id=f"{rng.getrandbits(128):032x}", user_id=reader, event_type=kind,  # type: ignore[arg-type]
        timestamp=at, item_id=item, impression=slate, event_value=12.5 if kind == "read" else None,
        propensity=0.9 if kind != "impression" else None,
    )
