"""The bench's own Kafka and Redis in a temporary folder, and the product's processes on them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import SecretStr

from streamrec import wiring
from streamrec.adapters.embedded.kafka import EmbeddedKafka
from streamrec.adapters.embedded.redis import EmbeddedRedis
from streamrec.config import Kafka, Redis, Settings
from streamrec.events import Feedback, encode
from streamrec.supervisor import Child
from tests.places import JARS

REPOSITORY = Path(__file__).parents[2]


class Bench:
    """Two servers; each measurement takes a topic prefix of its own."""

    def __init__(self, folder: Path, kafka: EmbeddedKafka, redis: EmbeddedRedis) -> None:
        self.folder, self._kafka, self._redis = folder, kafka, redis

    def parts(self, prefix: str) -> wiring.Parts:
        """The composition root for this prefix, topics made."""
        parts = wiring.Parts(Settings(
            home=self.folder / prefix, redis=Redis(url=SecretStr(self._redis.url)),
            kafka=Kafka(bootstrap_servers=self._kafka.bootstrap, topic_prefix=prefix),
        ))
        wiring.create_topics(parts.settings)
        return parts

    def env(self, prefix: str) -> dict[str, str]:
        """The environment of a process with the settings of `parts`."""
        ours = {k: v for k, v in os.environ.items() if not k.startswith("STREAMREC_")}
        return {
            **ours, "OMP_NUM_THREADS": "1", "STREAMREC_HOME": str(self.folder / prefix),
            "STREAMREC_KAFKA__BOOTSTRAP_SERVERS": self._kafka.bootstrap,
            "STREAMREC_REDIS__URL": self._redis.url, "STREAMREC_KAFKA__TOPIC_PREFIX": prefix,
            "STREAMREC_WEB__PORT": "0",
        }

    @contextmanager
    def process(self, name: str, prefix: str, **settings: str) -> Iterator[Child]:
        """`streamrec NAME` as the supervisor runs it."""
        child = Child(name, self.env(prefix) | settings, self.folder)
        child.tend(time.monotonic())
        try:
            yield child
        finally:
            child.stop()

    def script(self, module: str, prefix: str, *args: str) -> str:
        """What a module of ours prints, run in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", module, *args], env=self.env(prefix), cwd=REPOSITORY,
            stdout=subprocess.PIPE, text=True, check=True, timeout=120,
        )
        return done.stdout


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Both servers started; killed in the end, for nobody needs their data."""
    kafka, redis = EmbeddedKafka(folder / "kafka", JARS), EmbeddedRedis(folder / "redis")
    try:
        kafka.start()
        redis.start()
        yield Bench(folder, kafka, redis)
    finally:
        kafka.kill()
        redis.kill()


def publish(parts: wiring.Parts, events: Sequence[Feedback]) -> None:
    """Feedback on its topic, acknowledged."""
    publisher, topic = parts.broker.publisher(), parts.names.topic("feedback")
    for event in events:
        publisher.send(topic, event.user_id.encode(), encode(event))
    publisher.flush(60)
    publisher.close()


def peak_mb(pid: int | None) -> float:
    """The most memory a process ever held (where the system does not say: what it holds now)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return float(psutil.Process(pid).memory_info().rss) / 2**20


def wait_for(what: str, true: Callable[[], bool], seconds: float = 60.0, step: float = 0.03) -> None:
    """Raises TimeoutError, naming what did not come."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(step)
