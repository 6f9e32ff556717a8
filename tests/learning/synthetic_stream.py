"""A small stream with a known truth: articles of latent topics, readers who mostly read one."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from streamrec.learning.increment import Known
from streamrec.replay import Row, WindowRow

START = 1_700_000_000.0
TOPICS, DIM = 6, 32


def articles(n: int = 300, dim: int = DIM, seed: int = 0):
    """id -> (unit text vector that shows the topic through noise, published at)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(TOPICS, dim))
    made = {}
    for i in range(n):
        v = 0.5 * centres[i % TOPICS] + rng.normal(size=dim)
        made[f"a{i}"] = Known((v / np.linalg.norm(v)).astype(np.float16), START - 86_400.0 + 60.0 * i)
    return made


def rows(
    n: int, items: Sequence[str], *, readers: int = 60, partitions: int = 2, slate: int = 0,
    seed: int = 0, start: int = 0, taste: Callable[[int], int] = lambda reader: reader % TOPICS,
    histories: dict[str, list[str]] | None = None,
) -> list[WindowRow]:
    """n first reads, 30 s apart; `start` numbers the first one; `histories` carry on."""
    rng = np.random.default_rng([seed, start])
    histories = defaultdict(list) if histories is None else histories
    topic = {a: int(a[1:]) % TOPICS for a in items}
    out, used = [], defaultdict(int)
    for k in range(start, start + n):
        reader = int(rng.integers(readers))
        user, wanted = f"u{reader}", taste(reader)
        pool = [a for a in items if a not in histories.setdefault(user, [])]
        like = [a for a in pool if topic[a] == wanted] or pool
        item = str(rng.choice(like if rng.random() < 0.8 else pool))
        shown = [item, *rng.choice(pool, slate)] if slate else []
        rng.shuffle(shown)
        partition = reader % partitions
        used[partition] += 1
        row = Row(f"e{k}", user, item, "click", START + 30.0 * k, histories[user][:20],
                  [str(s) for s in shown], 1.0, -1.0 / (k + 1), 30.0 * (k % 5) - 1.0)
        out.append(WindowRow(partition, start + used[partition], row))
        histories[user].insert(0, item)
        del histories[user][40:]
    return out
