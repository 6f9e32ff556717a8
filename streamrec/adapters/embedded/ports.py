"""Ports on 127.0.0.1 that stay the same over restarts."""

import json
import os
import socket
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


def free_port() -> int:
    """A TCP port that the system gives to nobody else for about a minute.

    A closed connection leaves it in TIME_WAIT, and a server that sets SO_REUSEADDR (Kafka, Redis)
    may bind it all the same. Raises OSError when the machine has no port left.
    """
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((HOST, 0))
        server.listen(1)
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first is the one left in TIME_WAIT
        client.close()
        return int(server.getsockname()[1])


def is_free(port: int) -> bool:
    """True when a server could listen on `port` now."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, port))
        except OSError:
            return False
        return True


def keep(file: Path, *names: str) -> dict[str, int]:
    """One port per name: the one remembered in `file` if still free, else a new one, remembered."""
    state = read_state(file)
    for name in names:
        if not isinstance(state.get(name), int) or not is_free(state[name]):
            state[name] = free_port()
    write_state(file, state)
    return {name: state[name] for name in names}


def read_state(file: Path) -> dict[str, Any]:
    """The JSON object in `file`; empty when there is none or it was cut short."""
    try:
        state = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(file: Path, state: dict[str, Any]) -> None:
    """Replace `file` in one step. Raises OSError."""
    new = file.with_name(file.name + ".new")
    new.write_text(json.dumps(state, indent=1))
    os.replace(new, file)
