"""One process under a supervisor, and its restarts."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from streamrec.adapters.embedded import trouble
from streamrec.adapters.embedded.guard import Guarded, spawn
from streamrec.errors import SetupError

LOG_BYTES = 10_000_000  # a log that is larger begins anew at the next start; the one before is kept
TAIL_BYTES = 65_536


class Child:
    """One process and its restarts."""

    def __init__(self, name: str, env: Mapping[str, str], folder: Path) -> None:
        self.name, self._env, self._log = name, dict(env), folder / f"{name}.log"
        self._command = [sys.executable, "-m", "streamrec", name]
        self._process: Guarded | None = None
        self._log_began = 0
        self._pause_s, self._started_at, self._next_at = 1.0, 0.0, 0.0
        self.restarts = -1

    def tend(self, now: float) -> str | None:
        """Start it, or start it again; a sentence when something happened. Raises SetupError."""
        if self._process is not None and self._process.alive():
            if now - self._started_at > 60:
                self._pause_s = 1.0
            return None
        ended = self._process
        if ended is not None and self._next_at <= self._started_at:
            self._pause(now)
            words = last_words(self._log, self._log_began)
            return f"{self.name} ended with {ended.returncode} ({words}); again soon, see {self._log}"
        if now >= self._next_at:
            self._start(now)
        return None

    def _start(self, now: float) -> None:
        try:
            size = self._log.stat().st_size if self._log.exists() else 0
            self._log_began = size if size < LOG_BYTES else 0
            self._process = spawn(
                self._command, self._log, 5.0, env=self._env, cwd=Path.cwd(), most=LOG_BYTES)
        except OSError as error:
            self._pause(now)
            raise trouble.from_os(error, self._log) from error
        except SetupError:
            self._pause(now)
            raise
        self._started_at, self.restarts = now, self.restarts + 1

    def _pause(self, now: float) -> None:
        self._next_at = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, 30.0)

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid or None if self._process else None

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after a while."""
        if self._process is not None and self._process.alive():
            self._process.stop(8.0)

    def move(self, env: Mapping[str, str]) -> None:
        """End it; the next `tend` starts it in another environment, without a pause."""
        self.stop()
        self._process, self._next_at, self._env = None, 0.0, dict(env)


def last_words(log: Path, since: int = 0) -> str:
    """The last line that a process has written after that byte of its log, for people."""
    try:
        with log.open("rb") as file:
            file.seek(max(since, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "there is no log"
    said = [line.strip() for line in lines if line.strip()]
    return _told(said[-1])[:300] if said else "it said nothing"


def _told(line: str) -> str:
    """What a JSON line tells; any other as it is."""
    try:
        found = json.loads(line)
    except ValueError:
        return line
    if not isinstance(found, dict) or "event" not in found:
        return line
    ended = str(found.get("exception", "")).strip().splitlines()[-1:]  # of a traceback the error itself
    return ": ".join([str(found["event"]), *([str(found["why"])] if "why" in found else []), *ended])
