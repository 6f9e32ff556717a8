"""Writes a small log folder: readers with a taste, articles with and without a text."""

import json
import random
from pathlib import Path

EVENTS, ARTICLES, DESCRIBED, READERS = 3000, 300, 240, 150
TASTES = ("river bridge water", "orbit rocket moon", "bread oven flour", "court judge law")


def write(folder: Path) -> list[str]:
    """`articles.jsonl` and `events.jsonl` in `folder`; the ids of the events."""
    folder.mkdir()
    rng = random.Random(4)
    articles = [_article(i) for i in range(DESCRIBED)]  # the others are known by their id only
    events = [_event(n, rng) for n in range(EVENTS)]
    for name, rows in (("articles", articles), ("events", events)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return [str(e["event_id"]) for e in events]


def _article(i: int) -> dict[str, object]:
    taste = TASTES[i % len(TASTES)]
    return {"item_id": f"a{i}", "title": f"{taste} {i}", "body": f"About {taste}." if i % 2 else "",
            "tags": [taste.split()[0]], "published_at": 1_700_000_000 + i}


def _event(n: int, rng: random.Random) -> dict[str, object]:
    reader = rng.randrange(READERS)
    article = rng.randrange(ARTICLES) // 4 * 4 + reader % 4
    return {"event_id": f"log-{n}", "user_id": f"u{reader}", "item_id": f"a{article}",
            "type": rng.choice(("view", "read", "like")), "ts": 1_700_001_000 + n}
