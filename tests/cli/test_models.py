"""`streamrec models` on the session's servers."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from streamrec import wiring
from streamrec.adapters.memory import MemoryFiles, MemoryPointers
from streamrec.config import Kafka, Redis, Settings
from streamrec.errors import NotFound
from streamrec.registry import Registry, VersionRecord
from tests.e2e.harness import command

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


def publish(registry: Registry, version: str) -> None:
    """As the trainer does it."""
    registry.stage("versions", version, {"model.bin": b"weights"})
    old = registry.current()
    record = VersionRecord(version=version, parent=old.version, created_at=1.0, rows=9, learned_until=2.0,
                           metrics={})
    registry.pointers.move(replace(old, version=version, attempt=old.attempt + 1), old.attempt, None, record)


@pytest.fixture
def parts(tmp_path: Path, kafka_server: str, redis_server: str, prefix: str) -> Iterator[wiring.Parts]:
    """Of a home with its topics."""
    settings = Settings(home=tmp_path, redis=Redis(url=SecretStr(redis_server)),
                        kafka=Kafka(bootstrap_servers=kafka_server, topic_prefix=prefix))
    wiring.create_topics(settings)
    with closing(wiring.Parts(settings)) as found:
        yield found


def models(parts: wiring.Parts, *arguments: str) -> "CompletedProcess[str]":
    """`streamrec models` there."""
    s = parts.settings
    return command(s.home, "models", *arguments, STREAMREC_HOME=str(s.home),
                   STREAMREC_KAFKA__BOOTSTRAP_SERVERS=s.kafka.bootstrap_servers,
                   STREAMREC_REDIS__URL=s.redis.url.get_secret_value(),
                   STREAMREC_KAFKA__TOPIC_PREFIX=s.kafka.topic_prefix)


def test_a_version_that_is_not_there_is_one_sentence_that_names_the_list(parts: wiring.Parts) -> None:
    publish(parts.registry, "1")
    parts.board.put(wiring.BOARD_ENCODER, {"fingerprint": "of anything"})
    for arguments in (["diff", "1", "2"], ["diff", "7", "1"], ["show", "2"]):
        done = models(parts, *arguments)
        missing = next(a for a in arguments if a in ("2", "7"))
        assert done.returncode == 2 and not done.stdout
        assert done.stderr == f"streamrec: no published version {missing}; see `streamrec models list`\n"


def test_a_version_whose_files_were_deleted_is_told_as_such() -> None:
    registry = Registry(MemoryFiles(), MemoryPointers())
    for version in ("1", "2"):
        publish(registry, version)
    registry.require("1", "2")
    registry.files.delete("versions/1")
    with pytest.raises(NotFound, match="version 1 was pruned: its files are gone.*models list"):
        registry.require("2", "1")


def test_rolling_back_to_what_serves_says_so_and_tells_nobody(parts: wiring.Parts) -> None:
    publish(parts.registry, "1")
    publish(parts.registry, "2")

    def rolled_back(version: str) -> tuple[str, int]:
        """What it says, and how many messages the models topic has had."""
        done, topic = models(parts, "rollback", version), parts.names.topic("models")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), sum(parts.broker.group_lag("nobody", [topic]).values())
    assert rolled_back("2") == ("version 2 serves already", 0)
    assert rolled_back("1") == ("version 1 serves; the next increment starts from it", 1)
    assert rolled_back("1") == ("version 1 serves already", 1)
