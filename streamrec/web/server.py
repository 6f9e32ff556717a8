"""Serves the application until it is told to stop."""

import socket
import threading

import uvicorn
from fastapi import FastAPI

from streamrec.errors import SetupError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises SetupError if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise SetupError(
            f"cannot listen on {host}:{port} ({error.strerror}): set STREAMREC_WEB__PORT to a free port, "
            "or 0 for any"
        ) from None
    return found


def url(listening: socket.socket) -> str:
    """Where it can be reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, listening: socket.socket, stop: threading.Event) -> None:
    """Until `stop` is set; then requests in hand are answered first."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http")
    thread.start()
    while thread.is_alive() and not stop.wait(0.2):
        pass
    server.should_exit = True
    thread.join()
