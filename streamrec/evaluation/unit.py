"""Arms over one log: test, then train, window after window."""

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.evaluation.arm import Arm, Bools, Cost, Floats, Moment, Rows, Truth
from streamrec.evaluation.learned import Learned
from streamrec.evaluation.log import Log
from streamrec.evaluation.metrics import auc, rank_of, variety
from streamrec.evaluation.schedule import Schedule
from streamrec.evaluation.site import Site
from streamrec.evaluation.walk import Reader, about
from streamrec.events import Article, Feedback

TOP = 10


@dataclass
class Record:
    """What a run measured, one entry a scored event, and what its learning cost."""

    rows: dict[str, list[Any]] = field(default_factory=dict)
    repeats: list[tuple[int, float]] = field(default_factory=list)  # window and rank of each scored repeat
    costs: list[Cost] = field(default_factory=list)
    matrix: NDArray[np.float64] | None = None  # [versions, windows, 3]: see matrix.matrix
    matrix_dormant: NDArray[np.float64] | None = None
    published: int = 0
    refused: int = 0
    peak_mb: float = 0.0

    def add(self, **facts: Any) -> None:
        """One scored event."""
        for name, value in facts.items():
            self.rows.setdefault(name, []).append(value)


Pairs = Sequence[tuple[Arm, Record]]


def run(
    log: Log, schedule: Schedule, site: Site, arms: Sequence[Arm], until: int | None = None,
    truth: Truth | None = None,
) -> list[Record]:
    """Test, then train, over all windows or `until` one (for tuning); each arm is asked the same. `truth`
    judges their lists, where it can be known."""
    pairs = [(arm, Record()) for arm in arms]
    reader, window = Reader(log, schedule, site), 0
    wanted = schedule.scored | schedule.repeats if until is None else schedule.scored
    for n, event, moment in reader.moments(wanted, partial(_tell, arms), until):
        while schedule.window[n] > window:
            _learn(site, pairs, schedule, float(event.timestamp))  # type: ignore[arg-type]
            window += 1
        if moment is not None and n in schedule.repeats:
            _score_repeat(pairs, moment, event, window)
        elif moment is not None:
            _score(pairs, moment, event, n, reader, truth)
    if until is None:
        _learn(site, pairs, schedule, schedule.bounds[-1][1])
    for arm, record in pairs:
        if isinstance(arm, Learned):
            record.published, record.refused = arm.published, arm.refused
        record.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [record for _, record in pairs]


def _tell(arms: Sequence[Arm], message: Article | Feedback) -> None:
    for arm in arms:
        if isinstance(message, Article):
            arm.announce(message)
        else:
            arm.observe(message)


def _learn(site: Site, pairs: Pairs, schedule: Schedule, now: float) -> None:
    site.catch_up(now)
    rows = [r for r in site.new_rows() if r.event_id not in schedule.held_ids]
    for arm, record in pairs:
        record.costs.append(arm.learn(rows))


def _score(
    pairs: Pairs, moment: Moment, event: Feedback, n: int, reader: Reader, truth: Truth | None
) -> None:
    target = moment.state.articles.index.get(event.item_id or "", -1)
    asked = {"event": n, "window": int(reader.schedule.window[n]), "user": event.user_id,
             "candidates": int(moment.eligible.sum()),
             **about(moment, target, reader, event)}
    for arm, record in pairs:
        scored = arm.scores(moment)
        eligible = moment.eligible[: len(scored)]
        logits = isinstance(arm, Learned) and not arm.how.shown.lists
        top = top_of(scored, eligible)
        record.add(rank=rank_of(scored, eligible, target), top=top, variety=_varied(moment, top),
                   appeal=appeal_of(truth, moment, top),
                   confidence=_confidence(scored, eligible) if logits else np.nan,
                   auc=slate_auc(partial(arm.among, moment, scored=scored), moment, event), **asked)


def _score_repeat(pairs: Pairs, moment: Moment, event: Feedback, window: int) -> None:
    target = moment.state.articles.index.get(event.item_id or "", -1)
    for arm, record in pairs:
        scored = arm.scores(moment)
        record.repeats.append((window, rank_of(scored, moment.eligible[: len(scored)], target)))


def top_of(scored: Floats, eligible: Bools) -> list[int]:
    """Rows of the ten best, in no order; -1 where there are fewer."""
    rows = np.flatnonzero(eligible)
    values = np.nan_to_num(scored[rows], nan=-np.inf)
    k = min(TOP, len(rows))
    best = rows[np.argpartition(-values, k - 1)[:k]] if k else rows
    return [int(i) for i in best] + [-1] * (TOP - k)


def _varied(moment: Moment, top: Sequence[int]) -> float:
    return variety(moment.state.articles.vectors[[row for row in top if row >= 0]])


def appeal_of(truth: Truth | None, moment: Moment, top: Sequence[int]) -> float:
    """Of a list to its reader: the mean over its articles; NaN if nobody knows."""
    items = [moment.state.articles.entries[row].item_id for row in top if row >= 0]
    return float(np.mean(truth.score(moment.user, moment.t, items))) if truth and items else np.nan


def _confidence(scored: Floats, eligible: Bools) -> float:
    """Softmax probability of the first place, for calibration: of scores that are logits."""
    values = scored[eligible].astype(np.float64)
    values = values[np.isfinite(values)]
    return float(1.0 / np.exp(values - values.max()).sum()) if len(values) else np.nan


def slate_auc(score: Callable[[Rows], Floats], moment: Moment, event: Feedback) -> float:
    """Of the article chosen within what was shown and not yet read; NaN without a slate."""
    index = moment.state.articles.index
    chosen = index.get(event.item_id or "", -1)
    shown = list(dict.fromkeys(index[i] for i in event.impression if i in index))
    kept = [r for r in shown if r == chosen or moment.eligible[r]]
    if chosen not in kept or len(kept) < 2:
        return np.nan
    # In the order shown: it may not give the choice away.
    found, at = score(np.array(kept)), kept.index(chosen)
    return auc(found[[at]], np.delete(found, at))
