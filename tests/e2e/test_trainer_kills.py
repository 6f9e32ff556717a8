"""kill -9 of trainers at every bad moment: each row is learned exactly once."""

import json
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from streamrec.config import Trainer
from streamrec.errors import RetryLater
from streamrec.events import ModelPointer, decode
from streamrec.learning.state import TrainerState
from tests.e2e.harness import Stack, wait_until
from tests.e2e.load import whole_topic
from tests.e2e.models import feed, fill_catalogue, names

# A margin this wide: the gate has tests of its own, here every increment is published.
QUICK = Trainer(trigger_rows=200, min_rows=100, trigger_s=600, margin=1.0, lease_s=2.0,
                max_steps=60)
SLOW = QUICK.model_copy(update={"first_passes": 100, "max_steps": 20_000})
DYING = str(Path(__file__).with_name("dying_trainer.py"))
pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]


@pytest.fixture
def fed(stack: Stack) -> Stack:
    """A stack with a catalogue and the first rows."""
    stack.configure(trainer=QUICK)
    fill_catalogue(stack, names())
    feed(stack, 0, 600)
    return stack


def published(stack: Stack, n: int, seconds: float = 90.0) -> None:
    """Wait until `n` increments are committed."""
    pointers = stack.parts.registry.pointers
    wait_until(lambda: pointers.read().attempt >= n, seconds, f"increment {n} is committed")


def each_row_is_learned_once(stack: Stack, increments: int) -> None:
    """The pointer, the versions and the trainer's state agree with the rows in the buffer."""
    registry = stack.parts.registry
    pointer, records = registry.current(), registry.pointers.records()
    assert (pointer.attempt, pointer.published, pointer.refused) == (increments, increments, 0)
    assert len({r.version for r in records}) == len(records) == increments
    parents = [r.parent for r in records]
    assert parents == [None, *(r.version for r in records[:-1])], "each learned from the last"
    assert pointer.version == records[-1].version
    state = TrainerState.from_files(
        registry.load("states", pointer.state or "").files, stack.settings.buffer)
    assert state.cursor == pointer.cursor
    assert sum(r.rows for r in records) == state.rows == sum(pointer.cursor.values())
    counted = dict(zip(state.counters.ids, state.counters.totals().tolist(), strict=True))
    assert {i: n for i, n in counted.items() if n} == rows_until(stack, pointer.cursor)


def rows_until(stack: Stack, cursor: dict[int, int]) -> Counter[str]:
    """Rows of each article up to the cursor, counted from the buffer."""
    window = stack.parts.buffer.window({}, 10**9)
    return Counter(w.row.item for w in window if w.ordinal <= cursor.get(w.partition, 0))


def test_a_child_killed_in_mid_fit_is_started_again_and_the_window_read_again(fed: Stack) -> None:
    fed.configure(trainer=SLOW)
    trainer = fed.start("train")
    wait_until(lambda: trainer.events("fitting"), 60, "the fit has begun")
    time.sleep(0.3)
    trainer.children()[0].send_signal(signal.SIGKILL)
    failed = wait_until(lambda: trainer.events("training_failed"), 10, "the parent notices")
    assert "died with -9" in failed[0]["why"]
    assert fed.parts.registry.current().attempt == 0, "nothing was learned"
    published(fed, 1)
    feed(fed, 600, 600)
    published(fed, 2)
    assert trainer.alive()
    each_row_is_learned_once(fed, 2)


def test_killed_between_staging_and_the_move_of_the_pointer(fed: Stack) -> None:
    dying = fed.start("dying", DYING, "before")
    assert dying.wait(90) == -signal.SIGKILL
    registry = fed.parts.registry
    orphans = registry.files.folders("versions")
    assert len(orphans) == 1, "the version was staged"
    assert registry.current().attempt == 0 and not registry.pointers.records()

    fed.start("train")
    published(fed, 1)
    feed(fed, 600, 600)
    published(fed, 2)
    each_row_is_learned_once(fed, 2)
    assert not set(orphans) & {r.version for r in registry.pointers.records()}
    shown = fed.run("models", "list", "--json")
    assert [r["serving"] for r in json.loads(shown.stdout)] == [False, True]


def announced(stack: Stack) -> list[str] | None:
    """Versions that the models topic has named; None while a new Kafka cannot say."""
    try:
        log = whole_topic(stack.parts.broker, stack.topic("models"))
    except RetryLater:
        return None
    return [decode(ModelPointer, r.value, 0.0).version for r in log[0]]


def test_killed_between_the_move_of_the_pointer_and_its_announcement(fed: Stack) -> None:
    dying = fed.start("dying", DYING, "after")
    assert dying.wait(90) == -signal.SIGKILL
    version = fed.parts.registry.current().version
    assert version
    wait_until(lambda: announced(fed) == [], 30, "the topic can be read: nobody was told", every=1.0)
    fed.start("train")
    wait_until(lambda: announced(fed) == [version], 60, "the next trainer announces it", every=1.0)
    each_row_is_learned_once(fed, 1)


def test_a_trainer_killed_in_mid_fit_takes_its_child_along(fed: Stack) -> None:
    fed.configure(trainer=SLOW)
    trainer = fed.start("train")
    wait_until(lambda: trainer.events("fitting"), 60, "the fit has begun")
    orphans = trainer.children()
    assert orphans
    trainer.kill()
    _, alive = psutil.wait_procs(orphans, timeout=10)
    assert not alive, "what nobody waits for is not fitted to its end"
    assert fed.parts.registry.current().attempt == 0
    fed.env["STREAMREC_TRAINER__MAX_STEPS"] = str(QUICK.max_steps)
    fed.start("train")
    published(fed, 1)
    each_row_is_learned_once(fed, 1)


def test_of_two_trainers_one_works_and_the_other_takes_over(fed: Stack) -> None:
    trainers = [fed.start("train"), fed.start("train")]
    published(fed, 1)
    working, idle = sorted(trainers, key=lambda t: not t.events("training"))
    assert not idle.events("training")
    feed(fed, 600, 600)
    published(fed, 2)
    working.kill()
    feed(fed, 1200, 600)
    published(fed, 3)
    assert idle.events("lease_taken")
    each_row_is_learned_once(fed, 3)
