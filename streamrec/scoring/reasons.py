"""Why an article stands where it does, in words. The named part is part of the score, and what the
reader read is named only if the article's score falls without it (leave one out).
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from streamrec.events import Locale, Reason
from streamrec.scoring.batch import Batch, Reader, Rows

WORDS: dict[str, dict[Locale, str]] = {
    "read": {"en": "because you read “{title}”", "zh": "因为你读过《{title}》"},
    "similar": {"en": "like “{title}”", "zh": "与《{title}》相似"},
    "interests": {"en": "fits the interests you named", "zh": "符合你填写的兴趣"},
    "content": {"en": "close to what you read", "zh": "与你读过的内容相近"},
    "popularity": {"en": "popular now", "zh": "当前热门"},
    "freshness": {"en": "new", "zh": "新发布"},
    "co_read": {"en": "read together with what you read", "zh": "读过同样文章的人也读了它"},
    "interplay": {"en": "read by others like you", "zh": "与你相似的读者读了它"},
    "exploration": {"en": "explores what is new", "zh": "探索新内容"},
    "rule": {"en": "placed by the editors", "zh": "编辑推荐"},
}
OF_THE_ARTICLE = ("popularity", "freshness")  # all that can be claimed of a reader never seen
MOST = 20  # newest reads that may be named
Array = NDArray[np.float32]


def words(kind: str, locale: Locale, title: str = "") -> str:
    """The reason in words."""
    return WORDS[kind][locale].format(title=title)


def main_parts(batch: Batch, chosen: Sequence[Rows]) -> list[list[tuple[str, float]]]:
    """For each reader and each of the rows chosen for them: the additive part that lifts it most over
    the list's average, and by how much."""
    if batch.popularity:
        return [[("popularity", 0.0)] * len(rows) for rows in chosen]
    parts = batch.parts(chosen)
    return [_strongest(p, r) for p, r in zip(parts, batch.readers, strict=True)]


def _strongest(parts: dict[str, torch.Tensor], reader: Reader) -> list[tuple[str, float]]:
    names = list(parts) if reader.history or reader.stated is not None else list(OF_THE_ARTICLE)
    if reader.alike:
        names = ["content", "co_read"]
    lifts = torch.stack([parts[n] for n in names])
    lifts = lifts - lifts.mean(dim=1, keepdim=True)
    best = lifts.argmax(dim=0)
    return [(names[int(i)], float(lifts[i, n])) for n, i in enumerate(best)]


def explain(batch: Batch, b: int, rows: Rows, locale: Locale) -> list[list[Reason]]:
    """For each of some rows of reader b's list all that lifts it, the strongest first: parts over the
    list's average, stated interests, and the read whose absence would cost it most."""
    if batch.popularity or not len(rows):
        return [[] for _ in rows]
    found = [_parts(batch, b, rows, n, locale) for n in range(len(rows))]
    for n, reason in _reads(batch, b, rows, locale):
        found[n].append(reason)
    return [sorted(reasons, key=lambda r: -(r.weight or 0.0)) for reasons in found]


def _parts(batch: Batch, b: int, rows: Rows, n: int, locale: Locale) -> list[Reason]:
    parts = batch.parts([rows if k == b else rows[:0] for k in range(len(batch.readers))])[b]
    unknown = not batch.readers[b].history and batch.readers[b].stated is None
    lifts = {k: float(p[n] - p.mean()) for k, p in parts.items() if not unknown or k in OF_THE_ARTICLE}
    return [Reason(kind=k, text=words(k, locale), weight=round(w, 4)) for k, w in lifts.items() if w > 0]


def _reads(batch: Batch, b: int, rows: Rows, locale: Locale) -> list[tuple[int, Reason]]:
    """Place and reason, where leaving one read or the interests out lowers a score."""
    reader = batch.readers[b]
    without = [
        (r.item, reader._replace(history=[*reader.history[:i], *reader.history[i + 1 :]]))
        for i, r in enumerate(reader.history[:MOST]) if r.kind != "dismiss"
    ]
    if reader.stated is not None:
        without.append(("", reader._replace(stated=None)))
    if not without:
        return []
    (scores,) = batch.of([reader]).full([rows])
    others = np.stack(batch.of([r for _, r in without]).full([rows] * len(without)))
    lost = scores - others  # [reads, rows]
    named = [(n, int(i), float(lost[i, n])) for n, i in enumerate(lost.argmax(axis=0)) if lost[i, n] > 0]
    return [(n, _named(batch, without[i][0], weight, reader.alike, locale)) for n, i, weight in named]


def _named(batch: Batch, item: str, weight: float, alike: bool, locale: Locale) -> Reason:
    articles, weight = batch.state.articles, round(weight, 4)
    if not item:
        return Reason(kind="interests", text=words("interests", locale), weight=weight)
    row = articles.index.get(item)
    title = (articles.entries[row].title if row is not None else "") or item
    kind = "similar" if alike else "read"
    return Reason(kind=kind, text=words(kind, locale, title), weight=weight, item_id=item)
