"""The fitting child: one process that imports torch and avalanche once and answers JSON lines.

It ends when its parent does (its standard input closes), and the parent starts another when it
has died. Between the two there is no pickle, only JSON.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from streamrec import logs
from streamrec.errors import StreamrecError

log = logs.get(__name__)
COMMAND = (sys.executable, "-m", "streamrec", "learn")


class TrainingFailed(StreamrecError):
    """The child died or said that it could not."""


class ChildLearner:
    """See schedulers.trainer.Learner."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = list(command)
        self._child: subprocess.Popen[str] | None = None

    def train(self, token: int, why: str) -> None:
        """See Learner; the child's progress lines are logged."""
        child = self._running()
        assert child.stdin and child.stdout
        try:
            child.stdin.write(json.dumps({"token": token, "why": why}) + "\n")
            child.stdin.flush()
        except BrokenPipeError:
            self.close()
            raise TrainingFailed("the fitting process was gone; a new one starts") from None
        for line in child.stdout:
            answer = json.loads(line)
            if answer.pop("event") != "done":
                log.info("fitting", **answer)
                continue
            if "error" in answer:
                raise TrainingFailed(answer["error"])
            log.info("trained", **answer)
            return
        code = child.wait()
        self._child = None
        raise TrainingFailed(f"the fitting process died with {code}; the window will be read again")

    def _running(self) -> subprocess.Popen[str]:
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
        """See Learner."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
