"""The web process and its workers: HTTP, and the dashboard beside it."""

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from streamrec import logs
from streamrec.config import Settings
from streamrec.errors import SetupError
from streamrec.metrics import BOARD_QUALITY, BOARD_WEB, INCREMENTS_KEPT
from streamrec.wiring.asked import letters, plain, recent_readers, replay_letters, rollback
from streamrec.wiring.consuming import serving
from streamrec.wiring.measured import PROCESSES, serve_metrics
from streamrec.wiring.parts import Parts

if TYPE_CHECKING:
    from socket import socket

    from fastapi import FastAPI

    from streamrec.dashboard.watch import Watch
    from streamrec.web.desk import Desk

log = logs.get(__name__)
LOOPBACK = ("127.0.0.1", "::1", "localhost")


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


def _keys(settings: Settings) -> list[str]:
    given = settings.web.api_keys.get_secret_value().split(",")
    return [key.strip() for key in given if key.strip()]


def _web_worker(
    settings: Settings, n: int, listening: "socket", where: dict[str, str | None], pages: bool,
    stop: threading.Event,
) -> None:
    """One of several, with metrics of its own."""
    try:
        serve_metrics(settings, PROCESSES.index("web") + n)
    except SetupError as error:  # answers are worth more than figures
        log.error("no_metrics", worker=n, why=str(error))
    _serve_web(settings, listening, stop, where, pages)


def _serve_web(
    settings: Settings, listening: "socket", stop: threading.Event, where: dict[str, str | None], pages: bool
) -> None:
    from streamrec.web.app import Behind, build
    from streamrec.web.desk import Desk
    from streamrec.web.outbox import Outbox
    from streamrec.web.reach import Reach
    from streamrec.web.server import serve
    p = Parts(settings)
    publisher, answers = p.broker.publisher(), p.broker.publisher(linger_s=0.1)  # nobody waits for them
    desk = Desk(serving(p, stop, "web"), answers, p.names.topic("recommendations"), p.clock)
    outbox, reach = Outbox(publisher), Reach(lambda: p.broker.incarnation(p.names.topic("feedback")), p.clock)
    for thread in (desk, outbox, reach):
        thread.start()
    local = settings.web.host in LOOPBACK
    app = build(Behind(desk, outbox, reach, p.clock, p.names.prefix, tuple(_keys(settings)), local))
    watch = _dashboard(app, p, desk) if pages else None
    log.info("serving", **where)
    serve(app, listening, stop, lambda: p.board.put(BOARD_WEB, {**where, "at": p.clock.now()}))
    for part in (desk, outbox, reach, watch):
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
