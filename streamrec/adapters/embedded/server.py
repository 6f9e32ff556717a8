"""What the embedded Kafka and Redis share: own the folder, start, wait until it answers, stop."""

import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from streamrec.adapters.embedded import claim, guard, trouble
from streamrec.errors import SetupError

KILLED = (128 + signal.SIGKILL, -signal.SIGKILL)  # it, or its guard


class Started(ABC):
    """Something that `with` starts and stops."""

    @abstractmethod
    def start(self) -> None:
        """Start it, and wait until it answers."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class Server(Started):
    """One server process with its data, log, lock and remembered ports in `folder`.

    Use it as a context manager, or call `start` and `stop`.
    """

    name = "server"
    grace_s = 10.0  # from SIGTERM to SIGKILL once we are dead, seconds
    claim_s = 15.0  # how long to wait for an older server to leave the folder, seconds

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()
        self.log = self.folder / "server.log"
        self.state = self.folder / "state.json"
        self._guarded: guard.Guarded | None = None

    @abstractmethod
    def _command(self) -> list[str]:
        """The command line, with everything on disk that it needs. Raises SetupError, OSError."""

    @abstractmethod
    def _answers(self) -> bool:
        """True once clients are served; False when it is too early to say."""

    def start(self, timeout_s: float = 60.0) -> None:
        """Return once the server answers; nothing happens when it already runs.

        Raises SetupError (not answering `timeout_s` seconds after its process began, port taken,
        disk full, package missing) and AlreadyRunning (another program's server has the folder).
        """
        if self.alive():
            return
        self.stop()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with claim.claimed(self.folder, self.claim_s) as lock:
                self._guarded = guard.spawn(self._command(), self.log, self.grace_s, lock)
        except OSError as error:
            raise trouble.from_os(error, self.folder) from error
        self._wait(time.monotonic() + timeout_s)

    def _wait(self, deadline: float) -> None:
        try:
            while not self._answers():
                self._check(deadline)
                time.sleep(0.02)
        except BaseException:  # Ctrl-C too: a half-started server is of no use to anybody
            self.kill()
            raise

    def _check(self, deadline: float) -> None:
        if not self.alive():
            why = f"{self.name} stopped while starting"
        elif time.monotonic() > deadline:
            why = f"{self.name} did not answer in time"
        else:
            return
        raise SetupError(f"{why} ({trouble.last_line(self.log)}): see {self.log}.")

    def stop(self, timeout_s: float = 20.0) -> None:
        """End it in order (SIGTERM), by force after `timeout_s` seconds. Data stays on disk."""
        if self._guarded:
            self._guarded.stop(timeout_s)

    def kill(self) -> None:
        """SIGKILL, as a crash would do. Data stays on disk."""
        if self._guarded:
            self._guarded.kill()

    def alive(self) -> bool:
        return self._guarded is not None and self._guarded.alive()

    def end(self) -> str:
        """How it ended, for people: its exit status (128 + the signal that ended it), and the last error in
        its log; one that was killed could not say why."""
        status = self._guarded.returncode if self._guarded else None
        error = "" if status in KILLED else trouble.last_error(self.log)
        return f"with {status}{f' ({error})' if error else ''}"

    @property
    def pid(self) -> int | None:
        """Process id of the server itself while it runs."""
        return self._guarded.pid if self._guarded and self._guarded.alive() else None
