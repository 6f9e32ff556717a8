"""The walk through a log: every event with what was known before it, and what kind of question it is."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from streamrec.evaluation.arm import Moment
from streamrec.evaluation.log import Log
from streamrec.evaluation.schedule import READS, Schedule
from streamrec.evaluation.site import Site
from streamrec.events import Article, Feedback

FEW_READS, COLD = 5, 5  # reads a reader is new with; reads an article is cold with
CATCH_UP = 1000  # messages between two looks of the site at what it was sent


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
                yield n, message, self._moment(n, message, at) if n in wanted else None
                if message.item_id and message.event_type != "impression":
                    self.seen[message.user_id][message.item_id] = None
                if message.item_id and message.event_type in READS:
                    self.last_seen[message.user_id] = at
            self.site.publish(message)
            told(message)

    def _moment(self, n: int, event: Feedback, at: float) -> Moment:
        self.site.catch_up(at)
        repeat = n in self.schedule.repeats
        return self.site.moment(event.user_id, at, None if repeat else self.seen[event.user_id])


def about(
    moment: Moment, target: int, reader: Reader, event: Feedback
) -> dict[str, Any]:
    """What kind of question it is; the same for every arm."""
    counters, i = moment.state.counters, np.array([max(target, 0)])
    reads, last = int(counters.totals(i)[0]), float(counters.last_read(i)[0])
    length = (reader.schedule.bounds[-1][1] - reader.schedule.bounds[1][0]) / reader.schedule.windows
    popular = counters.decayed(moment.t)[:, 1][: len(moment.eligible)][moment.eligible]
    mine = float(counters.decayed(moment.t, i)[0, 1])
    gap = moment.t - reader.last_seen.get(event.user_id, moment.t)
    return {
        "cold_article": reads < COLD, "new_reader": len(moment.history) < FEW_READS,
        "decile": int(10 * (popular < mine).mean()) if len(popular) else 0,
        "dormant": bool(reads and moment.t - last > length) or gap > length,
    }
