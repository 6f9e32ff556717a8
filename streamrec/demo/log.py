"""The synthetic site as a log folder: what `streamrec evaluate` needs, with the truth beside it.

Slates are a third each of what is new, popular and drawn by chance, so that every article and
every reader has been tried; only the clicks say what the readers want.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.demo.world import World, WorldConfig
from streamrec.errors import SetupError

START, DAYS = 1_735_689_600.0, 28.0  # 2025-01-01; the demo's progress from 0 to 1 takes so long
TRUTH = "site.json"
POPULAR_HALF_LIFE = 0.02  # of the progress
Progress = Callable[[int, int], None]


def simulate(
    folder: Path, config: WorldConfig, visits: int, progress: Progress = lambda n, of: None
) -> int:
    """Write articles, events and the site's settings; how many events there are. Raises SetupError if
    the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _simulate(folder, World(config), visits, progress)
    except OSError as error:
        raise SetupError(f"{error.filename or folder} cannot be written: {error.strerror}; "
                         "name another folder") from None


def _simulate(folder: Path, world: World, visits: int, progress: Progress) -> int:
    articles = (
        {"item_id": a.item_id, "title": a.title, "body": a.body, "tags": a.tags, "lang": "en",
         "published_at": at(a.released_at) - 1.0} for a in world.articles
    )
    _write(folder / "articles.jsonl.gz", articles)
    n = _write(folder / "events.jsonl.gz", _events(world, visits, progress))
    (folder / TRUTH).write_text(json.dumps(asdict(world.config), indent=1))
    return n


def at(progress: float) -> float:
    """Epoch seconds of a moment of the site."""
    return START + progress * DAYS * 86_400.0


def load(folder: Path) -> World:
    """The site that wrote a folder. Raises SetupError if another program did."""
    try:
        return World(WorldConfig(**json.loads((folder / TRUTH).read_text())))
    except (OSError, ValueError, TypeError) as error:
        raise SetupError(f"{folder} was not written by `streamrec simulate`: {error}") from None


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    n = 0
    with gzip.open(path, "wt", compresslevel=3) as f:
        for row in rows:
            f.write(json.dumps(row) + "\n")
            n += 1
    return n


def _events(world: World, visits: int, progress: Progress) -> Iterator[dict[str, Any]]:
    rng, counts, n = np.random.default_rng([world.config.seed, 5]), np.zeros(len(world.articles)), 0
    index = {a.item_id: i for i, a in enumerate(world.articles)}
    for visit in range(visits):
        now = visit / visits
        counts *= 0.5 ** (1.0 / visits / POPULAR_HALF_LIFE)
        reader = world.next_visitors(now, 1)[0]
        slate = _slate(world.released(now), counts, world.config.slate, rng)
        for click in world.click(reader, slate, now):
            counts[index[click.item_id]] += 1.0
            n += 1
            yield {"event_id": f"click-{n:06d}", "user_id": reader, "item_id": click.item_id, "type": "click",
                   "ts": at(now), "impression": slate}
        if visit % 500 == 0:
            progress(visit, visits)


def _slate(released: list[str], counts: Any, size: int, rng: np.random.Generator) -> list[str]:
    popular = np.argsort(-counts[: len(released)], kind="stable")[: 3 * size]
    third = size // 3
    mixed = [*released[-3 * size :][:: -1][:third], *(released[i] for i in popular[:third]),
             *(released[i] for i in rng.integers(len(released), size=2 * size))]
    slate = list(dict.fromkeys(mixed))[:size]
    rng.shuffle(slate)
    return slate
