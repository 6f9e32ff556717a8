"""One suite for every detector: a new class in `detectors` is tested by existing."""

import inspect
import random
from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec
import pytest

from streamrec.config import Monitor
from streamrec.drift import detectors
from streamrec.drift.contract import Detector
from streamrec.events import Finding, encode

SETTINGS = Monitor()
SEEDS = range(5)
STATIONARY = 20_000
CLASSES = [
    c for _, c in inspect.getmembers(detectors, inspect.isclass)
    if issubclass(c, Detector) and not inspect.isabstract(c) and c.__module__ == detectors.__name__
]
Draw = Callable[[random.Random, bool], Any]


def rate(rng: random.Random, shifted: bool) -> float:
    return float(rng.random() < (0.2 if shifted else 0.4))


def topic(rng: random.Random, shifted: bool) -> str:
    if shifted and rng.random() < 1 / 3:
        return "t0"
    return f"t{min(int(rng.paretovariate(0.8)), 60)}"


DRAWS: dict[type, Draw] = {float: rate, str: topic}


def draw_for(kind: type[Detector]) -> Draw:
    return DRAWS[get_type_hints(kind.update)["x"]]


def feed(d: Detector, n: int, seed: int, shifted: bool = False) -> list[tuple[int, Finding]]:
    """Alarms, each with how many values it took."""
    rng, draw, alarms = random.Random(seed), draw_for(type(d)), []
    for i in range(n):
        d.update(draw(rng, shifted))
        if d.alarm:
            alarms.append((i + 1, d.report()))
    return alarms


every = pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)


def test_the_detectors_are_discovered() -> None:
    assert {c.__name__ for c in CLASSES} >= {"ClickRate", "OnlineRank", "TopicMix"}
    assert len({c(SETTINGS).name for c in CLASSES}) == len(CLASSES)


@every
def test_a_stationary_stream_gives_almost_no_alarm(kind: type[Detector]) -> None:
    alarms = [feed(kind(SETTINGS), STATIONARY, seed) for seed in SEEDS]
    assert sum(map(len, alarms)) <= 1, alarms


@every
@pytest.mark.parametrize("seed", SEEDS)
def test_an_abrupt_shift_gives_one_alarm_soon(kind: type[Detector], seed: int) -> None:
    d = kind(SETTINGS)
    assert not feed(d, 3000, seed)
    alarms = feed(d, 6000, seed + 100, shifted=True)
    assert len(alarms) == 1
    delay, finding = alarms[0]
    assert delay <= 600
    assert finding.value is not None and finding.threshold is not None
    assert finding.value >= finding.threshold and finding.detail


@every
def test_it_alarms_again_at_a_second_shift(kind: type[Detector]) -> None:
    d = kind(SETTINGS)
    feed(d, 3000, 1)
    assert feed(d, 4000, 2, shifted=True)
    assert feed(d, 4000, 3)


@every
def test_too_few_samples_never_give_a_number(kind: type[Detector]) -> None:
    d, draw, rng = kind(SETTINGS), draw_for(kind), random.Random(0)
    for n in range(99):
        found = d.report()
        assert (found.value, found.threshold, found.alarm, found.samples) == (None, None, False, n)
        assert found.detail.startswith(f"not enough data ({n} of ")
        d.update(draw(rng, n > 50))


@every
def test_an_alarm_waits_until_it_is_reported_once(kind: type[Detector]) -> None:
    d, draw, rng = kind(SETTINGS), draw_for(kind), random.Random(5)
    for i in range(6000):
        d.update(draw(rng, i > 3000))
    assert d.alarm and d.report().alarm
    assert not d.alarm and not d.report().alarm


@every
def test_a_report_is_json_and_names_its_windows(kind: type[Detector]) -> None:
    d = kind(SETTINGS)
    feed(d, 3000, 1)
    found = d.report()
    assert msgspec.json.decode(encode(found), type=Finding) == found
    assert found.detector == d.name and found.samples > 0
    assert found.value is not None and found.threshold is not None
    assert found.value < found.threshold
    assert any(c.isdigit() for c in found.reference) and any(c.isdigit() for c in found.current)


def test_topic_mix_names_what_rose_and_fell() -> None:
    d = detectors.TopicMix(SETTINGS)
    feed(d, 3000, 1)
    [(_, found)] = feed(d, 2000, 2, shifted=True)
    rose, fell = found.detail.split("; ")
    assert rose.startswith("rose: t0 0.0% to ") and fell.startswith("fell: t1 ")


def test_online_rank_tells_model_versions_apart() -> None:
    d = detectors.OnlineRank(SETTINGS)
    for i in range(600):
        d.update(1 / (1 + i % 3), f"v{i // 100}")
    told = d.report().detail
    assert "v5: " in told and "v2: " in told and "v1: " not in told


def test_small_windows_raise_the_threshold_over_chance() -> None:
    small = Monitor(reference=50, window=50)
    assert sum(len(feed(detectors.TopicMix(small), 5000, s)) for s in SEEDS) <= 1
