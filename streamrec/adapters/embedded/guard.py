"""A server that dies with its parent, whatever kills the parent.

Between us and the server stands a small guard process that reads a pipe we hold. The pipe closes
when we are gone, SIGKILL included; the guard then terminates the server, and kills it after a grace
time. PR_SET_PDEATHSIG would be Linux only, and fires when the *thread* that started us ends.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from streamrec.adapters.embedded import trouble
from streamrec.errors import SetupError

# getppid is looked at too: a forked sibling may have inherited our end of the pipe and keep it
# open. The server's stdout goes to the log: nobody would read the guard's. The print may fail when
# the parent died meanwhile, which must not end the guard before it has ended the server.
GUARD = """
import os, select, signal, subprocess, sys, threading
parent, grace, fds = int(sys.argv[1]), float(sys.argv[2]), [int(f) for f in sys.argv[3].split()]
child = subprocess.Popen(sys.argv[4:], stdin=subprocess.DEVNULL, stdout=2, pass_fds=fds)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
def watch():
    while os.getppid() == parent and not select.select([0], [], [], 1)[0]:
        pass
    child.terminate()
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        child.kill()
threading.Thread(target=watch, daemon=True).start()
try:
    print(child.pid, flush=True)
except OSError:
    pass
rc = child.wait()
os._exit(rc if rc >= 0 else 128 - rc)
"""


class Guarded:
    """A running server behind its guard. The server also ends when this object is collected."""

    def __init__(self, guard: subprocess.Popen[bytes], pid: int) -> None:
        self._guard = guard
        self.pid = pid  # of the server itself

    @property
    def returncode(self) -> int | None:
        """None while it runs; else its exit status, or 128 + the signal that ended it."""
        return self._guard.poll()

    def alive(self) -> bool:
        """Whether it runs under its guard. One whose guard was killed is ended here, as it would keep what
        the next one needs: its ports, its files."""
        status = self.returncode
        if status is not None and status < 0:
            self._end_orphans()
        return status is None

    def stop(self, timeout_s: float) -> int:
        """SIGTERM, then SIGKILL after `timeout_s` seconds; the exit status."""
        if self.alive():
            self._guard.terminate()
        try:
            self._guard.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._ended()

    def kill(self) -> int:
        """SIGKILL to the server itself, as the OOM killer would; the exit status."""
        if self.alive():
            _kill(self.pid)
        return self._ended()

    def _ended(self) -> int:
        status = self._guard.wait(10)
        if status < 0:
            self._end_orphans()
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe:
                pipe.close()
        return status

    def _end_orphans(self) -> None:
        """Somebody killed the guard: nothing watches the server, nor what that has started."""
        if self.pid:
            _kill(-self._guard.pid)  # the guard's own group outlives it, and its number with it
            self.pid = 0  # once only


def spawn(
    cmd: list[str], log: Path, grace_s: float, lock: int | None = None,
    env: Mapping[str, str] | None = None, cwd: Path | None = None, most: int = 0,
) -> Guarded:
    """Start `cmd` with its output in `log`; an older log goes on, or is renamed to `.1` if it has `most`
    bytes or more.

    Without `cwd` it runs in the log's folder: give absolute paths.

    grace_s: seconds between SIGTERM and SIGKILL once we are dead. lock: a file descriptor that the
    server holds open for its life, see `claim.claimed`.
    Raises SetupError (no such program), OSError.
    """
    if log.exists() and log.stat().st_size >= most:
        log.replace(log.with_name(log.name + ".1"))
    fds = () if lock is None else (lock,)
    python = [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid()), str(grace_s)]
    with log.open("ab") as out:
        guard = subprocess.Popen(
            [*python, " ".join(map(str, fds)), *cmd], stdin=subprocess.PIPE, stderr=out,
            stdout=subprocess.PIPE, pass_fds=fds,
            env=env,
            cwd=cwd or log.parent,  # crash reports land beside the log, and no other folder is kept busy
            start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops in order
        )
    assert guard.stdout is not None
    pid = guard.stdout.readline()
    if not pid:
        guard.wait()
        raise SetupError(f"Cannot start {cmd[0]} ({trouble.last_line(log)}): see {log}.")
    return Guarded(guard, int(pid))


def _kill(pid: int) -> None:
    """A process, or a group by its number below zero."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone, or the number is somebody else's by now
        pass
