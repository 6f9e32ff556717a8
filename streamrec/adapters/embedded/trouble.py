"""Turn what the machine says into one sentence that names the next step."""

import errno
import os
import re
from pathlib import Path

from streamrec.errors import SetupError

FULL = (errno.ENOSPC, errno.EDQUOT)
_TAIL_BYTES = 65_536
_ERROR = re.compile(r"rror|xception|FATAL|[Ff]atal")
_WARNING = re.compile(r"\bWARN(ING)?\b|\bwarning\b")  # one may quote an error, and be of no consequence


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
    said = _said(log)
    if said is None:
        return "there is no log"
    return (_errors(said) or said or ["the log is empty"])[-1][:300].rstrip(".")


def last_error(log: Path) -> str:
    """The last line of `log` that tells of an error; empty if none does: what else a server said last has
    nothing to do with its end."""
    return (_errors(_said(log) or []) or [""])[-1][:300].rstrip(".")


def _errors(lines: list[str]) -> list[str]:
    return [line for line in lines if _ERROR.search(line) and not _WARNING.search(line)]


def _said(log: Path) -> list[str] | None:
    """The last lines, without stack frames; None without a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(("at ", "...", "File \""))]
