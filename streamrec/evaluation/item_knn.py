"""Item-to-item neighbours: what the same readers read, faded (Sarwar et al. 2001, Ding & Li 2005)."""

import numpy as np

from streamrec.evaluation.arm import Floats, Moment
from streamrec.evaluation.heuristics import FADE, Doubles, Heuristic, Numbers, fallback, read_of
from streamrec.events import Feedback, epoch

KEEP = 200  # neighbours an article keeps, the strongest; up to twice as many between two cuts
REBASE = 500.0  # half-lives after which the forward weights start again from 1
GONE = 1e-12  # reads: a pair that has faded below is dropped then


class ItemKnn(Heuristic):
    """A score is the sum, over the reader's `last` reads b, faded by rank, of
    c(b, i) / ((n(b) + shrink)^alpha (n(i) + shrink)^beta), with n the readers of an article and c
    those of both, a first read fading by half every `half_life_s`. Where nothing is near, the tie
    is broken by what is popular.

    alpha = beta = 1/2: cosine; alpha = 1, beta = 0: the share of b's readers. `reach`: reads before
    a new one that count as read with it. `directed`: only from b to what was read after it, which
    on news is better than both ways, as a reader goes on to newer articles.
    """

    def __init__(
        self, half_life_s: float, last: int = 10, reach: int = 20, alpha: float = 0.5,
        beta: float = 0.5, shrink: float = 1.0, directed: bool = False,
    ) -> None:
        self._half_life, self._last, self._reach, self._directed = half_life_s, last, reach, directed
        self._alpha, self._beta, self._shrink = alpha, beta, shrink
        self._popular, self._numbers = fallback(), Numbers()
        self._readers: Doubles = np.zeros(1024)  # n, by number, times 2^(time since `since`)
        self._both: list[dict[int, float]] = []  # c, likewise
        self._recent: dict[str, list[int]] = {}
        self._seen: set[tuple[str, int]] = set()
        self._since: float | None = None

    def observe(self, event: Feedback) -> None:
        """See Arm."""
        item = read_of(event)
        if item is None:
            return
        self._popular.observe(event)
        i, recent = self._number(item), self._recent.setdefault(event.user_id, [])
        if (event.user_id, i) not in self._seen:
            self._seen.add((event.user_id, i))
            self._count(i, recent, self._weight(epoch(event.timestamp)))
        self._recent[event.user_id] = [i, *(b for b in recent if b != i)][: self._reach]

    def _number(self, item: str) -> int:
        i = self._numbers.add(item)
        if i == len(self._both):
            self._both.append({})
        if i >= len(self._readers):
            self._readers = np.append(self._readers, np.zeros(len(self._readers)))
        return i

    def _count(self, i: int, recent: list[int], weight: float) -> None:
        self._readers[i] += weight
        own = self._both[i]
        for b in recent:
            after = self._both[b]
            after[i] = after.get(i, 0.0) + weight
            if not self._directed:
                own[b] = own.get(b, 0.0) + weight
        for n in (i, *recent):
            if len(self._both[n]) > 2 * KEEP:
                self._both[n] = dict(sorted(self._both[n].items(), key=lambda p: -p[1])[:KEEP])

    def _weight(self, ts: float) -> float:
        """Forward decay (Cormode et al. 2009): weights grow, and are scaled down when asked for."""
        since = self._since = ts if self._since is None else self._since
        if ts - since > REBASE * self._half_life:
            scale = 2.0 ** max((since - ts) / self._half_life, -1000.0)
            self._readers *= scale
            self._both = [
                {k: w * scale for k, w in partners.items() if w * scale > GONE} for partners in self._both
            ]
            since = self._since = ts
        return float(2.0 ** ((ts - since) / self._half_life))

    def scores(self, moment: Moment) -> Floats:
        """See Arm."""
        near, of = np.zeros(len(self._both)), self._numbers.of
        last = [of[r.item] for r in moment.history if r.kind != "dismiss" and r.item in of]
        for k, b in enumerate(last[: self._last]):
            self._add(near, b, FADE**k, moment.t)
        known = self._numbers.spread(near, moment.state.articles, 0.0)
        return (known + self._popular.tie_break(moment)).astype(np.float32)

    def _add(self, near: Doubles, b: int, weight: float, t: float) -> None:
        partners = self._both[b]
        at = np.fromiter(partners, np.int64, len(partners))
        both = np.fromiter(partners.values(), np.float64, len(partners))
        since = t if self._since is None else self._since
        scale = 2.0 ** ((since - t) / self._half_life)
        own = (self._readers[b] * scale + self._shrink) ** self._alpha
        near[at] += weight * both * scale / (own * (self._readers[at] * scale + self._shrink) ** self._beta)


def transition(half_life_s: float) -> ItemKnn:
    """First-order Markov chain: how often an article was read next after the last read."""
    return ItemKnn(half_life_s, last=1, reach=1, alpha=1.0, beta=0.0, directed=True)
