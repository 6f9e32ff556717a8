"""`streamrec models` on the session's servers."""

from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from streamrec import wiring
from streamrec.adapters.memory import MemoryFiles, MemoryPointers
from streamrec.config import Kafka, Redis, Settings
from streamrec.errors import NotFound
from streamrec.operate.models import there
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


def test_a_version_that_is_not_there_is_one_sentence_that_names_the_list(
    tmp_path: Path, kafka_server: str, redis_server: str, prefix: str
) -> None:
    settings = Settings(home=tmp_path, redis=Redis(url=SecretStr(redis_server)),
                        kafka=Kafka(bootstrap_servers=kafka_server, topic_prefix=prefix))
    wiring.create_topics(settings)
    with closing(wiring.Parts(settings)) as p:
        publish(p.registry, "1")
        p.board.put(wiring.BOARD_ENCODER, {"fingerprint": "of anything"})
    for arguments in (["diff", "1", "2"], ["diff", "7", "1"], ["show", "2"]):
        done = command(tmp_path, "models", *arguments, STREAMREC_HOME=str(tmp_path),
                       STREAMREC_KAFKA__BOOTSTRAP_SERVERS=kafka_server, STREAMREC_REDIS__URL=redis_server,
                       STREAMREC_KAFKA__TOPIC_PREFIX=prefix)
        missing = next(a for a in arguments if a in ("2", "7"))
        assert done.returncode == 2 and not done.stdout
        assert done.stderr == f"streamrec: no published version {missing}; see `streamrec models list`\n"


def test_a_version_whose_files_were_deleted_is_told_as_such() -> None:
    registry = Registry(MemoryFiles(), MemoryPointers())
    for version in ("1", "2"):
        publish(registry, version)
    there(registry, "1", "2")
    registry.files.delete("versions/1")
    with pytest.raises(NotFound, match="version 1 was pruned: its files are gone.*models list"):
        there(registry, "2", "1")


def test_rolling_back_to_what_serves_says_so_and_tells_nobody(
    tmp_path: Path, kafka_server: str, redis_server: str, prefix: str
) -> None:
    settings = Settings(home=tmp_path, redis=Redis(url=SecretStr(redis_server)),
                        kafka=Kafka(bootstrap_servers=kafka_server, topic_prefix=prefix))
    wiring.create_topics(settings)
    p = wiring.Parts(settings)
    publish(p.registry, "1")
    publish(p.registry, "2")

    def rolled_back(version: str) -> tuple[str, int]:
        """What it says, and how many messages the models topic has had."""
        done = command(tmp_path, "models", "rollback", version, STREAMREC_HOME=str(tmp_path),
                       STREAMREC_KAFKA__BOOTSTRAP_SERVERS=kafka_server, STREAMREC_REDIS__URL=redis_server,
                       STREAMREC_KAFKA__TOPIC_PREFIX=prefix)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), sum(p.broker.group_lag("nobody", [p.names.topic("models")]).values())
    assert rolled_back("2") == ("version 2 serves already", 0)
    assert rolled_back("1") == ("version 1 serves; the next increment starts from it", 1)
    assert rolled_back("1") == ("version 1 serves already", 1)
    p.close()
