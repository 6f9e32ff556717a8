"""When to train: enough new rows, or enough time with some."""

import pytest

from schedulers.learner import for_trigger
from schedulers.trigger import DAY_S, drift_asks, of_a_day, waiting, why_train
from streamrec.config import Settings, Trainer
from streamrec.registry import Pointer

S = Trainer(min_rows=10, trigger_rows=100, trigger_s=60.0)


def why(now: float, rows: int, last: float = 0.0, started: float = 0.0) -> str | None:
    return why_train(now, rows, Pointer(last_attempt_at=last), started, S)


@pytest.mark.parametrize(("now", "rows", "expected"), [
    (0, 99, None), (0, 100, "rows"), (59.9, 99, None), (60, 9, None), (60, 10, "time"),
    (60, 100, "rows"), (1e6, 0, None),
])
def test_rows_or_time_with_the_minimum(now: float, rows: int, expected: str | None) -> None:
    assert why(now, rows) == expected


def test_a_clock_that_was_set_back_does_not_stop_training() -> None:
    assert why(1000, 10, last=4600) == "time" and why(1000, 10, last=1010) is None


def test_time_counts_from_the_last_attempt_or_the_start() -> None:
    assert why(1000, 10, last=950) is None and why(1010, 10, last=950) == "time"
    assert why(1000, 10, last=0, started=980) is None


def test_fewer_rows_than_the_minimum_never_train() -> None:
    strict = Trainer(min_rows=500, trigger_rows=100)
    assert why_train(1e9, 499, Pointer(), 0.0, strict) is None
    assert why_train(0.0, 500, Pointer(), 0.0, strict) == "rows"


def test_what_waits_is_counted_by_partition() -> None:
    assert waiting({0: 10, 1: 5, 2: 3}, {0: 4, 1: 9}) == 9
    assert waiting({}, {0: 4}) == 0


def test_an_alarm_of_drift_trains_at_once_with_the_minimum() -> None:
    assert why_train(1.0, 10, Pointer(), 0.0, S, alarm=True) == "drift"
    assert why_train(1.0, 9, Pointer(), 0.0, S, alarm=True) is None
    assert why_train(1.0, 100, Pointer(), 0.0, S, alarm=True) == "rows"


def test_an_alarm_is_answered_once() -> None:
    assert drift_asks(1000.0, 990.0, Pointer(last_attempt_at=980.0), [], S)
    assert not drift_asks(1000.0, 990.0, Pointer(last_attempt_at=995.0), [], S)
    assert not drift_asks(1000.0, 0.0, Pointer(), [], S)


def test_alarms_make_no_storm_of_updates() -> None:
    s, trained = Trainer(drift_every_s=100.0, drift_per_day=5), list[float]()
    for now in range(10_000, 12_000):  # an alarm every second
        if drift_asks(float(now), now - 0.5, Pointer(), trained, s):
            trained.append(float(now))
    assert len(trained) == 5 and min(b - a for a, b in zip(trained, trained[1:], strict=False)) >= 100
    assert drift_asks(10_000 + DAY_S, 10_000 + DAY_S, Pointer(), trained, s)
    assert len(of_a_day(trained, 10_000 + DAY_S)) == 4
    assert not drift_asks(1.0, 1.0, Pointer(), [], Trainer(drift_per_day=0))


def test_an_update_for_drift_may_learn_faster_and_rehearse_what_is_newer_and_no_other_does() -> None:
    plain = Settings(trainer=Trainer(increment_scale=0.5, rehearsal="strata"))
    assert for_trigger(plain, "drift").trainer == plain.trainer
    own = Settings(trainer=Trainer(increment_scale=0.5, drift_scale=1.5, drift_rehearsal="recent"))
    drift = for_trigger(own, "drift").trainer
    assert (drift.increment_scale, drift.rehearsal) == (0.75, "recent")
    assert for_trigger(own, "rows") is own and for_trigger(own, "time") is own
