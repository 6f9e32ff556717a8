"""A real trainer whose learner kills both at the worst moment: all is staged, nothing has moved."""

import os
import signal
import sys
import threading
from typing import Any

from schedulers.child import ChildLearner
from schedulers.trainer import Trainer
from streamrec import config, logs, wiring
from streamrec.adapters.redis_store import RedisPointers
from streamrec.registry import Registry


class DyingPointers(RedisPointers):
    """kill -9 of parent and child instead of the move."""

    def move(self, *_: Any) -> None:
        """See PointerStore."""
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


class DyingParts(wiring.Parts):
    """Everything real but the move."""

    @property
    def registry(self) -> Registry:
        """Model versions."""
        return Registry(super().registry.files, DyingPointers(self.redis, self.names.prefix))


def main() -> None:
    """The child with the argument `learn`, else the parent."""
    settings = config.load()
    logs.setup("info", "dying")
    if sys.argv[1:] == ["learn"]:
        wiring.Parts = DyingParts  # type: ignore[misc]
        return wiring.run_learn(settings, threading.Event())
    p = wiring.Parts(settings)
    learner = ChildLearner([sys.executable, __file__, "learn"])
    learner.warm()
    pointers = p.registry.pointers
    Trainer(p.buffer, pointers, learner, p.board, p.clock, settings.trainer).run(threading.Event())


main()
