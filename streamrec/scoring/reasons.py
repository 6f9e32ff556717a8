"""Why an article stands where it does, in words. The named part is part of the score, and what the
reader read is named only if the article's score falls without it (leave one out).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from streamrec.events import Locale, Reason
from streamrec.model.features import FEATURES
from streamrec.scoring.batch import Batch
from streamrec.scoring.fast import Rows

WORDS: dict[str, dict[Locale, str]] = {
    "read": {"en": "because you read “{title}”", "zh": "因为你读过《{title}》"},
    "similar": {"en": "like “{title}”", "zh": "与《{title}》相似"},
    "interests": {"en": "fits the interests you named", "zh": "符合你填写的兴趣"},
    "interests or reads": {"en": "close to what you named and read", "zh": "与你填写的兴趣和读过的内容相近"},
    "content": {"en": "close to what you read", "zh": "与你读过的内容相近"},
    "near it": {"en": "close to the article you asked about", "zh": "与你所选的文章内容相近"},
    "read with it": {"en": "read together with the article you asked about", "zh": "常与所选文章一起被阅读"},
    "popularity": {"en": "popular now", "zh": "当前热门"},
    "freshness": {"en": "new", "zh": "新发布"},
    "co_read": {"en": "read together with what you read", "zh": "读过同样文章的人也读了它"},
    "interplay": {"en": "a good fit on the whole", "zh": "综合匹配"},
    "exploration": {"en": "shown to learn who likes it", "zh": "展示以了解谁会喜欢它"},
    "neither": {"en": "by its popularity and age together", "zh": "综合热度与发布时间"},
    "rule": {"en": "placed by the editors", "zh": "编辑推荐"},
    "boost": {"en": "lifted by the editors", "zh": "编辑提升了排名"},
    "bury": {"en": "moved down by the editors", "zh": "编辑降低了排名"},
}
BOTH = "interests or reads"  # words for what is close to them together
NEITHER = "neither"  # words for an article that is neither read now nor new, to who has read nothing
KIND = {NEITHER: "interplay"}  # of a reason, where the words have another name
OF_THE_ARTICLE = ("popularity", "freshness")  # all that can be claimed of a reader never seen
IDLE, AGE = FEATURES.index("idle"), FEATURES.index("age")
READ_NOW = 1.0  # of the longest half-lives: what nobody has read since is not called popular now
NEW = 3.0  # of the longest half-lives: what is older is not called new
CO_READS = [FEATURES.index(name) for name in ("co_read", "co_near")]
FITS = 0.25  # cosine with what is stated: what is about something else has .2 at most (MiniLM)
MOST = 20  # newest reads that may be named
LEAST = 1e-3  # of a score: less is rounding
Array = NDArray[np.float32]


def words(kind: str, locale: Locale, title: str = "") -> str:
    """The reason in words."""
    return WORDS[kind][locale].format(title=title)


class Strongest(NamedTuple):
    """Which words name the part of a score that lifts an article most, and by how much."""

    kind: str
    lift: float = 0.0


def main_parts(batch: Batch, chosen: Sequence[Rows]) -> list[list[Strongest]]:
    """For each reader and each of the rows chosen for them: the additive part that lifts it most over
    the list's average; where none does, over that of all articles."""
    if batch.popularity:
        return [_popular(batch, rows) for rows in chosen]
    found = []
    for b, (parts, rows) in enumerate(zip(batch.parts(chosen), chosen, strict=True)):
        kinds = [_said(k, batch, b) for k in (*parts, "interplay")]
        lifts = true_lifts(batch, b, rows, parts)
        most, best = lifts.max(axis=0, initial=0.0), lifts.argmax(axis=0)
        if not most.all():
            of_all = true_lifts(batch, b, rows, parts, listed=False)
            largest = np.where(of_all.max(axis=0, initial=0.0) > 0, of_all.argmax(axis=0), len(parts))
            best = np.where(most > 0, best, largest)
        found.append([Strongest(kinds[k], w) for k, w in zip(best.tolist(), most.tolist(), strict=True)])
    return found


def _popular(batch: Batch, rows: Rows) -> list[Strongest]:
    """By popularity alone: what is read now is that, and of what is not may be said that it is new."""
    feats = batch.state.item_features_of(rows, batch.now)
    read, new = feats[:, IDLE] < _since(batch, READ_NOW), feats[:, AGE] < _since(batch, NEW)
    kinds = np.where(read, "popularity", np.where(new, "freshness", NEITHER))
    return [Strongest(kind) for kind in kinds.tolist()]


def _said(kind: str, batch: Batch, b: int) -> str:
    """Which words say it truly: not everybody who asks has read anything."""
    if kind == "interplay" and _nobody(batch, b):
        return NEITHER
    if batch.readers[b].alike:
        return {"content": "near it", "co_read": "read with it"}.get(kind, kind)
    if kind != "content" or batch.readers[b].stated is None and _has_text(batch, b):
        return kind
    return BOTH if _has_text(batch, b) else "interests"


def _nobody(batch: Batch, b: int) -> bool:
    """Whether nothing is known of who asks."""
    return not batch.reads[b] and batch.readers[b].stated is None


def _has_text(batch: Batch, b: int) -> bool:
    """Whether anything that a reader read has a text: nothing is close to what has none."""
    vectors = batch.state.articles.vectors
    return any(vectors[row].any() for row in batch.reads[b])  # mostly the newest has one


def true_lifts(
    batch: Batch, b: int, rows: Rows, parts: dict[str, torch.Tensor], listed: bool = True
) -> Array:
    """By how much each part lifts each of some rows [parts, n] of reader b's list over the list's average, or
    all articles', where that is true of the article: popular is only what is read now, new what has come of
    late, read together only what was, and fitting interests what is about them. 0: not at all."""
    reader, feats = batch.readers[b], batch.features_of(b, rows)
    unknown = [k for k in parts if k not in OF_THE_ARTICLE] if _nobody(batch, b) else []
    unknown += ["content"] if reader.stated is None and not _has_text(batch, b) else []
    # How close a text is has no average to be above, but within a list; to what is stated it is measured.
    unknown += [] if listed or reader.alike or reader.stated is not None else ["content"]
    mixed_in = [k for k in parts if k not in ("content", "co_read")] if reader.alike else []
    lifts = np.stack([part.numpy() for part in parts.values()])
    if listed and len(rows) > 1:  # features are standardised, so 0 is the average of all
        lifts = lifts - lifts.mean(axis=1, keepdims=True)
    at = {kind: k for k, kind in enumerate(parts)}
    lifts[[at[k] for k in (*unknown, *mixed_in)]] = 0.0
    lifts[at["popularity"]] *= feats[:, IDLE] < _since(batch, READ_NOW)  # never read: not
    lifts[at["freshness"]] *= feats[:, AGE] < _since(batch, NEW)  # of unknown age: not
    if _said("content", batch, b) == "interests":
        lifts[at["content"]] *= batch.fits(b, rows) >= FITS
    lifts[at["co_read"]] *= (feats[:, CO_READS] > 0).any(axis=1)
    found: Array = np.where(lifts >= LEAST, lifts, 0.0)
    return found


def _since(batch: Batch, times: float) -> float:
    """The feature of a time so many of the longest half-lives ago."""
    half_lives = batch.state.counters.half_lives
    return float(np.log1p(times * half_lives[-1] / half_lives[0]))


def explain(batch: Batch, b: int, rows: Rows, locale: Locale) -> list[list[Reason]]:
    """For each of some rows of reader b's list all that lifts it, the strongest first: parts over the
    list's average, stated interests, and the read whose absence would cost it most."""
    if batch.popularity:
        return [[Reason(kind=KIND.get(s.kind, s.kind), text=words(s.kind, locale))]
                for s in _popular(batch, rows)]
    if not len(rows):
        return []
    parts = batch.parts_of(b, rows)
    said = {k: _said(k, batch, b) for k in parts}  # interests come below, by leaving them out
    found = [
        [Reason(kind=k, text=words(said[k], locale), weight=round(w, 4))
         for k, w in zip(parts, of, strict=True) if w and said[k] != "interests"]
        for of in true_lifts(batch, b, rows, parts).T.tolist()
    ]
    for n, reason in _reads(batch, b, rows, locale):
        found[n].append(reason)
    return [sorted(reasons, key=lambda r: -(r.weight or 0.0)) for reasons in found]


def _reads(batch: Batch, b: int, rows: Rows, locale: Locale) -> list[tuple[int, Reason]]:
    """Place and reason, where leaving one read or the interests out lowers a score."""
    reader = batch.readers[b]
    without = [
        (r.item, reader._replace(history=[*reader.history[:i], *reader.history[i + 1 :]]))
        for i, r in enumerate(reader.history[:MOST]) if r.kind != "dismiss" and _live(batch, r.item)
    ]
    if reader.stated is not None:
        without.append(("", reader._replace(stated=None)))
    if not without:
        return []
    readers = [reader, *(r for _, r in without)]
    scores, *others = batch.of(readers, rows).full([rows] * len(readers))
    lost = scores - np.stack(others)  # [reads, rows]
    if reader.stated is not None:
        lost[-1] *= batch.fits(b, rows) >= FITS
    named = [(n, int(i), float(lost[i, n])) for n, i in enumerate(lost.argmax(axis=0)) if lost[i, n] >= LEAST]
    return [(n, _named(batch, without[i][0], weight, reader.alike, locale)) for n, i, weight in named]


def _live(batch: Batch, item: str) -> bool:
    """Whether an article may be named: not one that nobody announced, or that was deleted since."""
    row = batch.state.articles.index.get(item)
    return row is not None and bool(batch.state.articles.live[row])


def _named(batch: Batch, item: str, weight: float, alike: bool, locale: Locale) -> Reason:
    articles, weight = batch.state.articles, round(weight, 4)
    if not item:
        return Reason(kind="interests", text=words("interests", locale), weight=weight)
    title = articles.entries[articles.index[item]].title or item
    kind = "similar" if alike else "read"
    return Reason(kind=kind, text=words(kind, locale, title), weight=weight, item_id=item)
