"""The fitting child: one process that imports torch and avalanche once and answers JSON lines.

Both ends of the conversation are here. Between the two there is no pickle, only JSON. The child
ends when its parent does (its standard input closes), and the parent starts another when it has
died or said something that cannot be understood.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from streamrec import logs
from streamrec.errors import StreamrecError

log = logs.get(__name__)
COMMAND = (sys.executable, "-m", "streamrec", "learn")
EXIT_S = 10.0
Say = Callable[[str, dict[str, Any]], None]


class TrainingFailed(StreamrecError):
    """The child died or said that it could not."""


class NotYet(StreamrecError):
    """The child waits for something: articles to be announced, or a server that is away."""


class ChildLearner:
    """See schedulers.trainer.Learner."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = list(command)
        self._child: subprocess.Popen[str] | None = None
        self._closed = False

    def train(self, token: int, why: str) -> None:
        """See Learner; the child's progress lines are logged."""
        child = self._running()
        try:
            answer = _ask(child, {"token": token, "why": why})
        except Exception as error:
            self._end()  # whatever it is doing, what it says next would answer another question
            if isinstance(error, TrainingFailed):
                raise
            raise TrainingFailed(
                f"the fitting process was not understood ({error}); a new one starts"
            ) from error
        if "error" in answer:
            raise (NotYet if answer.get("later") else TrainingFailed)(answer["error"])
        log.info("trained", **answer)

    def _running(self) -> subprocess.Popen[str]:
        if self._closed:
            raise TrainingFailed("the trainer stops; the next one reads the window again")
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        return self._child

    @property
    def pid(self) -> int | None:
        """Of the running child."""
        return self._child.pid if self._child else None

    def warm(self) -> None:
        """Start the child now: importing torch and avalanche takes seconds."""
        self._running()

    def close(self) -> None:
        """See Learner; no child is started any more."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        child, self._child = self._child, None  # `train` and `close` are on two threads
        if child is not None:
            child.kill()
            child.wait()


def _ask(child: "subprocess.Popen[str]", order: dict[str, Any]) -> dict[str, Any]:
    """The last line of the answer. Raises TrainingFailed when the child has died."""
    assert child.stdin and child.stdout
    child.stdin.write(json.dumps(order) + "\n")
    child.stdin.flush()
    for line in child.stdout:
        answer: dict[str, Any] = json.loads(line)
        if answer.pop("event") == "done":
            return answer
        log.info("fitting", **answer)
    code = child.wait(EXIT_S)
    raise TrainingFailed(f"the fitting process died with {code}; the window will be read again")


def take_stdout() -> Say:
    """For the child: how it answers. Standard output is its own from now on; what a library
    prints goes to the log."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(event: str, facts: dict[str, Any]) -> None:
        print(json.dumps({"event": event, **facts}), file=answers, flush=True)

    return say


def orders() -> Iterator[dict[str, Any]]:
    """For the child: what it is told to do. When its parent is gone it ends at once, in the
    middle of a fit too: nobody waits for it, and being killed at any point is harmless."""
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, name="orders", daemon=True).start()
    return map(json.loads, iter(lines.get, None))
