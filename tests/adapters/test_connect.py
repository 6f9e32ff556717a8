"""A server that is away, locked or unsafe ends in one sentence that names the setting, soon."""

import contextlib
import importlib.util
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from streamrec.adapters.embedded import ports
from streamrec.adapters.embedded.redis import EmbeddedRedis
from streamrec.adapters.files import FsspecStore
from streamrec.adapters.kafka import KafkaBroker
from streamrec.adapters.redis import connect
from streamrec.broker import TopicSpec
from streamrec.config import Kafka, Redis
from streamrec.errors import ServerRefused, ServerUnreachable, SetupError

KAFKA = "STREAMREC_KAFKA__BOOTSTRAP_SERVERS"
_taken = socket.socket()  # and does not listen: nobody else can get its port, and whoever calls is refused
_taken.bind((ports.HOST, 0))
NOBODY = f"{ports.HOST}:{_taken.getsockname()[1]}"
SOON_S = 10.0


def fails(call: Callable[[], Any], kind: type[SetupError], *words: str) -> str:
    """One line, of this class, with these words, before anybody loses patience."""
    started = time.monotonic()
    with pytest.raises(kind) as failure:
        call()
    text = str(failure.value)
    assert time.monotonic() - started < SOON_S
    assert "\n" not in text and "Traceback" not in text
    assert all(w in text for w in words), text
    return text


def failure_of(call: Callable[[], Any], *words: str) -> SetupError:
    """The error itself."""
    with pytest.raises(SetupError) as failure:
        call()
    assert all(w in str(failure.value) for w in words), failure.value
    return failure.value


def redis_at(url: str, **more: Any) -> Callable[[], Any]:
    return lambda: connect(Redis(url=SecretStr(url), timeout_s=2.0, **more))


def kafka_at(where: str, **more: Any) -> Callable[[], Any]:
    return lambda: KafkaBroker(Kafka(bootstrap_servers=where, bootstrap_timeout_s=2.0, **more)).topics()


@pytest.fixture(scope="module")
def unsafe(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[Callable[..., str]]:
    """Start a Redis with more options; its URL."""
    started: list[EmbeddedRedis] = []

    def start(*extra: str) -> str:
        started.append(EmbeddedRedis(tmp_path_factory.mktemp("redis"), extra=extra))
        started[-1].start()
        return started[-1].url

    yield start
    for server in started:
        server.kill()


@pytest.mark.parametrize("cluster", [False, True])
def test_no_redis_there(cluster: bool) -> None:
    fails(redis_at(f"redis://{NOBODY}/0", cluster=cluster), ServerUnreachable, NOBODY, "STREAMREC_REDIS__URL")


def test_no_redis_known() -> None:
    fails(redis_at(""), ServerUnreachable, "streamrec up", "STREAMREC_REDIS__URL")


def test_no_url_at_all_and_the_password_stays_hidden() -> None:
    text = fails(redis_at("http://me:secret@there:6379"), SetupError, "STREAMREC_REDIS__URL", "***@there")
    assert "secret" not in text
    fails(redis_at("localhost:6379"), SetupError, "STREAMREC_REDIS__URL", "localhost:6379")


@pytest.mark.parametrize("url", [
    "redis://:hush/er@h:1/0", "redis://me:pw/hush@h:1/0", "redis://:1/hush@h", "redis://hush:1/x@h",
    "redis://hush:1?x@h", "redis://hush:1#x@h", "redis://u:p@hush/w@h", "redis:/:hush@h", "redis:hush@h",
    "redis://h:1/x?password=hush", "redis://h:1/0?no=option&password=hush@er", "redis://u:hush@h:port",
])
def test_no_part_of_a_password_is_told(url: str) -> None:
    said = fails(redis_at(url), SetupError, "STREAMREC_REDIS__URL")
    assert "hush" not in said


def test_a_password_with_a_slash_is_to_be_encoded() -> None:
    fails(redis_at("redis://:se/cret@h:1/0"), SetupError, "percent-encoded", "***@h:1/0")


@pytest.mark.server
@pytest.mark.parametrize(("url", "cluster"), [("{}", True), ("{}99", False), ("{}?no=option", False)])
def test_a_redis_that_answers_and_is_set_up_otherwise_is_not_away(
    redis_server: str, url: str, cluster: bool
) -> None:
    said = redis_at(url.format(redis_server), cluster=cluster)
    assert not isinstance(failure_of(said, "STREAMREC_REDIS__URL"), ServerUnreachable)


@pytest.mark.server
def test_a_redis_without_aof_or_with_eviction_is_refused(unsafe: Callable[..., str]) -> None:
    url = unsafe("--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
    fails(redis_at(url), ServerRefused, "appendonly yes", "maxmemory-policy noeviction",
          "STREAMREC_REDIS__ALLOW_UNSAFE=true")
    connection = redis_at(url, allow_unsafe=True)()
    connection.call(lambda c: c.config_set("appendonly", "yes"))
    text = fails(redis_at(url), ServerRefused, "maxmemory-policy noeviction")
    assert "appendonly" not in text
    connection.call(lambda c: c.config_set("maxmemory-policy", "noeviction"))
    redis_at(url)()


@pytest.mark.server
def test_a_wrong_redis_password(unsafe: Callable[..., str]) -> None:
    url = unsafe()
    connection = redis_at(url)()
    connection.call(lambda c: c.config_set("requirepass", "right"))
    where = url.removeprefix("redis://")
    text = fails(redis_at(f"redis://:wrong@{where}"), SetupError, "STREAMREC_REDIS__URL", "password")
    assert "wrong@" not in text
    fails(redis_at(url), SetupError, "STREAMREC_REDIS__URL", "password")
    assert not isinstance(failure_of(redis_at(url)), ServerUnreachable)
    redis_at(f"redis://:right@{where}")()


def test_no_kafka_there() -> None:
    fails(kafka_at(NOBODY), ServerUnreachable, NOBODY, KAFKA, "refused")
    fails(kafka_at("no-such-host.invalid:9092"), ServerUnreachable, KAFKA)


def test_no_kafka_known() -> None:
    fails(kafka_at(""), ServerUnreachable, "streamrec up", KAFKA)


@pytest.mark.parametrize("where", ["localhost", "localhost:http", ":"])
def test_an_address_that_is_none(where: str) -> None:
    fails(kafka_at(where), SetupError, KAFKA)
    assert not isinstance(failure_of(kafka_at(where)), ServerUnreachable)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_is_none_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    fails(kafka_at(NOBODY, security_protocol="SSL", ssl_cafile=str(file)), SetupError,
          f"STREAMREC_KAFKA__SSL_CAFILE={file}")


@pytest.mark.server
def test_more_copies_than_brokers_are_refused_by_name(kafka_broker: Any, prefix: str) -> None:
    specs = [TopicSpec(f"{prefix}.t", 1, 3, {"retention.ms": "1000"})]
    said = fails(lambda: kafka_broker.create_topics(specs), SetupError, "InvalidReplicationFactorError",
                 "STREAMREC_KAFKA__REPLICATION_FACTOR (3")
    assert "CreateTopicsRequest" not in said and "retention.ms" not in said


@pytest.mark.server
def test_a_port_that_takes_connections_but_is_no_kafka(redis_server: str) -> None:
    where = redis_server.removeprefix("redis://").removesuffix("/0")
    fails(kafka_at(where), SetupError, where, "speak Kafka", "STREAMREC_KAFKA__SECURITY_PROTOCOL")
    assert not isinstance(failure_of(kafka_at(where)), ServerUnreachable)


def test_a_web_server_is_no_kafka() -> None:
    with ThreadingHTTPServer((ports.HOST, 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        failure = failure_of(kafka_at(f"{ports.HOST}:{server.server_port}"), "speak Kafka")
        server.shutdown()
    assert not isinstance(failure, ServerUnreachable)


def test_a_port_that_hangs_up_is_no_kafka() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()
        threading.Thread(target=hang_up, daemon=True).start()
        failure = failure_of(kafka_at(f"{ports.HOST}:{server.getsockname()[1]}"), "speak Kafka")
        server.shutdown(socket.SHUT_RDWR)
    assert not isinstance(failure, ServerUnreachable)


def test_a_kafka_that_takes_connections_and_says_nothing_is_hung() -> None:
    with socket.create_server((ports.HOST, 0), backlog=50) as server:
        fails(kafka_at(f"{ports.HOST}:{server.getsockname()[1]}"), ServerUnreachable,
              "does not answer", "hung or starting", KAFKA)


@pytest.mark.server
def test_a_kafka_that_wants_another_security_protocol(kafka_server: str) -> None:
    fails(kafka_at(kafka_server, security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN",
                   sasl_username="me", sasl_password=SecretStr("secret")),
          SetupError, "STREAMREC_KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT")


@pytest.mark.server
def test_reading_alone_from_a_topic_that_is_not_there(kafka_broker: Any) -> None:
    failure = failure_of(lambda: kafka_broker.subscribe(["never.made"], None), "topics create", "PREFIX")
    assert not isinstance(failure, ServerUnreachable)


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fails(EmbeddedRedis(tmp_path / "file" / "x").start, SetupError, "Cannot use")


def test_a_kafka_that_is_away_leaves_no_thread_of_a_client_behind() -> None:
    before = threading.active_count()
    for _ in range(2):
        fails(kafka_at(NOBODY), ServerUnreachable, NOBODY, KAFKA)
    assert threading.active_count() == before


def test_one_server_of_several_that_is_there_is_enough(kafka_server: str) -> None:
    host, port = kafka_server.rsplit(":", 1)
    late = ports.free_port()
    broker = KafkaBroker(Kafka(bootstrap_servers=f"127.0.0.1:{late},{host}:{port}", bootstrap_timeout_s=5.0))
    assert isinstance(broker.topics(), dict)


@pytest.mark.parametrize(("url", "words"), [
    ("s3://bucket/models", ("s3://", "s3fs")), ("nosuch://me:hush@there/models", ("nosuch://",)),
])
def test_a_model_store_that_cannot_be_opened_is_one_sentence(url: str, words: tuple[str, ...]) -> None:
    if url.startswith("s3") and importlib.util.find_spec("s3fs"):
        pytest.skip("s3fs is here")
    said = fails(lambda: FsspecStore(url), SetupError, "STREAMREC_MODELS_URL", *words)
    assert "hush" not in said
