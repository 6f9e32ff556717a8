"""Composition root: builds concrete objects from settings and hands them to processes.

Each process imports what it needs inside its own function, so that the scorer never loads
avalanche, the collector never loads torch, and `--help` loads nothing.
"""

import threading

from streamrec.config import Settings
from streamrec.wiring.asked import letters, replay_letters, rollback, status
from streamrec.wiring.changed import diff
from streamrec.wiring.consuming import run_catalogue, run_collect, run_score
from streamrec.wiring.measured import PROCESSES, serve_metrics
from streamrec.wiring.names import Names, topic_specs
from streamrec.wiring.parts import BOARD_ENCODER, Parts, check_redis, create_topics
from streamrec.wiring.scheduled import run_learn, run_monitor, run_train
from streamrec.wiring.web import run_web

__all__ = ["BOARD_ENCODER", "PROCESSES", "Names", "Parts", "check_redis", "create_topics", "diff",
           "letters", "replay_letters", "rollback", "run", "status", "topic_specs"]


RUN = {
    "collect": run_collect, "catalogue": run_catalogue, "score": run_score, "train": run_train,
    "monitor": run_monitor, "web": run_web, "learn": run_learn,
}


def run(name: str, settings: Settings, stop: threading.Event) -> None:
    """Run one process until `stop`."""
    if name in PROCESSES and not (name == "web" and settings.web.workers > 1):
        serve_metrics(settings, PROCESSES.index(name))
    RUN[name](settings, stop)
