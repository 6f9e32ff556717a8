"""Turn what the machine says into one sentence that names the next step."""

import errno
import os
from pathlib import Path

from streamrec.errors import SetupError

FULL = (errno.ENOSPC, errno.EDQUOT)
_TAIL_BYTES = 65_536


def from_os(error: OSError, path: Path) -> SetupError:
    """The `SetupError` for an `OSError` met while reading or writing under `path`."""
    if error.errno in FULL:
        return SetupError(f"The disk that holds {path} is full: free some space and start again.")
    reason = error.strerror or str(error)
    return SetupError(f"Cannot use {path} ({reason}): check that it is yours to write.")


def missing(package: str) -> SetupError:
    """The `SetupError` for a pip package of the `local` extra that is not installed."""
    return SetupError(f"{package} is not installed: run pip install 'streamrec[local]'.")


def last_line(log: Path) -> str:
    """The last line of `log` that says something: an error if there is one, no stack frames."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return "there is no log"
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(("at ", "...", "File \""))]
    errors = [line for line in said if "rror" in line or "xception" in line or "FATAL" in line]
    return (errors or said or ["the log is empty"])[-1][:300].rstrip(".")
