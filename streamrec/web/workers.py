"""Several processes behind one port: each has a scorer of its own, and the system shares connections out."""

import os
import threading
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkProcess

from streamrec import logs
from streamrec.processes import stop_on_signals

log = logs.get(__name__)
LOOK_S = 0.5
END_S = 10.0


def run(jobs: Sequence[Callable[[threading.Event], None]], stop: threading.Event) -> None:
    """Each job in a process of its own until `stop` is set; one that ends is started again. Call it
    before anything has started threads: the processes are forks, which share what is open."""
    workers = [_start(work) for work in jobs]
    while not stop.wait(LOOK_S):
        for i, worker in enumerate(workers):
            if not worker.is_alive():
                log.error("worker_ended", exit_code=worker.exitcode)
                workers[i] = _start(jobs[i])
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(END_S)


def _start(work: Callable[[threading.Event], None]) -> ForkProcess:
    worker = get_context("fork").Process(target=_run, args=(work, os.getpid()), daemon=True)
    worker.start()
    return worker


def _run(work: Callable[[threading.Event], None], parent: int) -> None:
    stop = threading.Event()
    stop_on_signals(stop)
    threading.Thread(target=_follow, args=(parent, stop), name="parent", daemon=True).start()
    work(stop)


def _follow(parent: int, stop: threading.Event) -> None:
    """A worker ends with its parent, however that ended."""
    while not stop.wait(LOOK_S):
        if os.getppid() != parent:
            stop.set()
