"""An increment as the dashboard and the monitor know it."""

import numpy as np

from schedulers import quality
from streamrec.drift.remembered import with_eras
from streamrec.events import ModelDiff
from streamrec.registry import VersionRecord


def record(version: str, until: float) -> VersionRecord:
    return VersionRecord(
        version=version, parent=None, created_at=0.0, rows=1, learned_until=until, metrics={}
    )


def test_rows_of_older_eras_go_to_the_version_that_learned_them_first() -> None:
    records = [record("1", 10.0), record("3", 20.0), record("4", 30.0)]
    anchors = [(5.0, 0.2), (10.0, 0.4), (10.5, 1.0), (25.0, 0.5), (31.0, 0.9)]
    assert quality.eras(anchors, records) == [("1", 2, 0.3), ("3", 1, 1.0), ("4", 1, 0.5)]
    assert quality.eras([], records) == [] and quality.eras(anchors, []) == []


def test_a_diff_tells_what_is_forgotten_of_each_era_that_both_were_asked_about_the_worst_first() -> None:
    def increment(version, published, **eras):
        return {"version": version, "published": published, "eras": [(e, 3, x) for e, x in eras.items()]}

    known = [increment("2", True, a=0.5, b=0.5), increment("3", True, a=0.6, b=0.3, c=0.9),
             increment("4", False, a=0)]
    found = with_eras(ModelDiff(older="2", newer="3", readers=1, n=10, overlap=9.0), known)
    assert [(e.name, e.before, e.after) for e in found.eras] == [("b", 0.5, 0.3), ("a", 0.5, 0.6)]
    assert found.overlap == 9.0
    assert with_eras(ModelDiff(older="2", newer="4", readers=1, n=10, overlap=9.0), known).eras == []


def test_the_gap_is_to_the_better_control_row_by_row() -> None:
    rows = {"live": [0.5, 0.1], "frozen": [0.0, 0.2], "popularity": [0.4, 0.4], "new": [1.0, 1.0]}
    assert quality._gaps(rows) == [0.1, -0.3]
    assert quality._gaps({"live": [0.5]}) == [] and quality._gaps({}) == []
    assert quality._gaps({"live": [0.5], "frozen": [0.3], "popularity": [0.4]}) == [0.2]


def test_luck_makes_no_control_the_better_one() -> None:
    """All three are equally good: the mean gap is nothing."""
    rng, gaps = np.random.default_rng(0), []
    for _ in range(200):
        gaps += quality._gaps({arm: rng.random(50).tolist() for arm in ("live", *quality.CONTROLS)})
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / len(gaps) ** 0.5
