"""The matrix R: every version's quality on the held-out reads of every window."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from streamrec.evaluation.learned import Learned, among, scores
from streamrec.evaluation.log import Log
from streamrec.evaluation.metrics import hr, ndcg, rank_of
from streamrec.evaluation.schedule import Schedule
from streamrec.evaluation.site import Site
from streamrec.evaluation.unit import TOP, slate_auc
from streamrec.evaluation.walk import Reader, about
from streamrec.scoring import Served


def matrix(
    log: Log, schedule: Schedule, site: Site, arm: Learned, rerank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """R [versions, windows, 3] over all held-out reads, and over those of dormant articles and
    readers: each is asked of every version, at its own moment. HR@10, NDCG@10, and the AUC within the
    slate of the reads that have one (NaN in a window where none has)."""
    shape = (len(arm.versions) - 1, schedule.windows + 1, 3)
    sums, counts = np.zeros((2, *shape)), np.zeros((2, *shape))
    reader, versions = Reader(log, schedule, site), arm.over(site.state.articles)[1:]
    for n, event, moment in reader.moments(schedule.held):
        if moment is None:
            continue
        target = moment.state.articles.index.get(event.item_id or "", -1)
        dormant = about(moment, target, reader, event)["dormant"]
        for places, served in _distinct(versions):
            scored = scores(moment, served, rerank)
            rank = [rank_of(scored, moment.eligible[: len(scored)], target)]
            clicked = slate_auc(partial(among, moment, served), moment, event)
            gain = np.array([*hr(rank, TOP), *ndcg(rank, TOP), clicked])
            for k in ([0, 1] if dormant else [0]):
                sums[k, places, schedule.window[n]] += np.nan_to_num(gain)
                counts[k, places, schedule.window[n]] += ~np.isnan(gain)
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
