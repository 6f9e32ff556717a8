"""One increment: a window of new rows in, a judged model out. No I/O, the same inputs give the
same bytes.

The newest rows of each partition are held out for the gate and not learned; the cursor stops
before them, so they are read again and learned next time: each row is learned exactly once, but for the few
that are set aside for the gate (anchors).
Rows about an article that is not announced yet are taken, but wait in the state (`parked`).
"""

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray

from streamrec.catalogue import GONE, LIVE, ONLY_NAMED, LiveArticles
from streamrec.config import Settings, Trainer
from streamrec.drift.topics import topic_of
from streamrec.learning import averaging, parked
from streamrec.learning import optimizer as adam
from streamrec.learning.examples import Examples, concat, count, in_time_order, materialise
from streamrec.learning.fine_tune import Base, FitResult, fine_tune
from streamrec.learning.fine_tune_text import TextFit
from streamrec.learning.gate import NONE, Compared, Sets, Verdict, ndcg, verdict
from streamrec.learning.negatives import Array
from streamrec.learning.packed import scores
from streamrec.learning.recall import recalled
from streamrec.learning.shadows import Control, Shadows, in_shadow
from streamrec.learning.state import TrainerState
from streamrec.learning.tuning import Tuning
from streamrec.model import bundle, co_reads
from streamrec.model.counters import Counters
from streamrec.model.network import Recommender
from streamrec.model.words import Words
from streamrec.replay import Cursor, Row, WindowRow

Plugins = Callable[[Recommender, Examples, Examples], Sequence[Any]]
LARGEST_HOLDOUT = 0.2  # of a window, however many rows the gate would like


class Known(NamedTuple):
    """What a trainer knows of an article: text vector [d], publication (epoch s), title, tags; and whether it
    can still be shown: what was deleted is learned from, but is nothing that readers could have taken."""

    vector: Base
    published_at: float | None
    title: str = ""
    tags: Sequence[str] = ()
    live: bool = True


Articles = Mapping[str, Known]


def known_articles(articles: LiveArticles, rows: Iterable[int]) -> dict[str, Known]:
    """What there is to know of the articles in some rows of a process's copy of the catalogue."""
    entries = articles.entries
    return {
        entries[i].item_id: Known(
            articles.vectors[i], entries[i].published_at, entries[i].title, entries[i].tags,
            bool(articles.live[i]),
        ) for i in rows
    }


def no_plugins(parent: Recommender, new: Examples, rehearsal: Examples) -> Sequence[Any]:
    """Nothing beside rehearsal."""
    return ()


class Outcome(Struct, frozen=True):
    """What an increment decided. On a refusal the files of model, optimizer and co-reads are
    empty: keep the parent's; the state and the cursor move on either way."""

    verdict: Verdict
    model_files: dict[str, bytes]
    optimizer_files: dict[str, bytes]
    co_read_files: dict[str, bytes]  # counted up to the cursor
    state_files: dict[str, bytes]
    cursor: Cursor
    metrics: dict[str, float]
    rows: int  # learned this time, or set aside as anchors
    learned_until: float  # newest event time taken, epoch s
    shadows: Shadows | None = None  # if shadows were asked for


def increment(
    *, state: TrainerState, parent: Recommender | None, optimizer: Mapping[str, bytes] | None,
    window: Sequence[WindowRow], reservoir: Sequence[Row], articles: Articles,
    settings: Settings, dim: int, encoder: str, now: float, seed: int, plugins: Plugins = no_plugins,
    tuning: Tuning | None = None, controls: Mapping[str, Control] | None = None,
) -> Outcome:
    """Learn `window` on top of `parent` (None: the untrained prior), and judge the result.

    `optimizer` are the parent's optimizer files. `dim` and `encoder` (its fingerprint) tell what
    made the text vectors; they and `now` (epoch s) go into the model's config.json. Nothing
    passed in is changed, but for the encoder of `tuning`, which then learns too, without plugins.
    `plugins(parent, new, rehearsal)` makes further Avalanche plugins of a fit.
    `controls`: models to score in shadow on the rows held out, see `shadows`; None: no shadows.
    Raises CorruptArtefact if the optimizer's files cannot be read.
    """
    if parent is not None and parent.dim != dim:
        parent = optimizer = None  # another encoder: its vectors mean nothing to the old head
    state = state.of_encoder(encoder)
    first, ids = parent is None or not state.fitted, {r.event_id for r in reservoir}
    taken, held = split(window, settings.trainer)
    late, _ = parked.ripe(state.parked, articles)
    after, known, running = _ready(state, window, articles)
    history = parent.history if parent else settings.model.history
    base, words = vectors(running, articles, dim), words_of(running, articles)
    old, _ = materialise(late, running, known, base, words, history, settings.trainer, seed)
    made, skipped = materialise(window, running, known, base, words, history, settings.trainer, seed)
    older, fresh = state.older_anchors(), concat([old, made.only({w.row.event_id for w in taken})])
    data = _Data(
        new=after.set_aside(fresh, settings.trainer),
        rehearsal=state.examples.only(ids), held_out=made.only({w.row.event_id for w in held}).as_shown(),
        anchors=older.as_shown(), best={} if first else state.best, base=base,
        ids=running.ids,
        topics=_topics(running.ids, articles) if settings.trainer.rehearsal == "strata" else (),
    )
    carried = adam.from_files(optimizer) if optimizer and not first else None
    found = _fit_and_judge(parent, data, settings, first, seed, carried, plugins, tuning)
    dropped = _advance(after, late, taken, articles, settings.trainer)
    after.keep(data.new, ids)
    after.best = data.best
    numbers = _numbers(data, found.fit) | {
        "rows_skipped": float(skipped), "rows_late": float(len(old)),
        "rows_parked": float(len(after.parked)), "rows_dropped": float(dropped),
    }
    files = _publish(found, after, data.anchors, encoder, now)
    return Outcome(
        found.verdict, *files, after.to_files(), dict(after.cursor), found.verdict.metrics | numbers,
        len(fresh), after.learned_until,
        None if controls is None else in_shadow(controls, data.held_out, data.ids, base, found.held_out,
                                                data.anchors.ts, found.anchors),
    )


def held_of(n: int, settings: Trainer) -> float:
    """How many rows of a window of n the gate is to have."""
    return max(settings.holdout * n, min(settings.min_holdout, LARGEST_HOLDOUT * n))


def split(
    window: Sequence[WindowRow], settings: Trainer
) -> tuple[list[WindowRow], list[WindowRow]]:
    """Rows to learn and rows for the gate: the newest share of each partition, by ordinal."""
    n, wanted = len(window), held_of(len(window), settings)
    by_partition = defaultdict(list)
    for w in sorted(window, key=lambda w: w.ordinal):
        by_partition[w.partition].append(w)
    taken, held = [], []
    for rows in by_partition.values():
        # A partition always gives at least one row, or a slow one would never be learned.
        k = min(math.ceil(wanted / n * len(rows)), len(rows) - 1)
        taken += rows[: len(rows) - k]
        held += rows[len(rows) - k :]
    return taken, held


def vectors(counters: Counters, articles: Articles, dim: int) -> Base:
    """Text vectors [N, d] by article index; zero for articles deleted or never announced."""
    base: Base = np.zeros((len(counters), dim), dtype=np.float16)
    for item_id, article in articles.items():
        base[counters.index[item_id]] = article.vector
    return base


def words_of(counters: Counters, articles: Articles) -> Words:
    """Words by article index."""
    words = Words()
    for item_id, article in articles.items():
        words.put(counters.index[item_id], article.title, article.tags)
    return words


def _ready(
    state: TrainerState, window: Sequence[WindowRow], articles: Articles
) -> tuple[TrainerState, NDArray[np.uint8], Counters]:
    """A copy of the state that knows every id, what is known of each article [N], and counters to
    walk through the window with. Both copies of the counters must number articles alike."""
    after = copy.copy(state)
    after.counters, after.cursor = state.counters.copy(), dict(state.cursor)
    after.older_until = state.learned_until
    for item_id, article in articles.items():
        after.counters.publish(item_id, article.published_at)
    for w in in_time_order(window):
        for item_id in (w.row.item, *w.row.history):
            after.counters.add(item_id)
    found = map(articles.get, after.counters.ids)
    known = np.array([ONLY_NAMED if a is None else LIVE if a.live else GONE for a in found], dtype=np.uint8)
    return after, known, after.counters.copy()


def _topics(ids: Sequence[str], articles: Articles) -> list[str]:
    found = [articles.get(item_id) for item_id in ids]
    return [topic_of(article.tags if article else (), None) for article in found]


def _advance(
    after: TrainerState, late: Sequence[WindowRow], taken: Sequence[WindowRow],
    known: Container[str], settings: Trainer,
) -> int:
    """Count rows, move the cursor, park what has to wait; how many rows were dropped."""
    there, missing = parked.ripe(taken, known)
    waiting = [*parked.ripe(after.parked, known)[1], *missing]
    for w in taken:
        after.cursor[w.partition] = max(after.cursor.get(w.partition, w.ordinal), w.ordinal)
        after.learned_until = max(after.learned_until, w.row.ts)
    after.rows += len(taken)
    after.parked, dropped = parked.bounded(waiting, settings.parked_rows)
    for w in (*in_time_order(late), *in_time_order(there), *dropped):
        count(after.counters, w.partition, w.row)
    return len(dropped)


class _Data(NamedTuple):
    """What one increment fits on and is judged by."""

    new: Examples
    rehearsal: Examples
    held_out: Examples
    anchors: Examples
    best: dict[str, float]  # anchor -> NDCG@10 of the best model so far
    base: Base
    ids: Sequence[str]  # of the articles, by index
    topics: Sequence[str]  # their first tags, if rows are to be rehearsed by them


class _Found(NamedTuple):
    """What came of fitting; no model if there was nothing to learn."""

    verdict: Verdict
    net: Recommender | None = None
    fit: FitResult | None = None
    held_out: Compared = NONE  # NDCG@10 on the rows held out
    anchors: Array = np.zeros(0)  # NDCG@10 of the new model on the anchors


def _fit_and_judge(
    parent: Recommender | None, data: _Data, settings: Settings, first: bool, seed: int,
    optimizer: adam.State | None, plugins: Plugins, tuning: Tuning | None,
) -> _Found:
    if not len(data.new):
        return _Found(Verdict(False, "no row of the window that may be learned is about a known article", {}))
    base = tuning.vectors(data.ids, data.base) if tuning else data.base
    net = copy.deepcopy(parent) if parent else Recommender.initial(base.shape[1], settings.model)
    if parent is None:  # or the parent's weights would mean something else
        real = data.new.feats[data.new.cand >= 0].astype(np.float32)
        net.standardise(torch.from_numpy(real))
    before = parent or copy.deepcopy(net)
    carried, own = averaging.apart(optimizer or {})
    averaging.go_on(net, own)
    data = data._replace(
        rehearsal=recalled(data.rehearsal, settings.trainer.rehearsal, before, base, data.topics, seed))
    how = {"optimizer_state": carried, "first": first, "seed": seed}
    fit, learner = _fit(net, before, data, base, settings.trainer, plugins, tuning, how)
    learned = tuning.vectors(data.ids, data.base) if tuning else base
    old = _ndcg(data, before, base)
    sets = held_out, anchors = Sets(*map(Compared, old, _ndcg(data, net, learned)))
    by_learner = Sets(*map(Compared, old, _ndcg(data, learner, base))) if learner else None
    both = [i for i, e in enumerate(data.anchors.event_ids) if e in data.best]
    best = np.array([data.best[data.anchors.event_ids[i]] for i in both])
    judged = verdict(sets, settings.trainer, seed, Compared(best, anchors.new[both]), by_learner)
    if not all(bool(torch.isfinite(p).all()) for p in net.parameters()):
        judged = Verdict(False, "the fit ran away: a weight of the new model is no number", judged.metrics)
    if tuning and not judged.publish:
        tuning.undo()
    return _Found(judged, net, fit, held_out, anchors.new)


def _fit(
    net: Recommender, before: Recommender, data: _Data, base: Base, settings: Trainer, plugins: Plugins,
    tuning: Tuning | None, how: dict[str, Any],
) -> tuple[FitResult, Recommender | None]:
    """Make of `net` what is to be published; and the learner, where that is an average of its weights."""
    if tuning:
        scale = settings.increment_scale * averaging.ALONE
        slower = settings.model_copy(update={"increment_scale": scale})
        return tuning.fit(net, data.new, data.rehearsal, data.ids, base, slower, **how), None
    more = plugins(before, data.new, data.rehearsal)
    fit = fine_tune(net, data.new, data.rehearsal, base, settings, **how, plugins=more, tail=data.held_out)
    if how["first"] or not settings.average:
        return fit, None
    learner = copy.deepcopy(net)
    averaging.average(net, before, settings.average)
    return replace(fit, optimizer_state=averaging.with_own(fit.optimizer_state, learner)), learner


def _ndcg(data: _Data, net: Recommender, base: Base) -> list[Array]:
    """NDCG@10 [n] of a model with its text vectors: on the rows held out, and on the anchors."""
    return [ndcg(scores(net, rows, base), rows.target) for rows in (data.held_out, data.anchors)]


def _publish(
    found: _Found, after: TrainerState, anchors: Examples, encoder: str, now: float
) -> tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes]]:
    """Files of model, optimizer and co-reads, all empty on a refusal."""
    if not (found.verdict.publish and found.net and found.fit):
        return {}, {}, {}
    after.fitted = True
    after.raise_best(anchors, found.anchors)
    about = {"encoder": encoder, "made_at": now, "rows": after.rows,
             "learned_until": after.learned_until, "cursor": sorted(after.cursor.items())}
    counted = after.counters.copy() if after.parked else after.counters
    for w in after.parked:  # the scorer, which goes on from here, has counted them
        count(counted, w.partition, w.row)
    return (bundle.to_files(found.net, about), adam.to_files(found.fit.optimizer_state),
            co_reads.to_files(counted))


def _numbers(data: _Data, fit: FitResult | None) -> dict[str, float]:
    counts = {"rows_new": float(len(data.new)), "rows_rehearsal": float(len(data.rehearsal))}
    done = {"steps": float(fit.steps), "loss": fit.loss, "seconds": fit.seconds,
            "passes": float(fit.passes)} if fit else {}
    tokens = {"tokens": float(fit.tokens)} if isinstance(fit, TextFit) else {}
    return counts | done | tokens
