"""Tasks side by side, each in a process of its own, none of which outlives who asked for it."""

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from streamrec.errors import SetupError, StreamrecError

T = TypeVar("T")
GRACE_S = 3.0  # for a process that has answered, or was told to end
SPAWN = multiprocessing.get_context("spawn")


class _Task:
    """One call in a fresh process, and the pipe through which it says how it ended."""

    def __init__(self, work: Callable[..., None], arguments: Sequence[Any]) -> None:
        self.told, self._tells = SPAWN.Pipe(duplex=False)
        self._process = SPAWN.Process(target=_called, args=(self._tells, work, arguments))

    def start(self) -> None:
        """A Ctrl-C is for the parent alone, which ends the process."""
        with _interrupts_masked():
            self._process.start()
        self._tells.close()  # the process has its own: the pipe ends with it

    def result(self) -> None:
        """Wait for the end. Raises what the task raised if that is ours, RuntimeError with its traceback
        if not, and SetupError if the process was killed."""
        try:
            error = self.told.recv()
        except EOFError:
            self._process.join()
            raise SetupError(
                f"a run ended without a word, exit code {self._process.exitcode}: if that is -9, memory ran "
                "out: free some, give fewer --jobs, or a smaller --limit"
            ) from None
        if isinstance(error, StreamrecError):
            raise error
        if error:
            raise RuntimeError(f"a run broke:\n{error}")

    def terminate(self) -> None:
        """Ask a process that still runs to end."""
        if self._process.pid is not None:
            self._process.terminate()

    def end(self) -> None:
        """See that it is gone."""
        if self._process.pid is not None:
            self._process.join(GRACE_S)
            self._process.kill()
            self._process.join()
        self.told.close()


def side_by_side(
    work: Callable[..., None], tasks: Iterable[tuple[T, Sequence[Any]]], jobs: int
) -> Iterator[T]:
    """Call `work(*arguments)` for each of `tasks` (key, arguments), `jobs` at a time; yields each key when
    its call has ended. At an error or an interrupt, or if nobody iterates any more, all processes end at
    once. Raises as `_Task.result`."""
    waiting, running = iter(tasks), dict[Connection, tuple[T, _Task]]()
    try:
        while True:
            while len(running) < jobs and (found := next(waiting, None)):
                task = _Task(work, found[1])
                running[task.told] = found[0], task
                task.start()
            if not running:
                return
            for told in [c for c in wait(list(running)) if isinstance(c, Connection)]:
                key, task = running[told]
                task.result()
                task.end()
                del running[told]
                yield key
    finally:
        for _, task in running.values():
            task.terminate()
        for _, task in running.values():
            task.end()


def _called(tells: Connection, work: Callable[..., None], arguments: Sequence[Any]) -> None:
    try:
        work(*arguments)
        tells.send(None)
    except StreamrecError as error:
        tells.send(error)
    except Exception:
        tells.send(traceback.format_exc())


@contextmanager
def _interrupts_masked() -> Iterator[None]:
    """Processes that are started here never see a SIGINT, not even while they are starting."""
    resource_tracker.ensure_running()  # else its first start would take the mask away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
