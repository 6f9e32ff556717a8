"""The statistics behind the findings, as plain functions."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from streamrec.events import A_MINUTE, Contributor

SMOOTHING = 0.5  # Jeffreys: a topic absent from one window must not make the index infinite
MAX_TOPICS = 20  # the rest is pooled: chance alone adds to the index with every topic
NOISE_SIGMAS = 6.0  # the index is looked at many times per window, so chance needs a wide berth
RESAMPLES = 200
LARGEST_R = 0.9  # of neighbouring reads: of a reader who reads one topic at a time nothing more can be said
ROUNDING = 1e-9  # of sums of values that are all the same
MIN_SIDE = 5  # values on each side of a moment that ADWIN looks at
Pairs = Sequence[tuple[float, float]]


def epsilon_cut(n0: int, n1: int, variance: float, delta: float) -> float:
    """Difference of two sub-window means that ADWIN calls a change.

    Bifet & Gavaldà (2007), section 4, with delta' = delta / ln(n) and sub-windows counted without the fewest
    values that they may have, as river has it.
    """
    log_term = math.log(2 * math.log(n0 + n1) / delta)
    m = 1 / (1 / (n0 - MIN_SIDE + 1) + 1 / (n1 - MIN_SIDE + 1))
    return math.sqrt(2 / m * variance * log_term) + 2 / (3 * m) * log_term


def seconds(well_read: float) -> float:
    """The time for which `events.well_read` gives this, in [0, 1]."""
    return A_MINUTE * well_read / max(1.0 - well_read, 1e-9)


def two_sided(difference: float, error: float) -> float:
    """p-value of a difference that is normal with this standard error if nothing changed. What rounding may
    have made, of values that are all the same, is none."""
    if abs(difference) < ROUNDING:
        return 1.0
    if error <= 0:
        return 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))


def pooled(reference: Mapping[str, float], current: Mapping[str, float]) -> list[tuple[float, float]]:
    """Counts (reference, current) of the reference's main topics, then of all others together."""
    main = sorted(reference, key=lambda t: (-reference[t], t))[:MAX_TOPICS]
    pairs = [(reference[t], current.get(t, 0)) for t in main]
    rest = (sum(reference.values()) - sum(r for r, _ in pairs),
            sum(current.values()) - sum(c for _, c in pairs))
    return [*pairs, rest]


def _smoothed(pairs: Pairs) -> NDArray[np.float64]:
    """Shares [2, bins] of reference and current."""
    counts = np.maximum(np.asarray(pairs, dtype=np.float64).T, 0.0) + SMOOTHING
    shares: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
    return shares


def psi(pairs: Pairs) -> float:
    """Population stability index: sum of (q - p) ln(q / p) over smoothed shares.

    The credit-scoring index (Siddiqi 2006), which is Jeffreys' symmetric divergence.
    """
    p, q = _smoothed(pairs)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(pairs: Pairs) -> float:
    """Jensen-Shannon divergence in bits, 0 (alike) to 1 (nothing in common). Lin (1991)."""
    p, q = _smoothed(pairs)
    m = (p + q) / 2
    return float((p * np.log2(p / m) + q * np.log2(q / m)).sum() / 2)


def psi_noise(n: float, m: float, bins: int) -> float:
    """An index that chance alone does not reach: without drift it is (1/n + 1/m) chi-square.

    Yurdakul & Naranjo (2020), "Statistical properties of the population stability index".
    """
    freedom = bins - 1
    return (1 / n + 1 / m) * (freedom + NOISE_SIGMAS * math.sqrt(2 * freedom))


def psi_p_value(value: float, n: float, m: float, bins: int) -> float:
    """Chance of such an index or a larger one without drift, by the same chi-square."""
    return float(chdtrc(max(bins - 1, 1), value / (1 / n + 1 / m)))


def psi_interval(pairs: Pairs, seed: int = 7) -> tuple[float, float]:
    """95 % bootstrap interval of the index: both windows' values drawn again."""
    rng, counts = np.random.default_rng(seed), np.maximum(np.asarray(pairs, dtype=np.float64), 0.0)
    totals = counts.sum(axis=0).round().astype(int)
    drawn = [rng.multinomial(t, c / c.sum(), RESAMPLES) for t, c in zip(totals, counts.T, strict=True)]
    found = [psi(list(zip(*both, strict=True))) for both in zip(*drawn, strict=True)]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def turned(
    before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]
) -> tuple[list[tuple[float, float]], float]:
    """How much more of each topic readers read than they used to, as (difference of shares, standard error
    if nothing changed), and how many pairs of reads tell of it, from reads by reader and topic.

    Mantel & Haenszel (1959): each reader is a stratum, whose reads are dealt to the two windows as by chance.
    """
    more, spread, weight = defaultdict[str, float](float), defaultdict[str, float](float), 0.0
    for reader in before.keys() & after.keys():
        old, new = before[reader], after[reader]
        m, n = sum(old.values()), sum(new.values())
        whole = m + n
        weight += m * n / whole
        for topic in old.keys() | new.keys():
            k = old.get(topic, 0) + new.get(topic, 0)
            more[topic] += new.get(topic, 0) - n * k / whole
            spread[topic] += m * n * k * (whole - k) / (whole**2 * (whole - 1))
    return [(more[t] / weight, math.sqrt(v) / weight) for t, v in spread.items() if v > 0], weight


def visits_effect(
    order: Iterable[tuple[str, str]], *reads: Mapping[str, Mapping[str, int]]
) -> float:
    """How much more sums over readers' reads vary than if each read were drawn by itself, at least 1, from
    the newest reads (reader, topic) in order and all reads by reader and topic.

    (1 + r) / (1 - r), of a sequence whose neighbours correlate by r (Bartlett 1946): by how much neighbours
    are of one topic more often than any two reads of their reader.
    """
    last: dict[str, str] = {}
    same = expected = pairs = 0.0
    alike: dict[str, float] = {}
    for reader, topic in order:
        if reader in last:
            if reader not in alike:
                alike[reader] = _alike(*(of[reader] for of in reads if reader in of))
            pairs, same, expected = pairs + 1, same + (last[reader] == topic), expected + alike[reader]
        last[reader] = topic
    if not pairs or expected >= pairs:
        return 1.0
    r = min(max((same - expected) / (pairs - expected), 0.0), LARGEST_R)
    return (1 + r) / (1 - r)


def _alike(*counts: Mapping[str, int]) -> float:
    """The chance that two reads are of one topic."""
    whole = Counter[str]()
    for each in counts:
        whole.update(each)
    n = whole.total()
    return sum(k * (k - 1) for k in whole.values()) / (n * (n - 1)) if n > 1 else 1.0


def movers(
    reference: Mapping[str, float], current: Mapping[str, float], most: int = 3
) -> list[Contributor]:
    """Topics whose share rose most, then those whose share fell most."""
    n, m = sum(reference.values()) or 1.0, sum(current.values()) or 1.0
    moved = [Contributor(kind="topic", name=t, before=reference.get(t, 0) / n, after=current.get(t, 0) / m)
             for t in sorted({*reference, *current})]
    order = sorted(moved, key=lambda c: c.before - c.after)
    rose = [c for c in order[:most] if _permille(c.after) > _permille(c.before)]
    return rose + [c for c in order[::-1][:most] if _permille(c.after) < _permille(c.before)]


def _permille(share: float) -> float:
    """As it is told: what looks the same has not moved."""
    return round(share, 3)


def gini(counts: NDArray[np.float64]) -> float:
    """Gini coefficient of counts [n] that are not negative: 0 all alike, to 1 one has all."""
    x = np.sort(counts)
    if not len(x) or x.sum() == 0:
        return 0.0
    ranks = np.arange(1, len(x) + 1)
    return float((2 * ranks - len(x) - 1) @ x / (len(x) * x.sum()))
