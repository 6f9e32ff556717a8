"""Everything on this machine under one supervisor: servers, topics, processes.

A child that ends is started again, after a pause that doubles while it keeps failing. Children
and servers run under guards, so that they end with us however we end.
"""

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from streamrec import logs, wiring
from streamrec.adapters.embedded import trouble
from streamrec.config import Settings, up_file
from streamrec.errors import AlreadyRunning, SetupError
from streamrec.supervisor.child import Child

log = logs.get(__name__)
Say = Callable[[str], None]
LOCK = "up.lock"
FRESH = "emptied-at-each-start"  # a file: this home was made by a supervisor that may empty it


class Supervisor:
    """`streamrec up` as an object, so that the demo and tests can run one. `fresh` ones empty their home
    at each start, which must be empty or have been made by a fresh one."""

    def __init__(
        self, settings: Settings, say: Say, processes: Sequence[str] = wiring.PROCESSES,
        env: Mapping[str, str] | None = None, jars: Path | None = None, fresh: bool = False,
    ) -> None:
        self.settings, self._say, self._names = settings, say, processes
        self._extra, self._fresh = dict(env or {}), fresh  # fresh: empty the home first
        self.home = settings.home_dir
        self._jars = jars or self.home / "jars"
        self.servers: dict[str, Any] = {}
        self.children: list[Child] = []
        self._lock: Any = None

    def start(self) -> Settings:
        """Servers, topics, processes; returns the settings with the servers' addresses.

        Raises SetupError, also for a Redis that no process could use; AlreadyRunning with the other's pid.
        """
        self._own_home()
        try:
            if self._fresh:
                self._empty_home()
            else:
                (self.home / FRESH).unlink(missing_ok=True)  # what we make here is to be kept
            self._servers()
            self._write_up_file()
            wiring.check_redis(self.settings)  # before anything is made in somebody's Kafka
            made = wiring.create_topics(self.settings)
            self._say(f"topics ready ({len(made)} new)")
            self._children()
        except BaseException:
            self.stop()
            raise
        return self.settings

    def _own_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            if self._fresh:
                self._check_expendable()
            self._lock = open(self.home / LOCK, "a+")  # noqa: SIM115 - held while we run
        except OSError as error:
            raise SetupError(f"cannot use {self.home}: {error.strerror}; set STREAMREC_HOME") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sign()
        except BlockingIOError:
            self._refuse()
        except OSError as error:
            self._lock = None
            raise trouble.from_os(error, self.home) from error

    def _sign(self) -> None:
        """Our pid, in the lock: known long before up.json is there."""
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _refuse(self) -> None:
        self._lock.seek(0)
        pid = self._lock.read().strip() or "unknown"
        self._lock = None
        raise AlreadyRunning(
            f"`streamrec up` already runs in {self.home} as pid {pid}: stop it, "
            "or set STREAMREC_HOME to another folder"
        ) from None

    def _check_expendable(self) -> None:
        """Nobody else's files, nor the models of an `up`, which leaves the same lock."""
        names = {path.name for path in self.home.iterdir()}
        if FRESH not in names and names - {LOCK}:
            raise SetupError(
                f"{self.home} would be emptied, but holds files that were not made to be thrown away: "
                "move or delete it, or set STREAMREC_HOME to another folder"
            )

    def _empty_home(self) -> None:
        """Only now that the home is ours, and all but the lock and the mark that lets us do so."""
        try:
            (self.home / FRESH).touch()
        except OSError as error:
            raise trouble.from_os(error, self.home) from error
        for path in self.home.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in (LOCK, FRESH):
                path.unlink(missing_ok=True)

    def _servers(self) -> None:
        s = self.settings
        if not s.redis.url.get_secret_value():
            from streamrec.adapters.embedded.redis import EmbeddedRedis
            self.servers["redis"] = EmbeddedRedis(self.home / "redis")
        if not s.kafka.bootstrap_servers:
            from streamrec.adapters.embedded import jars
            from streamrec.adapters.embedded.kafka import EmbeddedKafka
            jars.fetch(self._jars, mirror=s.kafka.jars_mirror or None, progress=self._fetching)
            self.servers["kafka"] = EmbeddedKafka(self.home / "kafka", self._jars)
        for name, server in self.servers.items():
            self._say(f"starting {name} …")
            server.start()
        self._addresses()
        self._say(f"kafka {self.settings.kafka.bootstrap_servers}")

    def _fetching(self, done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            self._say(f"fetching Kafka's jars, once: {done} of {total}")

    def _addresses(self) -> None:
        s = self.settings
        redis, kafka = self.servers.get("redis"), self.servers.get("kafka")
        update: dict[str, Any] = {}
        if redis:
            update["redis"] = s.redis.model_copy(update={"url": SecretStr(redis.url)})
        if kafka:
            update["kafka"] = s.kafka.model_copy(update={"bootstrap_servers": kafka.bootstrap})
        self.settings = s.model_copy(update=update)

    def _write_up_file(self) -> None:
        facts = {
            "pid": os.getpid(), "kafka": self.settings.kafka.bootstrap_servers,
            "redis": self.settings.redis.url.get_secret_value(),
        }
        path = up_file(self.home)
        temporary = path.with_suffix(".tmp")
        try:
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(facts))
            temporary.replace(path)
        except OSError as error:
            raise trouble.from_os(error, path) from error

    def _environment(self) -> dict[str, str]:
        return {
            "OMP_NUM_THREADS": "1", **os.environ, **self._extra,
            "STREAMREC_HOME": str(self.home),
            "STREAMREC_KAFKA__BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers,
            "STREAMREC_REDIS__URL": self.settings.redis.url.get_secret_value(),
            "STREAMREC_KAFKA__TOPIC_PREFIX": self.settings.kafka.topic_prefix,
        }

    def _children(self) -> None:
        logs_folder = self.home / "logs"
        try:
            logs_folder.mkdir(exist_ok=True)
        except OSError as error:
            raise trouble.from_os(error, logs_folder) from error
        env = self._environment()
        self.children = [Child(name, env, logs_folder) for name in self._names]
        for child in self.children:
            child.tend(time.monotonic())
        self._say(f"processes started: {', '.join(self._names)}; logs in {logs_folder}")

    def tend(self) -> None:
        """Start again what has ended: servers first. Raises SetupError for a server."""
        for name, server in self.servers.items():
            if not server.alive():
                self._say(f"{name} ended {server.end()}; starting it again")
                server.start()
                self._follow()
        for child in self.children:
            try:
                said = child.tend(time.monotonic())
            except SetupError as error:  # of one child: the others are tended all the same
                said = str(error)
            if said:
                self._say(said)

    def _follow(self) -> None:
        """A server that found its port taken has another now: tell everybody who has to know."""
        before = self._environment()
        self._addresses()
        env = self._environment()
        if env == before:
            return
        self._say("a server has another address: the processes start again")
        _at_once([partial(child.move, env) for child in self.children])
        self._write_up_file()

    def run(self, stop: threading.Event) -> None:
        """Tend until `stop` is set."""
        while not stop.wait(0.5):
            try:
                self.tend()
            except SetupError as error:
                self._say(str(error))
                stop.wait(5.0)

    def stop(self) -> None:
        """Processes, then servers, in order."""
        _at_once([child.stop for child in self.children])
        for name in ("kafka", "redis"):
            if name in self.servers:
                self.servers[name].stop()
        if self._lock is not None:
            up_file(self.home).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None


def _at_once(actions: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
