"""The trainer, its fitting child, and the monitor."""

import threading

from streamrec.config import Settings
from streamrec.wiring.parts import Parts


def run_train(settings: Settings, stop: threading.Event) -> None:
    """The scheduler; it fits in a child process, `run_learn`."""
    from schedulers.announcer import Announcer
    from schedulers.child import ChildLearner
    from schedulers.trainer import Trainer
    p = Parts(settings)
    learner, pointers, publisher = ChildLearner(), p.registry.pointers, p.broker.publisher()
    announcer = Announcer(pointers, publisher, p.names.topic("models"))
    trainer = Trainer(p.buffer, pointers, learner, announcer, p.board, p.clock, settings.trainer)
    learner.warm()  # after Redis has answered: or both would say that it does not
    trainer.run(stop)
    publisher.close()
    p.close()


def run_learn(settings: Settings, stop: threading.Event) -> None:
    """The fitting child: one JSON line in, progress and the outcome out, until stdin closes."""
    from schedulers.child import orders, take_stdout
    from streamrec.errors import RetryLater, StreamrecError
    say, incoming = take_stdout(), orders()
    from schedulers.learner import IncrementRunner
    from streamrec.adapters.tracking import tracker
    from streamrec.learning import fine_tune
    p = Parts(settings)
    dim, fingerprint = p.encoder(stop)
    fine_tune.warm()  # now that the others have started
    kept = tracker(settings.trainer.tracking, settings.home_dir / "tracking")
    runner = IncrementRunner(
        p.buffer, p.catalogue(dim), p.registry, p.board, p.clock, settings, dim, fingerprint, kept,
        p.tracer("train"),
    )
    for order in incoming:
        try:
            say("done", runner.run(order["token"], order["why"], lambda f: say("progress", f)))
            runner.between()
        except (StreamrecError, OSError) as error:
            say("done", {"error": str(error), "later": isinstance(error, RetryLater)})


def run_monitor(settings: Settings, stop: threading.Event) -> None:
    """Drift reports."""
    from schedulers.monitor import MonitorProcess
    from schedulers.site import SiteFollower
    from streamrec.drift.monitor import DriftMonitor
    p = Parts(settings)
    dim, _ = p.encoder(stop)
    follower = SiteFollower(p.catalogue(dim), dim, p.vectors_by, p.registry, p.board)
    topics = [p.names.topic(n) for n in ("feedback", "recommendations")]
    subscription = p.broker.subscribe(topics, p.names.group("monitor"), "earliest")
    publisher = p.broker.publisher()
    process = MonitorProcess(
        DriftMonitor(settings.monitor), subscription, publisher, p.board, p.clock,
        p.names.topic("drift-reports"), follower.tell, settings.trainer,
    )
    process.run(stop)
    publisher.close()
    p.close()
