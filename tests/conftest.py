"""One real Kafka and one real Redis for the whole session; each test has its own prefix.

Where the packages cannot be had the tests that need a server are skipped, but in CI they fail.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch

import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from pydantic import SecretStr

from streamrec.adapters.embedded import java, kafka
from streamrec.adapters.embedded.redis import EmbeddedRedis
from streamrec.adapters.embedded.server import Server
from streamrec.config import Redis
from streamrec.errors import RetryLater, SetupError
from tests.e2e.harness import wait_until
from tests.places import JARS

# The same draws each time, however busy the machine is.
settings.register_profile("ours", deadline=None, derandomize=True)
settings.load_profile("ours")
QUICK = {"group.min.session.timeout.ms": "1000"}  # a killed consumer is soon declared dead

ALONE = ("tests/e2e/", "tests/benchmarks/")  # where `make test` looks for tests that run alone


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no worker is left with them in the end. And what no run takes proves
    nothing."""
    items.sort(key=lambda i: not i.nodeid.startswith("tests/e2e/"))
    lost = [i.nodeid for i in items if i.get_closest_marker("alone") and not i.nodeid.startswith(ALONE)]
    if lost:
        raise pytest.UsageError(f"`make test` runs what is marked alone from {ALONE} only: {lost}")


@pytest.fixture(autouse=True)
def one_torch_thread() -> None:
    """Two threads are slower than one on a busy machine."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def start(server: Server) -> None:
    """Start it; where that cannot be done, skip on a laptop and fail in CI: a suite that skips
    its servers proves nothing."""
    try:
        server.start()
    except SetupError as error:
        if os.environ.get("CI"):
            pytest.fail(f"no server: {error}", pytrace=False)
        pytest.skip(f"no server: {error}")


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of the session's Kafka; the AOT cache is used when somebody trained one."""
    server = kafka.EmbeddedKafka(tmp_path_factory.mktemp("kafka"), JARS, jvm=[java.C1_ONLY], props=QUICK)
    start(server)
    yield server.bootstrap
    server.kill()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the session's Redis."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    start(server)
    yield server.url
    server.kill()


@pytest.fixture(scope="session")
def redis_connection(redis_server: str) -> Iterator[Any]:
    """Our connection to the session's Redis."""
    from streamrec.adapters.redis import connect

    connection = connect(Redis(url=SecretStr(redis_server)))
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def kafka_broker(kafka_server: str) -> Iterator[Any]:
    """Our broker on the session's Kafka."""
    from streamrec.adapters.kafka import KafkaBroker
    from streamrec.config import Kafka

    broker = KafkaBroker(Kafka(bootstrap_servers=kafka_server, session_timeout_s=6.0))
    wait_until(lambda: knows_groups(broker), 60, "the new Kafka knows its groups")
    yield broker
    broker.close()


def knows_groups(broker: Any) -> bool:
    """It makes their topic when somebody first asks, and refuses until that is there."""
    try:
        broker.group_lag("nobody", [])
        return True
    except RetryLater:
        return False


@pytest.fixture
def prefix() -> str:
    """First word of this test's topics and keys."""
    return f"t{uuid.uuid4().hex[:10]}"
