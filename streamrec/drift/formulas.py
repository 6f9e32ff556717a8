"""The statistics behind the findings, as plain functions."""

import math
from collections.abc import Mapping

SMOOTHING = 0.5  # Jeffreys: a topic absent from one window must not make the index infinite
MAX_TOPICS = 20  # the rest is pooled: chance alone adds to the index with every topic
NOISE_SIGMAS = 6.0  # the index is looked at many times per window, so chance needs a wide berth


def epsilon_cut(n0: int, n1: int, variance: float, delta: float) -> float:
    """Difference of two sub-window means that ADWIN calls a change.

    Bifet & Gavaldà (2007), section 4, with delta' = delta / ln(n) as river and MOA have it.
    """
    log_term = math.log(2 * math.log(n0 + n1) / delta)
    m = 1 / (1 / n0 + 1 / n1)
    return math.sqrt(2 / m * variance * log_term) + 2 / (3 * m) * log_term


def pooled(reference: Mapping[str, int], current: Mapping[str, int]) -> list[tuple[int, int]]:
    """Counts (reference, current) of the reference's main topics, then of all others together."""
    main = sorted(reference, key=lambda t: (-reference[t], t))[:MAX_TOPICS]
    pairs = [(reference[t], current.get(t, 0)) for t in main]
    rest = (sum(reference.values()) - sum(r for r, _ in pairs),
            sum(current.values()) - sum(c for _, c in pairs))
    return [*pairs, rest]


def psi(pairs: list[tuple[int, int]]) -> float:
    """Population stability index: sum of (q - p) ln(q / p) over smoothed shares.

    The credit-scoring index (Siddiqi 2006), which is Jeffreys' symmetric divergence.
    """
    n = sum(r for r, _ in pairs) + SMOOTHING * len(pairs)
    m = sum(c for _, c in pairs) + SMOOTHING * len(pairs)
    shares = [((r + SMOOTHING) / n, (c + SMOOTHING) / m) for r, c in pairs]
    return sum((q - p) * math.log(q / p) for p, q in shares)


def psi_noise(n: int, m: int, bins: int) -> float:
    """An index that chance alone does not reach: without drift it is (1/n + 1/m) chi-square.

    Yurdakul & Naranjo (2020), "Statistical properties of the population stability index".
    """
    freedom = bins - 1
    return (1 / n + 1 / m) * (freedom + NOISE_SIGMAS * math.sqrt(2 * freedom))


def movers(reference: Mapping[str, int], current: Mapping[str, int], most: int = 3) -> str:
    """Topics whose share rose and fell most, in percent."""
    n, m = sum(reference.values()), sum(current.values())
    share = {t: (100 * reference.get(t, 0) / n, 100 * current.get(t, 0) / m)
             for t in {*reference, *current}}
    order = sorted(share, key=lambda t: (share[t][0] - share[t][1], t))

    def told(topics: list[str], sign: int) -> str:
        moved = [t for t in topics if sign * (share[t][1] - share[t][0]) > 0]
        return ", ".join(f"{t} {share[t][0]:.1f}% to {share[t][1]:.1f}%" for t in moved) or "none"

    return f"rose: {told(order[:most], 1)}; fell: {told(order[::-1][:most], -1)}"
