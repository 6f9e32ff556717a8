"""Models swapped under load: every answer is wholly of the version it names, and none is missing.

No feedback comes in meanwhile, so the counters stand still and scores can be computed again.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamrec.events import Recommendation, Request, decode, encode
from tests.e2e.harness import Process, Stack, wait_until
from tests.e2e.models import READERS, Scores, feed, fill_catalogue, names, publish, scores

SWAPS, RATE, PATIENCE_S = 20, 100.0, 45  # late answers are answers: a busy machine gives fewer a second
pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


class Asking:
    """Readers who ask without a pause, and the answers read from the topic."""

    def __init__(self, stack: Stack) -> None:
        broker = stack.parts.broker
        self._stack, self._publisher = stack, broker.publisher()
        self._inbox = broker.subscribe([stack.topic("recommendations")], None, "earliest")
        self.asked: list[str] = []
        self.answers: list[Recommendation] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=t) for t in (self._ask, self._listen)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._stop.wait(1 / RATE):
            n = len(self.asked)
            request = Request(request_id=f"r{n}", user_id=f"u{n % READERS}")
            self._publisher.send(self._stack.topic("requests"), None, encode(request))
            self.asked.append(request.request_id)
        self._publisher.flush()

    def _listen(self) -> None:
        while not self._stop.is_set() or self.missing():
            for records in self._inbox.poll(0.1, 500).values():
                self.answers += [decode(Recommendation, r.value, time.time()) for r in records]
            if self._stop.is_set() and time.monotonic() > self._patience:
                return

    def missing(self) -> set[str]:
        return set(self.asked) - {a.request_id for a in list(self.answers)}

    def names_version(self, version: str) -> bool:
        return any(a.model_version == version for a in self.answers[-100:])

    def end(self) -> None:
        """Ask no more; wait for what is still owed."""
        self._patience = time.monotonic() + PATIENCE_S
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._inbox.close()


@pytest.fixture
def asking(stack: Stack) -> Iterator[Asking]:
    asking = Asking(stack)
    yield asking
    asking.end()


def serving(stack: Stack, asking: Asking) -> Process:
    """A scorer under load that serves its first version."""
    fill_catalogue(stack, names())
    feed(stack, 0, 1500)
    version = publish(stack, 0)
    scorer = stack.start("score")
    asking.start()
    wait_until(lambda: asking.names_version(version), 30, "the first version serves")
    return scorer


def agree(answer: Recommendation, wanted: Scores) -> bool:
    want = wanted[answer.user_id]
    return all(abs(i.score - want[i.item_id]) < 1e-3 for i in answer.items)


def test_twenty_swaps_tear_no_answer_and_fail_no_request(stack: Stack, asking: Asking) -> None:
    serving(stack, asking)
    versions = []
    for seed in range(1, SWAPS + 1):
        versions.append(publish(stack, seed))
        wait_until(lambda: asking.names_version(versions[-1]), 15, f"swap {seed} is taken")
    asking.end()

    assert not asking.missing()
    assert not [a.error for a in asking.answers if a.error]
    answers = [a for a in asking.answers if a.model_version != "0"]
    wanted = {v: scores(stack, v) for v in {a.model_version for a in answers}}
    assert set(versions) <= wanted.keys()
    torn = [a for a in answers if not agree(a, wanted[a.model_version])]
    assert not torn
    after = dict(zip(versions, versions[1:], strict=False))
    told = [a for a in answers if a.model_version in after]
    assert not [a for a in told if agree(a, wanted[after[a.model_version]])], "versions differ"
    print(f"{SWAPS} swaps, {len(asking.asked)} requests, {len(asking.answers)} answers: 0 torn")


def flip_a_byte(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 0xFF
    path.write_bytes(content)


def half_written(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    (folder / "config.json").unlink()


@pytest.mark.parametrize("spoil", [flip_a_byte, half_written])
def test_a_damaged_version_is_refused_and_the_next_good_one_taken(
    stack: Stack, asking: Asking, spoil: object
) -> None:
    scorer = serving(stack, asking)
    good = stack.parts.registry.current().version
    bad = publish(stack, 1, spoil)  # type: ignore[arg-type]
    wait_until(lambda: scorer.events("model_refused"), 10, "the refusal is logged")
    n = len(asking.answers)
    wait_until(lambda: len(asking.answers) > n + 50, 10, "answers go on")
    assert asking.answers[-1].model_version == good
    assert f"versions/{bad}" in scorer.events("model_refused")[0]["why"]
    better = publish(stack, 2)
    wait_until(lambda: asking.names_version(better), 5, "the next good version is taken")
    asking.end()

    assert not asking.missing()
    assert not [a.error for a in asking.answers if a.error]
    assert bad not in {a.model_version for a in asking.answers}


def test_an_article_that_changes_during_a_swap_is_scored_as_it_is_now(
    stack: Stack, asking: Asking
) -> None:
    serving(stack, asking)
    for seed in range(1, 4):
        version = publish(stack, seed)
        for change in range(12):  # some fall between the building of a model and its swap
            fill_catalogue(stack, names()[change::12], seed=100 * seed + change)
            time.sleep(0.06)
        wait_until(lambda v=version: asking.names_version(v), 15, "the swap is taken")
        time.sleep(0.6)
        wanted, n = scores(stack, version), len(asking.answers)
        wait_until(lambda n=n: len(asking.answers) > n + 2 * READERS, 10, "answers go on")
        assert [a.user_id for a in asking.answers[n + 20 :] if not agree(a, wanted)] == []
