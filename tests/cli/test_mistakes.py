"""What the command line says of a mistake: one sentence, at once, and the exit code that goes with it."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from streamrec import wiring
from streamrec.config import Kafka, Redis, Settings
from streamrec.errors import ServerUnreachable, SetupError
from streamrec.wiring.web import _web_worker
from tests.e2e.harness import command, wait_until

pytestmark = pytest.mark.timeout(120)


def run(home: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    named = {f"STREAMREC_{k}": v for k, v in settings.items()}
    return command(home, *arguments, STREAMREC_HOME=str(home), **named)


def sentence(done: "subprocess.CompletedProcess[str]", code: int) -> str:
    """The one line that it said."""
    assert done.returncode == code and not done.stdout, done
    assert done.stderr.startswith("streamrec: ") and len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.fixture
def settings(tmp_path: Path, kafka_server: str, redis_server: str, prefix: str) -> Settings:
    """Of a streamrec on the session's servers."""
    return Settings(home=tmp_path, kafka=Kafka(bootstrap_servers=kafka_server, topic_prefix=prefix),
                    redis=Redis(url=SecretStr(redis_server)))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody has."""
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize(("arguments", "field"), [
    ([""], "user_id"), (["u" * 300], "user_id"), (["u", "--similar-to", ""], "similar_to"),
    (["u", "--session", "a", "--session", ""], "session"), (["u", "--interests", "x" * 2001], "interests"),
])
def test_what_no_scorer_would_answer_is_not_asked(tmp_path: Path, arguments: list[str], field: str) -> None:
    assert f"$.{field}" in sentence(run(tmp_path, "recommend", *arguments), 2)


@pytest.mark.parametrize("seconds", ["-1", "nan"])
def test_a_time_to_wait_that_is_none_is_refused(tmp_path: Path, seconds: str) -> None:
    done = run(tmp_path, "recommend", "u", "--timeout", seconds)
    assert done.returncode == 2 and "--timeout" in done.stderr


@pytest.mark.server
def test_status_tells_wrong_settings_from_servers_that_are_away(settings: Settings) -> None:
    url, where = settings.redis.url.get_secret_value(), settings.kafka.bootstrap_servers
    there = {"REDIS__URL": url, "KAFKA__BOOTSTRAP_SERVERS": where,
             "KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix}
    status = partial(run, settings.home_dir, "status")
    assert "topics create" in sentence(status(**there), 2)
    assert "is no redis:// URL" in sentence(status(REDIS__URL="rubbish"), 2)
    assert "STREAMREC_REDIS__CLUSTER" in sentence(status(**there, REDIS__CLUSTER="true"), 2)
    assert "nothing is up" in sentence(status(), 3)
    wiring.create_topics(settings)
    wait_until(lambda: status(**there).returncode == 0, 60, "a new Kafka knows its groups")


@pytest.mark.server
def test_a_diff_with_another_encoder_than_the_catalogue_s_is_refused_at_once(settings: Settings) -> None:
    with closing(wiring.Parts(settings)) as parts:
        theirs = {"dim": 8, "fingerprint": "f", "name": "other", "max_tokens": 96}
        parts.board.put(wiring.BOARD_ENCODER, theirs)
    with pytest.raises(SetupError, match=r"name other, max_tokens 96.*name minilm.*STREAMREC_ENCODER__\*"):
        wiring.diff(settings, "1", "2", 10)


@pytest.mark.server
def test_dead_letters_are_listed_with_their_whole_place_and_replayed_by_it(settings: Settings) -> None:
    wiring.create_topics(settings)
    with closing(wiring.Parts(settings)) as parts:
        topic = parts.names.topic("requests")
        with closing(parts.broker.publisher()) as publisher:
            why = [("streamrec.dlq.message", b"why " * 20)]  # and no origin: it is not a letter of ours
            publisher.send(f"{topic}.dlq", b"reader", b"value " * 20, why)
            publisher.flush()
    servers = {"KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
               "KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix}
    dlq = partial(run, settings.home_dir, "dlq", **servers)
    assert f"{topic}.dlq/0/0 " in dlq("list").stdout
    assert "nonsense" in sentence(dlq("replay", "nonsense"), 2)
    assert dlq("replay", f"{topic}.dlq/0/0").stdout == "sent 1 back\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "no..name"])
def test_an_address_of_metrics_that_cannot_be_had_is_one_sentence(taken: int, host: str) -> None:
    ours = Settings(metrics_port=taken, metrics_host=host)
    with pytest.raises(SetupError, match=rf"{host}:{taken} .*STREAMREC_METRICS_PORT.*STREAMREC_METRICS_HOST"):
        wiring.run("collect", ours, threading.Event())


def test_a_web_worker_goes_on_without_a_port_for_its_metrics(taken: int) -> None:
    ours = Settings(metrics_port=taken - wiring.PROCESSES.index("web"))
    with closing(socket.socket()) as listening, pytest.raises(ServerUnreachable, match="no Kafka is known"):
        _web_worker(ours, 0, listening, {}, False, threading.Event())
