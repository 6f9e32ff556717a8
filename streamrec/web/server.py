"""Serves the application until it is told to stop."""

import socket
import threading
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from streamrec import logs
from streamrec.errors import SetupError, StreamrecError

log = logs.get(__name__)
ALIVE_S = 5.0
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # an address to listen on, and one to open


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
    """Where it can be reached, from this machine at least."""
    host, port = listening.getsockname()[:2]
    host = ANY.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: FastAPI, listening: socket.socket, stop: threading.Event, alive: Callable[[], None] = lambda: None
) -> None:
    """Until `stop` is set; then requests in hand are answered first. Meanwhile `alive` is called now and
    then."""
    config = uvicorn.Config(  # no handlers of its own: what it says is a line of JSON, too
        app, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http")
    thread.start()
    threading.Thread(target=_say, args=(alive, server, stop), name="alive", daemon=True).start()
    while thread.is_alive() and not stop.wait(0.2):
        pass
    server.should_exit = True
    thread.join()


def _say(alive: Callable[[], None], server: uvicorn.Server, stop: threading.Event) -> None:
    """In a thread of its own: a server that hangs may not keep this one from its end."""
    while not server.started and not stop.wait(0.05):
        pass
    while not stop.is_set():
        try:
            alive()
        except StreamrecError as error:
            log.warning("not_said_to_be_alive", why=str(error))
        stop.wait(ALIVE_S)
