"""One process under a supervisor, and its restarts."""

import sys
from collections.abc import Mapping
from pathlib import Path

from streamrec.adapters.embedded import trouble
from streamrec.adapters.embedded.guard import Guarded, spawn
from streamrec.errors import SetupError


class Child:
    """One process and its restarts."""

    def __init__(self, name: str, env: Mapping[str, str], folder: Path) -> None:
        self.name, self._env, self._log = name, dict(env), folder / f"{name}.log"
        self._command = [sys.executable, "-m", "streamrec", name]
        self._process: Guarded | None = None
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
            return f"{self.name} ended with {ended.returncode}; again soon, see {self._log}"
        if now >= self._next_at:
            self._start(now)
        return None

    def _start(self, now: float) -> None:
        try:
            self._process = spawn(self._command, self._log, 5.0, env=self._env, cwd=Path.cwd())
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
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after a while."""
        if self._process is not None and self._process.alive():
            self._process.stop(8.0)

    def move(self, env: Mapping[str, str]) -> None:
        """End it; the next `tend` starts it in another environment, without a pause."""
        self.stop()
        self._process, self._next_at, self._env = None, 0.0, dict(env)
