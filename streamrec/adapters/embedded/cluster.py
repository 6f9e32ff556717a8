"""A Redis Cluster of a few embedded nodes, without replicas: to test against, not to keep data."""

import time
from pathlib import Path
from typing import Any

from streamrec.adapters.embedded import ports
from streamrec.adapters.embedded.redis import EmbeddedRedis
from streamrec.adapters.embedded.server import Started
from streamrec.errors import SetupError

SLOTS = 16_384


class _Node(EmbeddedRedis):
    def bus(self) -> int:
        return int(ports.read_state(self.state)["bus_port"])

    def _command(self) -> list[str]:
        # The usual bus port, port + 10000, may lie above 65535.
        bus = ports.keep(self.state, "bus_port")["bus_port"]
        return [*super()._command(), "--cluster-enabled", "yes", "--cluster-port", str(bus),
                "--cluster-node-timeout", "2000"]

    def ask(self, *words: object) -> Any:
        import redis

        with redis.Redis(host=ports.HOST, port=self.port, decode_responses=True) as client:
            return client.execute_command(*words)

    def info(self) -> dict[str, str]:
        said = self.ask("CLUSTER INFO")
        if isinstance(said, dict):
            return said
        return dict(row.split(":", 1) for row in str(said).split("\r\n") if ":" in row)


class EmbeddedRedisCluster(Started):
    """`nodes` primaries in sub-folders of `folder`, all 16384 slots spread over them."""

    def __init__(self, folder: Path, nodes: int = 3) -> None:
        self.nodes = [_Node(folder / str(i)) for i in range(nodes)]

    @property
    def url(self) -> str:
        """Of the first node. Raises SetupError before the first start."""
        return self.nodes[0].url

    def start(self, timeout_s: float = 30.0) -> None:
        """Return once every node says the cluster is whole. Raises SetupError."""
        deadline = time.monotonic() + timeout_s
        try:
            for node in self.nodes:
                node.start(timeout_s)
            if any(node.info()["cluster_slots_assigned"] == "0" for node in self.nodes):
                self._join()
            self._wait(deadline)
        except BaseException:
            self.kill()
            raise

    def _join(self) -> None:
        first, n = self.nodes[0], len(self.nodes)
        for i, node in enumerate(self.nodes):
            node.ask("CLUSTER ADDSLOTSRANGE", SLOTS * i // n, SLOTS * (i + 1) // n - 1)
            first.ask("CLUSTER MEET", ports.HOST, node.port, node.bus())

    def _wait(self, deadline: float) -> None:
        while not all(self._whole(node.info()) for node in self.nodes):
            if time.monotonic() > deadline:
                raise SetupError(f"The Redis Cluster did not form: see {self.nodes[0].log}.")
            time.sleep(0.05)

    def _whole(self, info: dict[str, str]) -> bool:
        return info["cluster_state"] == "ok" and int(info["cluster_size"]) == len(self.nodes)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()
