"""A home and a stack of processes for each test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Stack


@pytest.fixture
def home() -> Iterator[Path]:
    """A short-lived home: models and logs."""
    with tempfile.TemporaryDirectory(prefix="streamrec-e2e-") as folder:
        yield Path(folder)


@pytest.fixture
def stack(kafka_server: str, redis_server: str, prefix: str, home: Path) -> Iterator[Stack]:
    """Topics and settings of one test on the session's servers; its processes end with it."""
    stack = Stack(kafka_server, redis_server, prefix, home)
    yield stack
    stack.close()
