"""The processes that Kafka drives, from settings to their loops; and what all that answer need."""

import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from streamrec.config import Settings
from streamrec.wiring.asked import recent_histories
from streamrec.wiring.parts import BOARD_ENCODER, Parts, encoder_settings

if TYPE_CHECKING:
    from consumers.serving import Serving

CHARS_A_TOKEN = 40  # no text of so many characters has fewer tokens, but for blanks


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
    sys.setswitchinterval(0.0005)  # in 5 ms of decoding the buffer would have nothing to do
    Loop(subscription, publisher, collector, p.clock, Policy(max_records=2000), stop).run()


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
    known = {"dim": encoder.dim, "fingerprint": encoder.fingerprint, **encoder_settings(settings)}
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


def serving(p: Parts, stop: threading.Event, process: str = "score") -> "Serving":
    """What a process that answers needs, following everything; waits for the catalogue's encoder."""
    from consumers.interests import WAIT_S, Interests
    from consumers.model_fetch import ModelFetch
    from consumers.own_texts import OwnTexts
    from consumers.serving import Serving
    from streamrec.model.encoder import TextEncoder
    from streamrec.model.network import Recommender
    from streamrec.scoring import PRIOR, Scorer, Served, ServingState
    from streamrec.scoring.snapshot import Snapshots
    s, (dim, fingerprint) = p.settings, p.encoder(stop)
    snapshots = Snapshots(p.registry, p.catalogue(dim), fingerprint)
    state, texts = snapshots.begin(lambda: ServingState(p.buffer, p.catalogue(dim), s.buffer, dim))
    prior = Served(PRIOR, Recommender.initial(dim, s.model), exact=s.scorer.exact)
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
    return Serving(scorer, fetch, p.rules, p.board, p.clock, s.scorer, tracer=p.tracer(process),
                   interests=interests.state)


def _seldom_collected() -> None:
    """What a poll or a request makes lives and dies together: looking for cycles in it is time lost."""
    import gc
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
