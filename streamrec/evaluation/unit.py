"""Arms over one log: test, then train, window after window; then the matrix R."""

import resource
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.evaluation.arm import Arm, Bools, Cost, Floats, Moment
from streamrec.evaluation.learned import Learned, scores
from streamrec.evaluation.log import Log
from streamrec.evaluation.metrics import auc, rank_of
from streamrec.evaluation.schedule import READS, Schedule
from streamrec.evaluation.site import Site
from streamrec.events import Article, Feedback
from streamrec.scoring import Served

TOP = 10
FEW_READS, COLD = 5, 5  # reads a reader is new with; reads an article is cold with
CATCH_UP = 1000  # messages between two looks of the site at what it was sent
Progress = Callable[[int], None]


@dataclass
class Record:
    """What a run measured, one entry a scored event, and what its learning cost."""

    rows: dict[str, list[Any]] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    matrix: NDArray[np.float64] | None = None  # [versions, windows, 2]: HR@10, NDCG@10 of held-out reads
    matrix_dormant: NDArray[np.float64] | None = None
    published: int = 0
    refused: int = 0
    peak_mb: float = 0.0

    def add(self, **facts: Any) -> None:
        """One scored event."""
        for name, value in facts.items():
            self.rows.setdefault(name, []).append(value)


class Reader:
    """Walks a site through the log; yields each event with what was known before it."""

    def __init__(self, log: Log, schedule: Schedule, site: Site) -> None:
        self.log, self.schedule, self.site = log, schedule, site
        self.seen: dict[str, dict[str, None]] = defaultdict(dict)
        self.last_seen: dict[str, float] = {}

    def moments(
        self, wanted: set[int], told: Callable[[Article | Feedback], None] = lambda m: None,
        until: int | None = None,
    ) -> Iterator[tuple[int, Feedback, Moment | None]]:
        """Every event, with its moment if it is wanted. A window's end yields before its last
        event is published: ask `site` only between windows after `catch_up`."""
        n = -1
        for k, (at, message) in enumerate(self.log.messages):
            if k % CATCH_UP == 0:
                self.site.catch_up(at)
            if isinstance(message, Feedback):
                n += 1
                if until is not None and self.schedule.window[n] > until:
                    return
                yield n, message, self._moment(message, at) if n in wanted else None
                if message.event_type in READS and message.item_id:
                    self.seen[message.user_id][message.item_id] = None
                    self.last_seen[message.user_id] = at
            self.site.publish(message)
            told(message)

    def _moment(self, event: Feedback, at: float) -> Moment:
        self.site.catch_up(at)
        return self.site.moment(event.user_id, at, self.seen[event.user_id])


Pairs = Sequence[tuple[Arm, Record]]


def run(
    log: Log, schedule: Schedule, site: Site, arms: Sequence[Arm], until: int | None = None,
    progress: Progress = lambda n: None,
) -> list[Record]:
    """Test, then train, over all windows or `until` one (for tuning); each arm is asked the same."""
    pairs = [(arm, Record()) for arm in arms]
    reader, window = Reader(log, schedule, site), 0
    for n, event, moment in reader.moments(schedule.scored, partial(_tell, arms), until):
        while schedule.window[n] > window:
            _learn(site, pairs, schedule, float(event.timestamp))  # type: ignore[arg-type]
            window += 1
        if moment is not None:
            _score(pairs, moment, event, n, reader)
        progress(n)
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


def _score(pairs: Pairs, moment: Moment, event: Feedback, n: int, reader: Reader) -> None:
    target = moment.state.articles.index.get(event.item_id or "", -1)
    about = {"event": n, "window": int(reader.schedule.window[n]), "user": event.user_id,
             "candidates": int(moment.eligible.sum()),
             **_slices(moment, target, reader.schedule, reader, event)}
    for arm, record in pairs:
        scored = arm.scores(moment)
        eligible = moment.eligible[: len(scored)]
        rank = rank_of(scored, eligible, target) if 0 <= target < len(scored) else np.inf
        record.add(rank=rank, top=_top(scored, eligible), confidence=_confidence(scored, eligible),
                   auc=_auc(scored, moment, event), **about)


def _top(scored: Floats, eligible: Bools) -> list[int]:
    rows = np.flatnonzero(eligible)
    values = np.nan_to_num(scored[rows], nan=-np.inf)
    k = min(TOP, len(rows))
    best = rows[np.argpartition(-values, k - 1)[:k]] if k else rows
    return [int(i) for i in best] + [-1] * (TOP - k)


def _confidence(scored: Floats, eligible: Bools) -> float:
    """Softmax probability of the first place: for calibration, where scores are logits."""
    values = scored[eligible].astype(np.float64)
    values = values[np.isfinite(values)]
    return float(1.0 / np.exp(values - values.max()).sum()) if len(values) else np.nan


def _auc(scored: Floats, moment: Moment, event: Feedback) -> float:
    """Of the article chosen within the slate that was shown; NaN without one."""
    index, shown = moment.state.articles.index, event.impression
    rows = [index[i] for i in shown if i in index and index[i] < len(scored)]
    chosen = index.get(event.item_id or "", -1)
    if chosen not in rows or len(rows) < 2:
        return np.nan
    return auc(scored[[chosen]], scored[[r for r in rows if r != chosen]])


def _slices(
    moment: Moment, target: int, schedule: Schedule, reader: Reader, event: Feedback
) -> dict[str, Any]:
    """What kind of question it is; the same for every arm."""
    counters, i = moment.state.counters, np.array([max(target, 0)])
    reads, last = int(counters.totals(i)[0]), float(counters.last_read(i)[0])
    length = (schedule.bounds[-1][1] - schedule.bounds[1][0]) / schedule.windows
    popular = counters.decayed(moment.t)[:, 1][: len(moment.eligible)][moment.eligible]
    mine = float(counters.decayed(moment.t, i)[0, 1])
    gap = moment.t - reader.last_seen.get(event.user_id, moment.t)
    return {
        "cold_article": reads < COLD, "new_reader": len(moment.history) < FEW_READS,
        "decile": int(10 * (popular < mine).mean()) if len(popular) else 0,
        "dormant": bool(reads and moment.t - last > length) or gap > length,
    }


def matrix(
    log: Log, schedule: Schedule, site: Site, arm: Learned, rerank: int,
    progress: Progress = lambda n: None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """R [versions, windows, 2] over all held-out reads, and over those of dormant articles and
    readers: each is asked of every version, at its own moment."""
    shape = (len(arm.versions) - 1, schedule.windows + 1, 2)
    sums, counts = np.zeros((2, *shape)), np.zeros((2, *shape))
    reader = Reader(log, schedule, site)
    for n, event, moment in reader.moments(schedule.held):
        progress(n)
        if moment is None:
            continue
        target = moment.state.articles.index.get(event.item_id or "", -1)
        dormant = _slices(moment, target, schedule, reader, event)["dormant"]
        for places, served in _distinct(arm.versions[1:]):
            scored = scores(moment, served, rerank)
            rank = rank_of(scored, moment.eligible[: len(scored)], target) if target >= 0 else np.inf
            gain = np.array([rank <= TOP, 1.0 / np.log2(1.0 + rank) if rank <= TOP else 0.0])
            for k in ([0, 1] if dormant else [0]):
                sums[k, places, schedule.window[n]] += gain
                counts[k, places, schedule.window[n]] += 1
    with np.errstate(invalid="ignore"):
        every, dormant_only = sums / counts
    return every, dormant_only


def _distinct(versions: Sequence[Served]) -> Iterator[tuple[list[int], Served]]:
    """Each version once, with all the places it stands at: a refused window keeps the last."""
    places: dict[int, list[int]] = defaultdict(list)
    for k, served in enumerate(versions):
        places[id(served)].append(k)
    for at in places.values():
        yield at, versions[at[0]]
