"""The beginnings of real logs, where they lie next to the repository: every event is stored."""

from pathlib import Path

import pytest

from streamrec import datasets
from streamrec.events import Feedback
from tests.e2e.harness import REPOSITORY, Stack, wait_until

DATA = REPOSITORY.parent / "shared" / "data"
EVENTS = 3000
pytestmark = [pytest.mark.server, pytest.mark.timeout(150)]


@pytest.mark.parametrize("name", ["deskdrop", "tldr"])
def test_the_beginning_of_a_real_log_is_stored(stack: Stack, name: str) -> None:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    stack.start("collect")
    done = stack.run("replay", str(folder), "--limit", str(EVENTS), seconds=100)
    assert done.returncode == 0, done.stderr
    assert f"and {EVENTS} events" in done.stdout
    ids = first_ids(folder)
    buffer = stack.parts.buffer
    wait_until(lambda: buffer.counts().stored >= len(set(ids)), 30, "the events are stored")
    assert buffer.audit(list(dict.fromkeys(ids))) == (len(set(ids)), 0)
    assert buffer.counts().dead == 0
    announced = sum(stack.parts.broker.group_lag("nobody", [stack.topic("articles")]).values())
    assert f"published {announced} articles" in done.stdout


def first_ids(folder: Path) -> list[str]:
    """Of the events that `--limit` lets through."""
    events = [m.event_id for _, m in datasets.in_time_order(folder) if isinstance(m, Feedback)]
    return events[:EVENTS]
