"""What changes for readers when one version replaces another."""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from streamrec.drift.topics import topic_of
from streamrec.events import ModelDiff, Moved
from streamrec.replay import Read
from streamrec.scoring.ask import Ask
from streamrec.scoring.scorer import Scorer
from streamrec.scoring.served import Served

MOST, BATCH = 8, 64


def compare(scorer: Scorer, old: Served, new: Served, users: Sequence[str], n: int = 10) -> ModelDiff:
    """The lists of some readers under both, of what they had read by now and without the places that explore.
    Raises RetryLater."""
    read = scorer.histories(users)  # once: what they read between the two is no change of the model
    before, after = _lists(scorer, old, read, n), _lists(scorer, new, read, n)
    kept = [len(set(a) & set(b)) for a, b in zip(before, after, strict=True)]
    places = [Counter(i for items in lists for i in items) for lists in (before, after)]
    topics = [_by_topic(scorer, p) for p in places]
    articles = scorer.state.articles

    def titled(moved: Moved) -> Moved:
        return replace(moved, title=articles.entries[articles.index[moved.name]].title)
    return ModelDiff(
        older=old.version, newer=new.version, readers=len(read), n=n,
        overlap=sum(kept) / max(len(kept), 1), topics=_moved(*map(_shares, topics)),
        articles=[titled(m) for m in _moved(*places)],
    )


def _lists(
    scorer: Scorer, served: Served, read: Mapping[str, Sequence[Read]], n: int
) -> list[list[str]]:
    asks = [Ask(u, n, explore=False) for u in read]
    batches = [asks[i : i + BATCH] for i in range(0, len(asks), BATCH)]
    ranked = [r for batch in batches for r in scorer.rank(batch, served, read)]
    return [[i.item_id for i in r.items] for r in ranked]


def _by_topic(scorer: Scorer, places: Mapping[str, int]) -> Counter[str]:
    articles, found = scorer.state.articles, Counter[str]()
    for item, n in places.items():
        i = articles.index[item]
        found[topic_of(articles.entries[i].tags, articles.vectors[i])] += n
    return found


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values()) or 1
    return {k: n / total for k, n in counts.items()}


def _moved(before: Mapping[str, float], after: Mapping[str, float]) -> list[Moved]:
    names = sorted({*before, *after}, key=lambda k: -abs(after.get(k, 0) - before.get(k, 0)))
    return [Moved(name=k, before=before.get(k, 0), after=after.get(k, 0))
            for k in names[:MOST] if before.get(k, 0) != after.get(k, 0)]
