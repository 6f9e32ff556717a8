"""The heuristics with the settings among which the first windows choose: equal tuning for all."""

from collections.abc import Callable
from functools import partial

from streamrec.evaluation.arm import Arm
from streamrec.evaluation.heuristics import Content, Lexical, Newest, Popular, Random
from streamrec.evaluation.item_knn import ItemKnn, transition

Factory = Callable[[int], Arm]  # of a seed
HOUR, DAY, WEEK = 3600.0, 86_400.0, 7 * 86_400.0
EVER = 1000 * 365 * DAY  # and not infinity: among equal counts the newer come first
HALF_LIVES = {
    "1h": HOUR, "3h": 3 * HOUR, "12h": 12 * HOUR, "1d": DAY, "3d": 3 * DAY, "1w": WEEK,
    "4w": 4 * WEEK, "ever": EVER,
}


def _unseeded(make: Callable[[], Arm]) -> Factory:
    return lambda seed: make()


def _sasrec(popularity: float) -> Factory:
    def make(seed: int) -> Arm:
        from streamrec.evaluation.sasrec import SasRec  # torch: only for who asks for it

        return SasRec(seed, popularity)

    return make


def _knn() -> dict[str, Factory]:
    """Both ways for catalogues that last, onwards and fast fading for news."""
    after = partial(ItemKnn, alpha=0.5, beta=0.0, directed=True)
    return {
        "cosine-ever": _unseeded(partial(ItemKnn, EVER)),
        "cosine-ever-close": _unseeded(partial(ItemKnn, EVER, last=5, reach=2)),
        "cosine-4w-close": _unseeded(partial(ItemKnn, 4 * WEEK, last=5, reach=5)),
        **{f"after-{h}": _unseeded(partial(after, HALF_LIVES[h])) for h in ("1h", "3h", "1d", "1w")},
        "transition": _unseeded(partial(transition, EVER)),
    }


FAMILIES: dict[str, dict[str, Factory]] = {
    "random": {"random": Random},
    "newest": {"newest": _unseeded(Newest)},
    "popular": {name: _unseeded(partial(Popular, h)) for name, h in HALF_LIVES.items()},
    "hot": {
        f"{name}-{born}": _unseeded(partial(Popular, HALF_LIVES[name], birth=float(born)))
        for name in ("1h", "3h", "12h", "1d") for born in (3, 10)
    },
    "item-knn": _knn(),
    "content": {
        "last": _unseeded(partial(Content, "last")), "mean": _unseeded(partial(Content, "mean")),
        "faded": _unseeded(partial(Content, "faded")), "max": _unseeded(partial(Content, "max")),
    },
    "lexical": {
        "last": _unseeded(partial(Lexical, "last")), "faded": _unseeded(partial(Lexical, "faded")),
        "max": _unseeded(partial(Lexical, "max")),
    },
    "sasrec": {"ids": _sasrec(0.0), "ids+hot": _sasrec(10.0)},
}
