"""Composition root: builds concrete objects from settings and hands them to processes.

Each process imports what it needs inside its own function, so that the scorer never loads
avalanche, the collector never loads torch, and `--help` loads nothing.
"""

import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from streamrec import events, logs
from streamrec.broker import Broker, TopicSpec
from streamrec.clock import SystemClock
from streamrec.config import Settings
from streamrec.errors import SetupError
from streamrec.metrics import BOARD_QUALITY, BOARD_WEB, INCREMENTS_KEPT, Board
from streamrec.registry import Registry
from streamrec.rules import RuleStore

if TYPE_CHECKING:
    from socket import socket

    from fastapi import FastAPI

    from consumers.serving import Serving
    from streamrec.adapters.redis import Connection
    from streamrec.adapters.redis_buffer import RedisBuffer
    from streamrec.adapters.redis_store import RedisCatalogue
    from streamrec.dashboard.watch import Watch
    from streamrec.traces import Tracer
    from streamrec.web.desk import Desk

log = logs.get(__name__)
BOARD_ENCODER = "encoder"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PROCESSES = ("collect", "catalogue", "score", "train", "monitor", "web")
DAY_MS = 86_400_000
CHARS_A_TOKEN = 40  # no text of so many characters has fewer tokens, but for blanks


@dataclass(frozen=True)
class Names:
    """Topics and groups under one prefix."""

    prefix: str

    def topic(self, name: str) -> str:
        """`streamrec.feedback.v1` for `feedback`."""
        return events.topic(self.prefix, name)

    def group(self, process: str) -> str:
        """`streamrec-collect` for `collect`."""
        return f"{self.prefix}-{process}"

    def groups(self) -> dict[str, list[str]]:
        """What each group reads: lag is measured on these."""
        reads = {"collect": ["feedback"], "catalogue": ["articles", "rules"], "score": ["requests"]}
        return {self.group(p): [self.topic(t) for t in topics] for p, topics in reads.items()}

    def with_dead_letters(self) -> list[str]:
        """Topics whose messages can be dead letters."""
        return [self.topic(t) for t in ("articles", "feedback", "requests", "rules")]


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Every topic with its partitions, retention and compaction."""
    k, names = settings.kafka, Names(settings.kafka.topic_prefix)
    big = {"max.message.bytes": "8000000"}  # too large for us must reach us to become a dead letter
    compact = {"cleanup.policy": "compact"} | big
    kept = {"retention.ms": str(k.retention_hours * 3_600_000)} | big
    dead = {"retention.ms": str(30 * DAY_MS), "max.message.bytes": "9000000"}  # headers come on top
    plan = {
        "articles": (k.partitions, compact), "feedback": (k.partitions, kept),
        "requests": (k.partitions, kept), "recommendations": (k.partitions, kept),
        "models": (1, compact), "rules": (1, compact), "drift-reports": (1, kept),
    }
    specs = [
        TopicSpec(names.topic(n), parts, k.replication_factor, configs)
        for n, (parts, configs) in plan.items()
    ]
    return specs + [
        TopicSpec(f"{t}.dlq", 1, k.replication_factor, dead) for t in names.with_dead_letters()
    ]


class Parts:
    """The shared parts of every process, connected on first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.clock = settings, SystemClock()
        self.names = Names(settings.kafka.topic_prefix)
        self._made: dict[str, Any] = {}

    def _once(self, name: str, make: Any) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @property
    def broker(self) -> Broker:
        """Kafka."""
        from streamrec.adapters.kafka import KafkaBroker
        broker: Broker = self._once("broker", lambda: KafkaBroker(self.settings.kafka))
        return broker

    @property
    def redis(self) -> "Connection":
        """Redis, checked to keep what it acknowledges."""
        from streamrec.adapters.redis import Connection, connect
        connection: Connection = self._once("redis", lambda: connect(self.settings.redis))
        return connection

    @property
    def buffer(self) -> "RedisBuffer":
        """The replay buffer."""
        from streamrec.adapters.redis_buffer import RedisBuffer
        return RedisBuffer(self.redis, self.names.prefix, self.settings.buffer)

    @property
    def board(self) -> Board:
        """Facts for `status`."""
        from streamrec.adapters.redis_store import RedisBoard
        return RedisBoard(self.redis, self.names.prefix)

    @property
    def registry(self) -> Registry:
        """Model versions."""
        from streamrec.adapters.files import FsspecStore
        from streamrec.adapters.redis_store import RedisPointers
        pointers = RedisPointers(self.redis, self.names.prefix)
        return Registry(FsspecStore(self.settings.models_root, self.settings.home_dir / "cache"), pointers)

    def catalogue(self, dim: int) -> "RedisCatalogue":
        """The catalogue of vectors with `dim` dimensions."""
        from streamrec.adapters.redis_store import RedisCatalogue
        return RedisCatalogue(self.redis, self.names.prefix, dim)

    @property
    def rules(self) -> RuleStore:
        """The editor's rules."""
        from streamrec.adapters.redis_store import RedisRules
        return RedisRules(self.redis, self.names.prefix)

    def tracer(self, process: str) -> "Tracer":
        """Where this process's spans go."""
        from streamrec.traces import NO_TRACES
        if not self.settings.traces.to:
            return NO_TRACES
        try:
            from streamrec.adapters.traces import OtelTracer
        except ImportError:
            raise SetupError("traces need OpenTelemetry: in the clone, pip install -e '.[traces]'") from None
        tracer: Tracer = self._once("tracer", lambda: OtelTracer(self.settings.traces, process))
        return tracer

    def encoder(self, stop: threading.Event) -> tuple[int, str]:
        """Dimension and fingerprint of the catalogue's encoder, once a catalogue process has said. One that
        was set otherwise than we are is about to be started anew, or we are wrong."""
        ours, said = _encoder_settings(self.settings), False
        while not stop.is_set():
            known = self.board.get(BOARD_ENCODER) or {}
            if known and _fits(known, ours):
                return known["dim"], known["fingerprint"]
            if not said:
                log.info("waiting_for_catalogue", ours=ours, its={n: known.get(n) for n in ours})
            said = True
            stop.wait(0.5)
        raise SystemExit(0)

    def close(self) -> None:
        """Let go of what was connected."""
        for part in self._made.values():
            part.close()


def _encoder_settings(settings: Settings) -> dict[str, Any]:
    """What of them changes a vector."""
    return {"name": settings.encoder.name, "max_tokens": settings.encoder.max_tokens}


def _fits(known: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether the catalogue's encoder is set as ours is."""
    return all(known.get(name, of) == of for name, of in ours.items())


def create_topics(settings: Settings) -> list[str]:
    """Create the missing topics; returns their names."""
    parts = Parts(settings)
    made = parts.broker.create_topics(topic_specs(settings))
    parts.close()
    return made


def run_collect(settings: Settings, stop: threading.Event) -> None:
    """Feedback into the buffer."""
    from consumers.collector import Collector
    from consumers.dead_letters import DeadLetters
    from consumers.loop import Loop, Policy
    p = Parts(settings)
    publisher, group = p.broker.publisher(), p.names.group("collect")
    subscription = p.broker.subscribe([p.names.topic("feedback")], group, "earliest")
    collector = Collector(
        p.buffer, publisher, DeadLetters(publisher, group), p.clock, p.names.topic("requests"),
        p.broker.incarnation, subscription.generation, settings.buffer.weights,
        p.tracer("collect"),
    )
    _seldom_collected()
    Loop(subscription, publisher, collector, p.clock, Policy(max_records=2000), stop).run()


def _seldom_collected() -> None:
    """What a poll or a request makes lives and dies together: looking for cycles in it is time lost."""
    import gc
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def run_catalogue(settings: Settings, stop: threading.Event) -> None:
    """Articles into vectors, and the editor's rules into their store."""
    from consumers.catalogue import CatalogueKeeper
    from consumers.dead_letters import DeadLetters
    from consumers.loop import Loop, Policy
    from consumers.reread import Reread
    from consumers.router import Router
    from consumers.rules import RulesKeeper
    from streamrec.model.encoder import TextEncoder, article_text
    p = Parts(settings)
    encoder = TextEncoder(settings.encoder)
    known = {"dim": encoder.dim, "fingerprint": encoder.fingerprint, **_encoder_settings(settings)}
    say = partial(p.board.put, BOARD_ENCODER, known)
    say()
    publisher, group = p.broker.publisher(), p.names.group("catalogue")
    keeper = CatalogueKeeper(
        p.catalogue(encoder.dim), encoder.encode, encoder.fingerprint, article_text,
        DeadLetters(publisher, group, p.board), p.clock, Reread(p.board, encoder.fingerprint, p.clock, say),
        settings.encoder.batch, CHARS_A_TOKEN * settings.encoder.max_tokens,
    )
    rules = RulesKeeper(p.rules, DeadLetters(publisher, group, p.board), p.clock,
                        Reread(p.board, "rules", p.clock))
    router = Router({p.names.topic("articles"): keeper, p.names.topic("rules"): rules})
    subscription = p.broker.subscribe([p.names.topic(t) for t in ("articles", "rules")], group, "earliest")
    Loop(subscription, publisher, router, p.clock, Policy(poll_s=0.02), stop).run()


def serving(p: Parts, stop: threading.Event, process: str = "score") -> "Serving":
    """What a process that answers needs, following everything; waits for the catalogue's encoder."""
    from consumers.interests import WAIT_S, Interests
    from consumers.model_fetch import ModelFetch
    from consumers.own_texts import OwnTexts
    from consumers.serving import Serving
    from streamrec.model.encoder import TextEncoder
    from streamrec.model.network import Recommender
    from streamrec.scoring import Scorer, Served, ServingState
    from streamrec.scoring.snapshot import Snapshots
    s, (dim, fingerprint) = p.settings, p.encoder(stop)
    snapshots = Snapshots(p.registry, p.catalogue(dim), fingerprint)
    state, texts = snapshots.begin(lambda: ServingState(p.buffer, p.catalogue(dim), s.buffer, dim))
    prior = Served("0", Recommender.initial(dim, s.model), exact=s.scorer.exact)
    # Over HTTP who asks too early may ask again; on a topic nobody does, so there the others wait, too.
    wait_s = 0.0 if process == "web" else WAIT_S
    interests = Interests(lambda: TextEncoder(s.encoder).encode, s.scorer.prompts, wait_s)
    scorer = Scorer(state, p.buffer, prior, s.scorer, s.trainer.seed, interests, p.clock)
    own = OwnTexts(p.catalogue(dim), state.articles, s.encoder, s.scorer.exact)
    fetch = ModelFetch(p.registry, state.articles, fingerprint, own,
                       lambda n: recent_histories(p, n), s.scorer.exact)
    fetch.texts = texts
    if texts:  # many articles: or they would be given vectors of the prior first
        fetch.fetch_if_any()
    fetch.begin_with(prior)
    fetch.start()
    interests.start()
    _seldom_collected()
    return Serving(scorer, fetch, p.rules, p.board, p.clock, s.scorer, tracer=p.tracer(process))


def run_score(settings: Settings, stop: threading.Event) -> None:
    """Requests into answers."""
    from consumers.dead_letters import DeadLetters
    from consumers.loop import Loop, Policy
    from consumers.scorer import ScoringWorker
    p = Parts(settings)
    publisher, group = p.broker.publisher(), p.names.group("score")
    worker = ScoringWorker(
        serving(p, stop), publisher, DeadLetters(publisher, group, p.board), p.board, p.clock,
        settings.scorer, p.names.topic("recommendations"),
    )
    subscription = p.broker.subscribe([p.names.topic("requests")], group, "earliest")
    Loop(subscription, publisher, worker, p.clock, Policy(poll_s=0.02, max_records=64), stop).run()


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
    follower = SiteFollower(p.catalogue(dim), dim, lambda: p.encoder(stop)[1], p.registry)
    topics = [p.names.topic(n) for n in ("feedback", "recommendations", "models")]
    subscription = p.broker.subscribe(topics, p.names.group("monitor"), "earliest")
    publisher = p.broker.publisher()
    process = MonitorProcess(
        DriftMonitor(settings.monitor), subscription, publisher, p.board, p.clock,
        p.names.topic("drift-reports"), follower.tell,
    )
    process.run(stop)
    publisher.close()
    p.close()


def run_web(settings: Settings, stop: threading.Event) -> None:
    """HTTP: recommendations, feedback and articles."""
    from streamrec.web import workers
    from streamrec.web.server import listen, url
    w = settings.web
    if w.host not in LOOPBACK and not _keys(settings):
        raise SetupError(f"{w.host} can be reached from other machines: set STREAMREC_WEB__API_KEYS, or "
                         "STREAMREC_WEB__HOST=127.0.0.1")
    listening = listen(w.host, w.port)
    log.info("listening", url=url(listening))
    pages = w.dashboard and (w.host in LOOPBACK or bool(w.password.get_secret_value()))
    if w.dashboard and not pages:
        log.info("no_dashboard", why="others can reach it: set STREAMREC_WEB__PASSWORD")
    if w.workers == 1:
        where = {"url": url(listening), "dashboard": f"{url(listening)}/dashboard/" if pages else None}
        _serve_web(settings, listening, stop, where, pages)
        return
    # A page talks to the process that made it: they have one for themselves, behind a port of its own.
    own = listen(w.host, w.dashboard_port) if pages else None
    where = {"url": url(listening), "dashboard": f"{url(own)}/dashboard/" if own else None}
    jobs = [partial(_web_worker, settings, n, listening, where, False) for n in range(w.workers)]
    if own:
        jobs.append(partial(_web_worker, settings, w.workers, own, where, True))
    workers.run(jobs, stop)


def _web_worker(
    settings: Settings, n: int, listening: "socket", where: dict[str, str | None], pages: bool,
    stop: threading.Event,
) -> None:
    """One of several, with metrics of its own."""
    try:
        _serve_metrics(settings, PROCESSES.index("web") + n)
    except SetupError as error:  # answers are worth more than figures
        log.error("no_metrics", worker=n, why=str(error))
    _serve_web(settings, listening, stop, where, pages)


def _serve_web(
    settings: Settings, listening: "socket", stop: threading.Event, where: dict[str, str | None], pages: bool
) -> None:
    from streamrec.web.app import Behind, build
    from streamrec.web.desk import Desk
    from streamrec.web.outbox import Outbox
    from streamrec.web.server import serve
    p = Parts(settings)
    publisher, answers = p.broker.publisher(), p.broker.publisher(linger_s=0.1)  # nobody waits for them
    desk = Desk(serving(p, stop, "web"), answers, p.names.topic("recommendations"), p.clock)
    outbox = Outbox(publisher)
    desk.start()
    outbox.start()
    local = settings.web.host in LOOPBACK
    app = build(Behind(desk, outbox, p.clock, p.names.prefix, tuple(_keys(settings)), local))
    watch = _dashboard(app, p, desk) if pages else None
    log.info("serving", **where)
    serve(app, listening, stop, lambda: p.board.put(BOARD_WEB, {**where, "at": p.clock.now()}))
    for part in (desk, outbox, watch):
        if part:
            part.stop()
    for channel in (publisher, answers):
        channel.close()
    p.close()


def _dashboard(app: "FastAPI", p: Parts, desk: "Desk") -> "Watch":
    """The pages; what they watch is read over connections of their own."""
    from streamrec.dashboard.asking import DeskAsking
    from streamrec.dashboard.login import Login
    from streamrec.dashboard.mount import mount
    from streamrec.dashboard.site import Acts, ReportLog, Site
    from streamrec.operate import status as look
    from streamrec.operate.article import article
    own, names = Parts(p.settings), p.names
    asking = DeskAsking(desk, p.clock, lambda n: recent_readers(p, n),
                        lambda: own.board.newest(BOARD_QUALITY, INCREMENTS_KEPT))
    state = desk.serving.scorer.state
    password = p.settings.web.password.get_secret_value()
    site = Site(
        facts=lambda: plain(look.facts(own.buffer, own.registry.pointers, own.board,
                                       own.catalogue(1).size(), time.time())),
        lag=lambda: look.lag(own.broker, names.groups()), board=own.board,
        records=own.registry.pointers.records,
        reports=ReportLog(own.broker, names.topic("drift-reports"), p.clock), asking=asking,
        acts=Acts(
            history=lambda user: p.buffer.histories([user])[user],
            article=lambda item: article(state.articles, p.catalogue(state.articles.dim), item),
            letters=lambda: letters(p.settings), replay=lambda only: replay_letters(p.settings, only),
            rollback=lambda version: rollback(p.settings, version), diff=asking.diff,
        ),
        login=Login(password, open_to_all=p.settings.web.host in LOOPBACK), clock=p.clock,
    )
    mount(app, site)
    site.watch.start()
    return site.watch


def recent_readers(p: Parts, n: int) -> list[str]:
    """Some readers whose reads are kept for rehearsal."""
    return list(dict.fromkeys(row.user for row in p.buffer.reservoir()))[:n]


def recent_histories(p: Parts, n: int) -> list[list[str]]:
    """What some of them had read, newest first."""
    return [list(row.history) for row in p.buffer.reservoir()[:n]]


def letters(settings: Settings) -> list[dict[str, Any]]:
    """Dead letters for people. Raises RetryLater, SetupError."""
    from streamrec.operate.dlq import listed
    p = Parts(settings)
    try:
        return listed(p.broker, p.names.with_dead_letters(), p.names.group("dlq-replay"))
    finally:
        p.close()


def replay_letters(settings: Settings, only: set[str]) -> int:
    """Send dead letters back to their topics; how many. Raises NotFound, RetryLater, SetupError."""
    from streamrec.operate.dlq import replay
    p = Parts(settings)
    try:
        return replay(p.broker, p.names.with_dead_letters(), only, p.names.group("dlq-replay"))
    finally:
        p.close()


def diff(settings: Settings, older: str, newer: str, readers: int) -> events.ModelDiff:
    """What changed between two versions. Raises NotFound, CorruptArtefact, RetryLater, SetupError."""
    from streamrec.drift.remembered import with_eras
    from streamrec.scoring.compare import compare
    p = Parts(settings)
    _same_encoder(p)
    served = serving(p, threading.Event())
    try:
        served.scorer.follow()
        old, new = (served.version(v) for v in (older, newer))
        served.scorer.swap(new)  # with the co-reads that it came with
        served.scorer.catch_up_rows()
        found = compare(served.scorer, old, new, recent_readers(p, readers))
        return with_eras(found, p.board.newest(BOARD_QUALITY, INCREMENTS_KEPT))
    finally:
        served.close()
        p.close()


def _same_encoder(p: Parts) -> None:
    """Raises SetupError where `Parts.encoder` would wait: nobody is about to start a catalogue for us."""
    known, ours = p.board.get(BOARD_ENCODER), _encoder_settings(p.settings)
    if not known:
        raise SetupError("nothing is known yet: start `streamrec up`, or `streamrec catalogue`")
    if not _fits(known, ours):
        its, own = (", ".join(f"{n} {of.get(n)}" for n in ours) for of in (known, ours))
        raise SetupError(f"the catalogue's encoder is set otherwise ({its}) than here ({own}): set "
                         "STREAMREC_ENCODER__* as the catalogue process has them")


def plain(found: Any) -> Any:
    """Messages as JSON-like data."""
    import msgspec
    return msgspec.to_builtins(found)


def _keys(settings: Settings) -> list[str]:
    given = settings.web.api_keys.get_secret_value().split(",")
    return [key.strip() for key in given if key.strip()]


def status(p: Parts) -> dict[str, Any]:
    """What `streamrec status` prints, JSON-like."""
    from streamrec.operate.status import status as look
    buffer = p.buffer  # first: a URL that is none is told, also where no Kafka is known
    found: dict[str, Any] = plain(look(
        p.broker, buffer, p.registry.pointers, p.board, p.names.groups(), p.catalogue(1).size(),
        time.time(),
    ))
    return found


def rollback(settings: Settings, version: str) -> None:
    """Point at an older version and tell the models topic. Raises NotFound, CorruptArtefact."""
    from schedulers.announcer import Announcer
    p = Parts(settings)
    publisher, registry = p.broker.publisher(), p.registry
    try:
        pointer = registry.rollback(version, time.time())
        Announcer(registry.pointers, publisher, p.names.topic("models")).announce(pointer, 30.0)
    finally:
        publisher.close()
        p.close()


RUN = {
    "collect": run_collect, "catalogue": run_catalogue, "score": run_score, "train": run_train,
    "monitor": run_monitor, "web": run_web, "learn": run_learn,
}


def run(name: str, settings: Settings, stop: threading.Event) -> None:
    """Run one process until `stop`."""
    if name in PROCESSES and not (name == "web" and settings.web.workers > 1):
        _serve_metrics(settings, PROCESSES.index(name))
    RUN[name](settings, stop)


def _serve_metrics(settings: Settings, n: int) -> None:
    """Raises SetupError if the address cannot be had."""
    if not settings.metrics_port:
        return
    from prometheus_client import start_http_server
    port = settings.metrics_port + n
    try:
        start_http_server(port, settings.metrics_host)
    except (OSError, UnicodeError) as error:  # UnicodeError: what no name of a machine can be
        raise SetupError(
            f"no metrics on {settings.metrics_host}:{port} ({error}): set STREAMREC_METRICS_PORT and "
            "STREAMREC_METRICS_HOST to what is free and ours, or the port to 0 for none"
        ) from None
