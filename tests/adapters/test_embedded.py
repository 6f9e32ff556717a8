"""The embedded Kafka and Redis, for real: processes, disks, sockets, kills. No mocks."""

import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import redis

from streamrec.adapters.embedded import guard, jars, java, ports
from streamrec.adapters.embedded.cluster import EmbeddedRedisCluster
from streamrec.adapters.embedded.kafka import EmbeddedKafka
from streamrec.adapters.embedded.redis import EmbeddedRedis
from streamrec.errors import AlreadyRunning, SetupError
from tests.places import JARS

pytestmark = pytest.mark.server
CACHE = JARS
SMALL = "slf4j-simple"  # the smallest jar


def kafka_at(folder: Path) -> EmbeddedKafka:
    return EmbeddedKafka(folder, CACHE, jvm=[java.C1_ONLY])


def gone(pid: int, timeout_s: float = 15) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:  # init is slow to reap
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


# --- Kafka


def send(bootstrap: str, value: bytes) -> None:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    producer.send("t", value, partition=0).get(20)
    producer.close()


def read(bootstrap: str, count: int) -> list[bytes]:
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        "t", bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=10_000
    )
    values = [next(consumer).value for _ in range(count)]
    consumer.close()
    return values


def create_topic(bootstrap: str) -> None:
    from kafka import KafkaAdminClient
    from kafka.admin import NewTopic

    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic("t", 1, 1)])
    admin.close()


def test_kafka_keeps_records_port_and_identity_over_stop_and_kill(tmp_path: Path) -> None:
    with kafka_at(tmp_path) as kafka:
        bootstrap, first = kafka.bootstrap, kafka.pid
        state = ports.read_state(kafka.state)
        create_topic(bootstrap)
        send(bootstrap, b"one")
        assert read(bootstrap, 1) == [b"one"]

        kafka.stop()
        assert not kafka.alive() and kafka.pid is None
        kafka.start()
        assert kafka.bootstrap == bootstrap and kafka.pid != first
        send(bootstrap, b"x" * 1_000_000)

        kafka.kill()
        assert not kafka.alive()
        kafka.start()
        assert kafka.bootstrap == bootstrap
        assert read(bootstrap, 2) == [b"one", b"x" * 1_000_000]

        kafka.stop()
        with socket.socket() as other:  # meanwhile somebody takes the client's port
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", int(bootstrap.rpartition(":")[2])))
            other.listen()
            kafka.start()
            assert kafka.bootstrap != bootstrap
            assert ports.read_state(kafka.state)["cluster_id"] == state["cluster_id"]
            assert read(kafka.bootstrap, 2) == [b"one", b"x" * 1_000_000]
        assert (tmp_path / "server.log.1").exists()


def test_kafka_that_cannot_start_says_why_and_where(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(
        tmp_path, CACHE, jvm=[java.C1_ONLY], props={"listeners": "CLIENT://192.0.2.1:9"}
    )
    with pytest.raises(SetupError, match="listener.* see .*log") as failure:
        kafka.start()
    assert "\n" not in str(failure.value) and not kafka.alive()


# --- dying with the parent

PARENT = """
import sys, time
from pathlib import Path
from streamrec.adapters.embedded.kafka import EmbeddedKafka
from streamrec.adapters.embedded.redis import EmbeddedRedis
folder, cache = map(Path, sys.argv[2:])
server = EmbeddedRedis(folder) if sys.argv[1] == "redis" else EmbeddedKafka(folder, cache)
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kind", ["redis", "kafka"])
def test_server_dies_with_its_parent(kind: str, tmp_path: Path) -> None:
    cmd = [sys.executable, "-c", PARENT, kind, str(tmp_path), str(CACHE)]
    with subprocess.Popen(cmd, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
    assert gone(pid)


def test_two_programs_never_share_a_folder(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as one:
        two = EmbeddedRedis(tmp_path)
        two.claim_s = 0.2
        with pytest.raises(AlreadyRunning):
            two.start()
        one.kill()
        two.start()
        two.stop()


def test_stop_ends_a_server_whose_guard_was_killed(tmp_path: Path) -> None:
    guarded = guard.spawn(["sleep", "600"], tmp_path / "log", 1)
    os.kill(guarded._guard.pid, signal.SIGKILL)
    pid = guarded.pid
    guarded.stop(5)
    assert not guarded.alive() and gone(pid, 2)


def test_who_looks_whether_a_server_lives_ends_one_whose_guard_was_killed(tmp_path: Path) -> None:
    """Together with what it has started."""
    shell = ["sh", "-c", "sleep 600 & echo $!; wait"]
    guarded = guard.spawn(shell, tmp_path / "log", 1)
    while not (tmp_path / "log").read_text().endswith("\n"):
        time.sleep(0.02)
    pids = guarded.pid, int((tmp_path / "log").read_text())
    assert guarded.alive()
    os.kill(guarded._guard.pid, signal.SIGKILL)
    guarded._guard.wait(5)
    assert not guarded.alive() and all(gone(pid, 2) for pid in pids)


def test_guard_kills_what_ignores_sigterm(tmp_path: Path) -> None:
    deaf = [sys.executable, "-c", "import signal,time;signal.signal(15,signal.SIG_IGN);"
            "print('deaf',flush=True);time.sleep(600)"]
    guarded = guard.spawn(deaf, tmp_path / "log", 0.3)
    while "deaf" not in (tmp_path / "log").read_text():
        time.sleep(0.02)
    assert guarded._guard.stdin is not None
    guarded._guard.stdin.close()  # what the guard sees when we die
    assert gone(guarded.pid, 5)
    assert guarded.stop(5) == 137


def test_program_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="Cannot start /no/such"):
        guard.spawn(["/no/such"], tmp_path / "log", 1)


# --- jars


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Maven repository of one jar on this machine; its lock lies in tmp_path / "one.lock"."""
    jars.fetch(CACHE)
    jar = next(j for j in jars.read_lock(jars.LOCK) if j.artifact == SMALL)
    layout = tmp_path / "maven" / jar.group.replace(".", "/") / jar.artifact / jar.version
    layout.mkdir(parents=True)
    shutil.copy(CACHE / jar.file, layout)
    gav = f"{jar.group}:{jar.artifact}:{jar.version}"
    (tmp_path / "one.lock").write_text(f"# one jar\n{gav} {jar.sha256}\n")
    (tmp_path / "bad.lock").write_text(f"{gav} {'0' * 64}\n")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "maven"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def test_truncated_jar_is_fetched_again(tmp_path: Path, mirror: str) -> None:
    seen: list[tuple[int, int]] = []
    get = functools.partial(jars.fetch, tmp_path / "d", lock=tmp_path / "one.lock", mirror=mirror)
    jar = Path(get(progress=lambda done, total: seen.append((done, total))))
    good = jar.read_bytes()
    assert seen == [(1, 1)] and len(good) > 10_000
    jar.write_bytes(good[:1000])
    get()
    assert jar.read_bytes() == good
    assert [p.name for p in (tmp_path / "d").glob("*[!k]")] == [jar.name]  # nothing left over


def test_wrong_sha_is_refused(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(SetupError, match="sha256"):
        jars.fetch(tmp_path / "d", lock=tmp_path / "bad.lock", mirror=mirror)
    assert not list((tmp_path / "d").glob("*.jar"))


def test_no_network_says_what_to_do(tmp_path: Path, mirror: str) -> None:
    nobody = f"http://127.0.0.1:{ports.free_port()}"
    for bad in (nobody, mirror + "nothing/here"):
        with pytest.raises(SetupError, match="STREAMREC_KAFKA__BOOTSTRAP_SERVERS"):
            jars.fetch(tmp_path / "d", lock=tmp_path / "one.lock", mirror=bad)


def test_warm_start_needs_no_jgo_and_no_network() -> None:
    jars.fetch(CACHE)
    code = f"""
import sys; from pathlib import Path; from streamrec.adapters.embedded import jars
jars.fetch(Path({str(CACHE)!r}), mirror="http://127.0.0.1:1")
sys.exit(any(m.startswith(("jgo", "requests")) for m in sys.modules))"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_processes_fill_one_folder(tmp_path: Path, mirror: str) -> None:
    code = f"""
from pathlib import Path; from streamrec.adapters.embedded import jars
t = Path({str(tmp_path)!r}); jars.fetch(t / "d", lock=t / "one.lock", mirror={mirror!r})"""
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [p.wait(30) for p in both] == [0, 0]


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="no /dev/full")
def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state.json.new").symlink_to("/dev/full")
    with pytest.raises(SetupError, match="is full: free some space"):
        EmbeddedRedis(tmp_path).start()


# --- Redis


def test_redis_keeps_acknowledged_writes_over_kill(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        url = server.url
        client = redis.Redis.from_url(url)
        for i in range(500):
            client.set(f"k{i}", i)
        assert client.waitaof(1, 0, 10_000)[0] == 1
        client.set("last", "1")  # no fsync at work now that could hold its write back: a kill takes nothing
        server.kill()
        server.start()
        assert server.url == url
        assert client.dbsize() == 501
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_redis_on_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SetupError, match="is taken"):
            EmbeddedRedis(tmp_path, port=other.getsockname()[1]).start()


def test_redis_with_a_bad_option_says_why(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, extra=["--no-such-option", "1"])
    with pytest.raises(SetupError, match="while starting.*see .*server.log"):
        server.start()


def test_url_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="start it first"):
        _ = EmbeddedRedis(tmp_path).url


def test_redis_cluster_comes_up_and_comes_back(tmp_path: Path) -> None:
    with EmbeddedRedisCluster(tmp_path) as servers:
        client: Any = redis.RedisCluster.from_url(servers.url)
        for i in range(50):
            client.set(f"k{i}", i)
        assert len({client.keyslot(f"k{i}") // 5462 for i in range(50)}) == 3
        client.close()
        # A write is held back, at most 2 s, while the fsync of an earlier second is at work.
        assert [node.ask("WAITAOF", 1, 0, 10_000)[0] for node in servers.nodes] == [1, 1, 1]
        servers.kill()
        servers.start()
        client = redis.RedisCluster.from_url(servers.url)
        assert [int(client.get(f"k{i}")) for i in range(50)] == list(range(50))
        client.close()
