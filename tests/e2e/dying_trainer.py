"""A real trainer whose learner kills both at the worst moment: all is staged and nothing has moved
(`before`), or the pointer has moved and nobody was told (`after`)."""

import os
import signal
import sys
import threading
from typing import Any

from schedulers.announcer import Announcer
from schedulers.child import ChildLearner
from schedulers.trainer import Trainer
from streamrec import config, logs, wiring
from streamrec.adapters.redis_store import RedisPointers
from streamrec.registry import Registry
from streamrec.wiring import scheduled


class DyingPointers(RedisPointers):
    """kill -9 of parent and child instead of the move, or at once after it."""

    def move(self, *what: Any) -> None:
        """See PointerStore."""
        if sys.argv[1] == "after":
            super().move(*what)
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


class DyingParts(wiring.Parts):
    """Everything real but the move."""

    @property
    def registry(self) -> Registry:
        """Model versions."""
        return Registry(super().registry.files, DyingPointers(self.redis, self.names.prefix))


def main() -> None:
    """The child with a second argument `learn`, else the parent."""
    settings = config.load()
    logs.setup("info", "dying")
    if sys.argv[2:] == ["learn"]:
        scheduled.Parts = DyingParts  # type: ignore[misc]
        return scheduled.run_learn(settings, threading.Event())
    p = wiring.Parts(settings)
    learner = ChildLearner([sys.executable, __file__, sys.argv[1], "learn"])
    learner.warm()
    pointers = p.registry.pointers
    announcer = Announcer(pointers, p.broker.publisher(), p.names.topic("models"))
    trainer = Trainer(p.buffer, pointers, learner, announcer, p.board, p.clock, settings.trainer)
    trainer.run(threading.Event())


main()
