"""A small log folder with a known truth: readers of a topic read that topic's newest articles."""

import json
from pathlib import Path

import numpy as np

START = 1_700_000_000.0
TOPICS, DIM = 4, 16


def rows(articles=80, readers=40, events=900, seed=0):
    """Article and event rows as a log folder has them; an article appears every 10 minutes."""
    rng = np.random.default_rng(seed)
    made = [
        {"item_id": f"a{i}", "title": f"topic {i % TOPICS} number {i}", "body": f"about topic {i % TOPICS}",
         "published_at": START + 600.0 * i, "tags": [f"t{i % TOPICS}"], "lang": "en"}
        for i in range(articles)
    ]
    out = []
    for n in range(events):
        ts = START + 600.0 * articles * (n + 1) / events
        reader = int(rng.integers(readers))
        alive = [a for a in made if a["published_at"] < ts][-30:]
        mine = [a for a in alive if int(a["item_id"][1:]) % TOPICS == reader % TOPICS] or alive
        item = mine[int(rng.integers(len(mine)))]["item_id"]
        out.append({"event_id": f"e{n}", "user_id": f"u{reader}", "item_id": item, "type": "click", "ts": ts})
    return made, out


def write(folder: Path, articles, events) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, some in (("articles", articles), ("events", events)):
        (folder / f"{stem}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in some))
    return folder


def vectors(texts):
    """Unit vectors [n, DIM] that show the topic named in each text, as an encoder would."""
    out = np.zeros((len(texts), DIM), np.float16)
    for i, text in enumerate(texts):
        if text.strip():
            rng = np.random.default_rng(int.from_bytes(text[:40].encode(), "big") % 2**32)
            v = 0.3 * rng.normal(size=DIM)
            v[int(text.split()[1]) if text.split()[1].isdigit() else 0] += 1.0
            out[i] = v / np.linalg.norm(v)
    return out
