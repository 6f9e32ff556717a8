"""Latency through the topics, collector and scorer in processes of their own: answers with and
without models swapped every second, none of them torn, and lists that know of a click."""

import random
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median

from msgspec.structs import replace

from streamrec.catalogue import Owed
from streamrec.events import Feedback, Recommendation, Request, decode, encode
from streamrec.model.bundle import to_files
from streamrec.registry import VersionRecord
from streamrec.wiring import BOARD_ENCODER, Parts
from tests.benchmarks.measured import Figures, Say, Sizes, p99
from tests.benchmarks.models import DIM, entries, network, vectors
from tests.benchmarks.servers import Bench, peak_mb, publish, wait_for
from tests.benchmarks.stream import READERS, START, article, realistic

PREFIX, PAGE = "answer", 1000
MODELS = 9  # different ones that take turns
ASKERS = 100  # readers who ask: so few that each is answered by each model several times
ALIKE = 1e-3  # scores of one article for one reader under one model


def measure(bench: Bench, sizes: Sizes, figures: Figures, say: Say) -> None:
    """answer_p99_during_swap_over_before and click_to_recommendation_p99_ms; answers with more articles."""
    parts = bench.parts(PREFIX)
    say(f"articles for the scorer: {sizes.articles}")
    put_catalogue(parts, sizes.articles)
    publish(parts, realistic(min(10_000, sizes.backlog)))
    with bench.process("collect", PREFIX), bench.process("score", PREFIX) as scorer:
        site = _Site(parts)
        with site.listening():
            wait_for("the scorer answers", site.answered_one, 60, 0.2)
            _publish_model(parts, _model(0), parts.registry.new_name())
            _windows(parts, site, sizes, figures, say)
            _clicks(site, sizes, figures, say)
        figures.add("scorer_peak_rss_mb", peak_mb(scorer.pid))
    for label, n in (("10k", sizes.more_articles), ("100k", sizes.many_articles)):
        say(f"answers through the topics with {n} articles")
        _among(bench.parts(f"{PREFIX}{label}"), label, n, bench, sizes, figures)


def _among(parts: Parts, label: str, n: int, bench: Bench, sizes: Sizes, figures: Figures) -> None:
    """Milliseconds from a request on its topic to the answer on its own, among n articles."""
    put_catalogue(parts, n)
    publish(parts, realistic(min(10_000, sizes.backlog)))
    prefix = parts.names.prefix
    with bench.process("collect", prefix), bench.process("score", prefix):
        site = _Site(parts)
        with site.listening():
            wait_for("the scorer answers", site.answered_one, 120, 0.2)
            site.steady("ask", sizes.requests_per_s, 2.0)
            for _ in range(sizes.repeats):
                took = _window(site, sizes)
                figures.add(f"answer_p50_ms_{label}", median(took))
                figures.add(f"answer_p99_ms_{label}", p99(took))


def put_catalogue(parts: Parts, n: int) -> None:
    """n articles with their vectors, as if an encoder had made them."""
    catalogue, found, made = parts.catalogue(DIM), entries(n), vectors(n)
    for start in range(0, n, PAGE):
        some = found[start : start + PAGE]
        catalogue.put(some, {e.item_id: "text" for e in some})
        owed = [Owed(e.item_id, e.text_hash, "text") for e in some]
        catalogue.fill(list(zip(owed, made[start : start + PAGE], strict=True)))
    parts.board.put(BOARD_ENCODER, {"dim": DIM, "fingerprint": "bench"})


@dataclass
class _Site:
    """Asks, clicks, and reads the answers on the recommendations topic."""

    parts: Parts
    sent: dict[str, float] = field(default_factory=dict)
    took_ms: list[float] = field(default_factory=list)
    clicked: dict[str, list[float]] = field(default_factory=dict)
    clicks_ms: list[float] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    made: dict[str, int] = field(default_factory=dict)  # version -> which of the models that take turns
    compared: int = 0
    torn: list[str] = field(default_factory=list)
    _scores: dict[tuple[str, int, str], float] = field(default_factory=dict)
    _rng: random.Random = field(default_factory=lambda: random.Random(3))
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.publisher = self.parts.broker.publisher()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While inside, answers are taken in."""
        thread = threading.Thread(target=self._listen)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self.publisher.close()

    def _listen(self) -> None:
        topic = self.parts.names.topic("recommendations")
        subscription = self.parts.broker.subscribe([topic], None, "latest")
        while not self._stop.is_set():
            for records in subscription.poll(0.1, 500).values():
                for record in records:
                    self._take(decode(Recommendation, record.value, 0.0), time.time())
        subscription.close()

    def _take(self, answer: Recommendation, now: float) -> None:
        at = self.sent.pop(answer.request_id, None)
        if at is not None:
            self.took_ms.append((now - at) * 1000)
            self.versions.add(answer.model_version)
            self._compare(answer)
        seen, waiting = answer.state_at or 0.0, self.clicked.get(answer.user_id, [])
        self.clicks_ms += [(now - at) * 1000 for at in waiting if at <= seen]
        self.clicked[answer.user_id] = [at for at in waiting if at > seen]

    def _compare(self, answer: Recommendation) -> None:
        """With what the same model told the same reader before: nobody reads anything meanwhile."""
        model = self.made.get(answer.model_version)
        for item in answer.items if model is not None else ():
            key = answer.user_id, model, item.item_id
            self.compared += key in self._scores
            before = self._scores.setdefault(key, item.score)
            if abs(before - item.score) > ALIKE:
                self.torn.append(f"{answer.user_id} {item.item_id}, model {model}: {before} and {item.score}")

    def ask(self) -> None:
        """One request of a random reader."""
        user, name = f"reader-{self._rng.randrange(ASKERS):06d}", f"{self._rng.getrandbits(64):x}"
        request = Request(request_id=name, user_id=user)
        self.sent[name] = time.time()
        self.publisher.send(self.parts.names.topic("requests"), user.encode(), encode(request))

    def click(self) -> None:
        """One click of a random reader."""
        user, now = f"reader-{self._rng.randrange(READERS):06d}", time.time()
        event = Feedback(event_id=f"{self._rng.getrandbits(128):x}", user_id=user, timestamp=now,
                         event_type="click", item_id=article(self._rng))
        self.clicked.setdefault(user, []).append(now)
        self.publisher.send(self.parts.names.topic("feedback"), user.encode(), encode(event))

    def answered_one(self) -> bool:
        """Ask once more; True as soon as any was answered."""
        self.ask()
        return bool(self.took_ms)

    def steady(self, act: str, per_s: float, seconds: float) -> None:
        """`ask` or `click` at a fixed pace, whatever the answers do; then wait for the last."""
        began = time.monotonic()
        for n in range(int(per_s * seconds)):
            time.sleep(max(0.0, began + n / per_s - time.monotonic()))
            getattr(self, act)()
        end = time.monotonic() + 5
        while (self.sent or any(self.clicked.values())) and time.monotonic() < end:
            time.sleep(0.02)


def _windows(parts: Parts, site: _Site, sizes: Sizes, figures: Figures, say: Say) -> None:
    site.steady("ask", sizes.requests_per_s, 1.0)
    for n in range(sizes.repeats):
        say(f"answers without and with swaps: {n + 1} of {sizes.repeats}")
        before = _window(site, sizes)
        with swapping(parts, site.made):
            during = _window(site, sizes)
        figures.ratio("answer_p99_during_swap_over_before", p99(during) / p99(before))
        figures.add("answer_p50_ms", median(before))
        figures.add("answer_p99_ms", p99(before))
        figures.add("answer_p99_during_swap_ms", p99(during))
    figures.add("swaps_seen", float(len(site.versions)))
    figures.add("scores_compared", float(site.compared))
    if site.torn:
        raise RuntimeError(f"{len(site.torn)} of {site.compared} scores are torn: {site.torn[0]}")


def _window(site: _Site, sizes: Sizes) -> list[float]:
    site.took_ms = []
    site.sent.clear()
    site.steady("ask", sizes.requests_per_s, sizes.window_s)
    if site.sent:
        raise TimeoutError(f"{len(site.sent)} requests were not answered")
    return site.took_ms


def _clicks(site: _Site, sizes: Sizes, figures: Figures, say: Say) -> None:
    for n in range(sizes.repeats):
        say(f"clicks to lists: {n + 1} of {sizes.repeats}")
        site.clicks_ms = []
        site.steady("click", sizes.requests_per_s, sizes.clicks_s)
        if any(site.clicked.values()):
            raise TimeoutError("clicks that no list knows of")
        figures.add("click_to_recommendation_p50_ms", median(site.clicks_ms))
        figures.add("click_to_recommendation_p99_ms", p99(site.clicks_ms))


@contextmanager
def swapping(parts: Parts, told: dict[str, int]) -> Iterator[None]:
    """While inside, a new version is published every second, and which model it is `told`; one that cannot be
    ends the run. Models are made beforehand: the process that measures may not be held up by making them."""
    stop, made = threading.Event(), [(n, _model(n)) for n in range(1, MODELS)]

    def run() -> None:
        for n, files in cycle(made):
            name = parts.registry.new_name()
            told[name] = n
            _publish_model(parts, files, name)
            if stop.wait(1.0):
                return

    with ThreadPoolExecutor(1) as pool:
        published = pool.submit(run)
        try:
            yield
        finally:
            stop.set()
        published.result()


def _model(seed: int) -> Mapping[str, bytes]:
    return to_files(network(seed), {"encoder": "bench"})


def _publish_model(parts: Parts, files: Mapping[str, bytes], name: str) -> None:
    """As the learner publishes: staged files, then the pointer."""
    registry, old = parts.registry, parts.registry.current()
    registry.stage("versions", name, files, cursor={})
    record = VersionRecord(version=name, parent=old.version, created_at=START, rows=0,
                           learned_until=START, metrics={})
    new = replace(old, version=name, attempt=old.attempt + 1,
                  first_trained=old.first_trained or name)
    registry.pointers.move(new, old.attempt, None, record)
