"""When to train: enough new rows, or enough time with some."""

import pytest

from schedulers.trigger import waiting, why_train
from streamrec.config import Trainer
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
