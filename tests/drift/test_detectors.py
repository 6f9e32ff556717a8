"""One suite for every detector: a new class in `streamrec.drift` is tested by existing."""

import importlib
import inspect
import itertools
import math
import pkgutil
import random
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

import streamrec.drift
from streamrec.config import Monitor
from streamrec.drift.content import ContentShift, NewWords
from streamrec.drift.contract import Detector, above
from streamrec.drift.controls import AgainstControls, Exposure, Gap
from streamrec.drift.formulas import turned
from streamrec.drift.mixes import Choice, TopicGivenShown, TopicMix
from streamrec.drift.monitor import Detectors
from streamrec.drift.rates import Calibration, ClickRate, ClickTrend, Duplicates, Dwell, OnlineRank
from streamrec.drift.turns import Read, ReadersTurn
from streamrec.events import Finding, encode
from tests.drift.draws import draw_for, rate, rising

SETTINGS = Monitor()
SEEDS = range(5)
STATIONARY = 10_000  # `make bench-drift` looks for longer
SOON = 1000  # values of its own until a shift is seen
MODULES = [importlib.import_module(f"streamrec.drift.{m.name}")
           for m in pkgutil.iter_modules(streamrec.drift.__path__)]
CLASSES = sorted({
    c for module in MODULES for _, c in inspect.getmembers(module, inspect.isclass)
    if issubclass(c, Detector) and not inspect.isabstract(c) and hasattr(c, "name")
}, key=lambda c: c.name)
RATES = [c for c in CLASSES if draw_for(c) in (rate, rising)]
ONE_WAY = [c for c in RATES if draw_for(c) is rising]
ONE_SIDED = (AgainstControls, NewWords, Exposure, *ONE_WAY)  # for whom the way back is no news


def feed(d: Detector, n: int, seed: int, shifted: int = False) -> list[tuple[int, Finding]]:
    """Alarms, each with how many values it took."""
    rng, draw, alarms = random.Random(seed), draw_for(type(d)), []
    for i in range(n):
        d.update(draw(rng, shifted))
        if d.alarm:
            alarms.append((i + 1, d.report()))
    return alarms


every = pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)


def test_the_detectors_are_discovered() -> None:
    assert {c.name for c in CLASSES} == {d.name for d in Detectors(SETTINGS)}  # each is in use
    assert len({c.name for c in CLASSES}) == len(CLASSES)
    kinds = {c.kind for c in CLASSES}
    assert kinds == {"content", "interest", "label", "performance", "data-quality", "feedback-loop"}


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
    assert delay <= SOON
    assert finding.value is not None and finding.threshold is not None
    assert finding.value >= finding.threshold and finding.detail


@every
def test_it_alarms_again_at_a_second_shift(kind: type[Detector]) -> None:
    d = kind(SETTINGS)
    feed(d, 3000, 1)
    assert feed(d, 4000, 2, shifted=True)
    alarms = feed(d, 4000, 3)
    assert alarms if kind not in ONE_SIDED else feed(d, 4000, 4, shifted=2)


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
    assert (found.p_value is not None or found.interval is not None) and found.severity == "none"
    assert kind is ContentShift or (found.interval and found.interval[0] <= found.interval[1])


@every
def test_it_says_since_when_its_newest_values_are_also_without_an_alarm(kind: type[Detector]) -> None:
    d, draw, rng = kind(SETTINGS), draw_for(kind), random.Random(1)
    for i in range(3000):
        d.update(draw(rng, 0), 1000.0 + i)
    found = d.report()
    assert not found.alarm and found.first_seen is not None and 1000 <= found.first_seen < 4000


def test_what_may_only_rise_is_named_so() -> None:
    assert {c.name for c in ONE_WAY} == {
        "duplicates", "missing-text", "missing-fields", "missing-dwell", "clock-skew"}


@pytest.mark.parametrize("kind", [Exposure, *ONE_WAY], ids=lambda c: c.__name__)
def test_a_change_for_the_better_is_told_without_an_alarm(kind: type[Detector]) -> None:
    d, draw, rng, told = kind(SETTINGS), draw_for(kind), random.Random(2), []
    feed(d, 3000, 1, shifted=True)
    for _ in range(3000):
        d.update(draw(rng, 0))
        told.append(d.report())
    assert not any(f.alarm for f in told)
    [better] = [f for f in told if "better" in f.detail]
    assert "fell from " in better.detail and better.severity == "none"
    assert better.value is not None and better.threshold is not None and better.value < -better.threshold
    assert feed(d, 3000, 3, shifted=True), "and the way back is an alarm again"


def test_an_alarm_that_waits_is_as_grave_as_it_was_and_what_came_after_is_told_next() -> None:
    d = Duplicates(SETTINGS)
    for value in (0.0, 1.0, 0.0):
        for _ in range(2000):
            d.update(value)
    alarm, after = d.report(), d.report()
    assert alarm.alarm and alarm.severity == "high" and "rose from" in alarm.detail
    assert not after.alarm and "for the better" in after.detail


def test_what_got_better_and_then_worse_is_told_as_worse_alone() -> None:
    d = Duplicates(SETTINGS)
    for value in (1.0, 0.0, 1.0):
        for _ in range(2000):
            d.update(value)
    assert "rose from" in d.report().detail
    assert "better" not in d.report().detail


def test_a_slow_change_is_told_by_the_moment_that_adwin_found() -> None:
    """It may lie far before what a window of reference holds."""
    seen = 0
    for seed in range(30):
        d, rng = ClickRate(SETTINGS), random.Random(seed)
        for i in range(20_000):
            d.update(float(rng.random() < 0.27 + 0.09 * min(1.0, i / 9000)), float(i))
            if d.alarm:
                found = d.report()
                assert found.value is not None and found.threshold is not None
                assert found.value > found.threshold
                newest = int(found.current.split()[1])
                assert found.first_seen == i + 1 - newest
                seen = max(seen, newest)
    assert seen > SETTINGS.reference


@pytest.mark.parametrize(("kind", "seconds", "told"), [(Dwell, 30.0, "30 s"), (Calibration, 0.0, "-0.400")])
def test_means_are_told_on_the_scale_of_their_readers(
    kind: type[Detector], seconds: float, told: str
) -> None:
    d, sizes = kind(SETTINGS), []
    for value in (0.7, seconds / (seconds + 60) if seconds else 0.3):
        for _ in range(3000):
            d.update(value)
            if d.alarm:
                sizes.append(d.report())
    [found] = sizes
    assert f" to {told}" in found.detail and found.current.endswith(f"mean {told}")
    assert found.reference.endswith("2.3 min" if seconds else "+0.400")
    if not seconds:
        assert found.interval and found.interval[0] <= -0.8 <= found.interval[1]


def watched(kind: type[Detector], shift_at: int, until: int) -> Iterator[Finding]:
    """Reports, each with one value more, of a stream that shifts."""
    d, draw, rng = kind(SETTINGS), draw_for(kind), random.Random(0)
    for i in range(until):
        d.update(draw(rng, int(i >= shift_at)), float(i))
        yield d.report()


@pytest.mark.parametrize(("kind", "why"), [
    (ClickRate, "ADWIN looks once in 32 values"), (ContentShift, "2 blocks in a row must be"),
])
def test_what_lies_above_its_threshold_without_an_alarm_says_why(kind: type[Detector], why: str) -> None:
    found = list(watched(kind, 1500, 2500))
    high = [f for f in found if above(f)]
    assert high and all(f.detail.endswith(f"; above its threshold, not yet an alarm: {why}") for f in high)
    assert not any("above its threshold" in f.detail for f in found if not above(f))
    assert any(f.alarm for f in found)


def test_a_model_that_stays_worse_than_its_controls_says_that_it_was_told() -> None:
    d = AgainstControls(SETTINGS)
    for i in range(300):
        d.update(Gap(-0.1 - 0.01 * (i % 2)))
    assert d.report().alarm
    assert "no new alarm: it was told" in d.report().detail


@pytest.mark.parametrize("few", [10, 30])
def test_the_same_few_articles_for_everybody_are_an_alarm_and_opening_up_is_none(few: int) -> None:
    rng = random.Random(1)
    narrow, wide = Exposure(SETTINGS), Exposure(SETTINGS)
    for i in range(500):
        mixed = tuple(f"a{int(400 * rng.random() ** 2)}" for _ in range(10))
        same = tuple(f"a{k}" for k in rng.sample(range(few), 10))
        narrow.update(mixed if i < 250 else same)
        wide.update(same if i < 250 else mixed)
    found = narrow.report()
    assert found.alarm and found.detail.startswith("Gini of exposure rose")
    found = wide.report()
    assert not found.alarm and found.detail.endswith("for the better")


def test_exposure_names_the_articles_whose_places_moved_most() -> None:
    d = Exposure(SETTINGS)
    for i in range(500):
        d.update(("always", "gone" if i < 250 else "come", *(f"a{(i * 7 + k) % 60}" for k in range(6))))
    assert [c.name for c in d.report().contributors][:2] == ["come", "gone"]


def test_topic_mix_names_what_rose_and_fell() -> None:
    d = TopicMix(SETTINGS)
    feed(d, 3000, 1)
    [(_, found)] = feed(d, 2000, 2, shifted=True)
    rose, fell = found.detail.split("; ")
    assert rose.startswith("rose: t0 0.0% to ") and fell.startswith("fell: ") and "t1 " in fell


def test_who_reads_is_no_turn_of_readers() -> None:
    """Others come who like other topics, and one reads more than all: nobody has turned."""
    d, mix, rng, alarms = ReadersTurn(SETTINGS), TopicMix(SETTINGS), random.Random(1), []
    for i in range(9000):
        reader = rng.randrange(40) if i < 4000 else rng.choice([7, rng.randrange(30, 70)])
        topic = f"t{reader // 6 if rng.random() < 0.7 else rng.randrange(12)}"
        d.update(Read(topic, f"u{reader}"))
        mix.update(topic)
        alarms += [each.name for each in (d, mix) if each.alarm and each.report().alarm]
    assert set(alarms) == {"topic-mix"}


def test_readers_who_never_come_again_say_nothing_of_a_turn() -> None:
    d = ReadersTurn(SETTINGS)
    for i in range(4000):
        d.update(Read(f"t{i % 3 if i < 3000 else 9}", f"u{i}"))
    found = d.report()
    assert found.value is None and found.detail == "not enough data (0 of 50)"


def test_a_small_sure_turn_hides_no_large_one() -> None:
    """Half of the readers turn to t0, while a new topic has a few of everybody's reads."""
    for seed in SEEDS:
        d, rng, after = ReadersTurn(SETTINGS), random.Random(seed), 0
        while not d.alarm and after < 1000:
            after += d._seen >= 3000
            reader = rng.randrange(60)
            liked = 0 if after and reader < 30 else reader % 12
            topic = f"t{liked if rng.random() < 0.4 else rng.randrange(12)}"
            d.update(Read("new" if after and rng.random() < 0.06 else topic, f"u{reader}"))
        assert after < 600


def test_turned_is_the_test_of_mantel_and_haenszel() -> None:
    before = {"u": {"a": 3, "b": 1}, "v": {"a": 2}, "gone": {"a": 9}}
    after = {"u": {"a": 1, "b": 3}, "v": {"a": 1, "b": 1}, "new": {"b": 9}}
    found, weight = turned(before, after)
    # u: 4 and 4 reads, 4 of b: 2 expected, variance 16 * 4 * 4 / (64 * 7); v: 2 and 2, 1 of b: 0.5, .25
    assert weight == 3.0
    error = math.sqrt(4 / 7 + 0.25) / 3
    assert np.allclose(sorted(found), [(-0.5, error), (0.5, error)])


def test_online_rank_tells_model_versions_apart() -> None:
    d = OnlineRank(SETTINGS)
    for i in range(600):
        d.update(1 / (1 + i % 3), 0.0, f"v{i // 100}")
    told = d.report().detail
    assert "v5: " in told and "v2: " in told and "v1: " not in told


def test_small_windows_raise_the_threshold_over_chance() -> None:
    small = Monitor(reference=50, window=50)
    assert sum(len(feed(TopicMix(small), 5000, s)) for s in SEEDS) <= 1


@every
def test_an_alarm_says_since_when_how_sure_and_how_grave(kind: type[Detector]) -> None:
    d, draw, rng = kind(SETTINGS), draw_for(kind), random.Random(3)
    for i in range(6000):
        d.update(draw(rng, i >= 3000), 1000.0 + i)
        if d.alarm:
            break
    found = d.report()
    assert found.kind == kind.kind and found.severity in ("low", "medium", "high")
    assert found.first_seen is not None and 3000 <= found.first_seen <= 1000 + i
    assert found.p_value is None or found.p_value < 0.01
    assert found.interval is None or found.interval[0] < found.interval[1]
    assert d.report().severity == "none"


def test_what_the_slates_show_is_no_change_of_interest() -> None:
    """Three times as many places for t3, readers as before: the mix of topics moves, the choice does not."""
    mix, given = TopicMix(SETTINGS), TopicGivenShown(SETTINGS)
    rng, alarms = random.Random(4), {mix.name: 0, given.name: 0}
    for i in range(9000):
        topics = [f"t{rng.randrange(12)}" for _ in range(8)]
        shown = tuple("t3" if i > 3000 and rng.random() < 0.3 else t for t in topics)
        chosen = rng.choices(shown, [6.0 if t == "t1" else 1.0 for t in shown])[0]
        mix.update(chosen)
        given.update(Choice(chosen, shown))
        for d in (mix, given):
            alarms[d.name] += d.alarm and d.report().alarm
    assert alarms == {mix.name: 1, given.name: 0}


@pytest.mark.parametrize("kind", RATES)
def test_what_is_no_number_changes_nothing(kind: type[Detector]) -> None:
    d, draw, rng = kind(SETTINGS), draw_for(kind), random.Random(0)
    for _ in range(500):
        d.update(draw(rng, False))
        d.update(float("nan"))
    found = d.report()
    assert found.samples == 500 and not found.alarm


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("kind", RATES)
def test_a_constant_stream_is_no_drift(kind: type[Detector], value: float) -> None:
    d = kind(SETTINGS)
    for _ in range(5000):
        d.update(value)
    assert not d.alarm
    found = d.report()
    assert not found.alarm and "stays at" in found.detail
    assert kind is ClickTrend or (found.threshold is not None and found.threshold < 0.1), "of a share"


def test_a_report_between_two_looks_tells_the_shift_once() -> None:
    d, rng, alarms = AgainstControls(SETTINGS), random.Random(0), 0
    for i in range(400):
        d.update(rng.gauss(0.0 if i < 103 else -0.3, 0.1))
        alarms += d.report().alarm
    assert alarms == 1


def visits(seed: int, readers: int, length: int, same: float) -> Iterator[tuple[str, str]]:
    """Reader and topic of reads in visits side by side, of readers whose tastes stay as they are; in a visit
    the next read is of the same topic as the last with this chance."""
    rng, np_rng = random.Random(seed), np.random.default_rng(seed)
    tastes = np_rng.dirichlet([0.5] * 12, readers).tolist()

    def any_topic(reader: int) -> int:
        return rng.choices(range(12), tastes[reader])[0]
    open_visits = [[0, 0, 0] for _ in range(20)]
    while True:
        visit = rng.choice(open_visits)
        if visit[1] == 0:
            reader = rng.randrange(readers)
            visit[:] = [reader, rng.randint(1, 2 * length - 1), any_topic(reader)]
        elif rng.random() > same:
            visit[2] = any_topic(visit[0])
        visit[1] -= 1
        yield f"u{visit[0]}", f"t{visit[2]}"


@pytest.mark.parametrize(("readers", "length"), [(100, 5), (300, 8), (1000, 8)])
def test_visits_on_one_topic_are_no_turn_of_readers(readers: int, length: int) -> None:
    alarms = 0
    for seed in range(2):
        d = ReadersTurn(SETTINGS)
        for reader, topic in itertools.islice(visits(seed, readers, length, same=0.8), 8000):
            d.update(Read(topic, reader))
            alarms += d.alarm and d.report().alarm
    assert alarms == 0


def test_visits_on_one_topic_are_no_news_given_what_was_shown() -> None:
    alarms, rng = 0, random.Random(0)
    for seed in range(3):
        d = TopicGivenShown(SETTINGS)
        for reader, topic in itertools.islice(visits(seed, 2000, 10, same=0.9), 6000):
            shown = [topic, *(f"t{rng.randrange(12)}" for _ in range(9))]
            d.update(Choice(topic, tuple(rng.sample(shown, 10))), who=reader)
            alarms += d.alarm and d.report().alarm
    assert alarms == 0
