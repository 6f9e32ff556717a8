"""One server per folder, also across a crash of the program that started it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamrec.errors import AlreadyRunning


@contextmanager
def claimed(folder: Path, wait_s: float) -> Iterator[int]:
    """Own `folder`, so that two servers never share data: a file descriptor for `guard.spawn`.

    The lock lives as long as the server, not as long as we do: after a crash of the parent the next
    one waits up to `wait_s` seconds here for the old server to end. Raises AlreadyRunning, OSError.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(lock, folder, time.monotonic() + wait_s)
        yield lock
    finally:
        os.close(lock)  # never LOCK_UN: that would unlock the server's copy as well


def _acquire(lock: int, folder: Path, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise AlreadyRunning(
                    f"Another program runs a server in {folder}: stop it, or use another folder."
                ) from None
        time.sleep(0.05)
