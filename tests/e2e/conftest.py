"""A Kafka of these tests' own: it declares a killed consumer dead after 1.5 s instead of 6 s."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamrec.adapters.embedded import java, kafka
from tests.e2e.harness import JARS, Stack

QUICK = {"group.min.session.timeout.ms": "1000"}


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port, as the fixture of the same name in tests/conftest.py."""
    folder = tmp_path_factory.mktemp("e2e-kafka")
    server = kafka.EmbeddedKafka(folder, JARS, jvm=[java.C1_ONLY], props=QUICK)
    server.start()
    yield server.bootstrap
    server.kill()


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
