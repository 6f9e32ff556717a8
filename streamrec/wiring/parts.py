"""The parts that processes share, each connected on first use."""

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

from streamrec import logs
from streamrec.broker import Broker, Partition
from streamrec.clock import SystemClock
from streamrec.config import Settings
from streamrec.errors import RetryLater, SetupError
from streamrec.metrics import Board
from streamrec.registry import Registry
from streamrec.rules import RuleStore
from streamrec.wiring.names import Names, topic_specs

if TYPE_CHECKING:
    from streamrec.adapters.redis import Connection
    from streamrec.adapters.redis_buffer import RedisBuffer
    from streamrec.adapters.redis_store import RedisCatalogue
    from streamrec.traces import Tracer

log = logs.get(__name__)
BOARD_ENCODER = "encoder"


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
        ours, said = encoder_settings(self.settings), False
        while not stop.is_set():
            known = self.board.get(BOARD_ENCODER) or {}
            if known and _fits(known, ours):
                return known["dim"], known["fingerprint"]
            if not said:
                log.info("waiting_for_catalogue", ours=ours, its={n: known.get(n) for n in ours})
            said = True
            stop.wait(0.5)
        raise SystemExit(0)

    @cached_property
    def _of_articles(self) -> list[Partition]:
        topic = self.names.topic("articles")
        if not (n := self.broker.topics().get(topic, 0)):
            raise RetryLater(f"no topic {topic}: run `streamrec topics create`")
        return [Partition(topic, i) for i in range(n)]

    def vectors_by(self) -> str | None:
        """The fingerprint of the encoder that made the catalogue's vectors; empty while another one reads the
        texts again, None where it is set otherwise than we are: vectors may be of another length then."""
        from consumers.reread import read_key
        known = self.board.get(BOARD_ENCODER) or {}
        if not known or not _fits(known, encoder_settings(self.settings)):
            return None
        read_by = [self.board.get(read_key(p)) for p in self._of_articles]  # an empty one: by nobody
        mine: str = known["fingerprint"]
        return mine if {*read_by} <= {None, mine} else ""

    def close(self) -> None:
        """Let go of what was connected."""
        for part in self._made.values():
            part.close()


def encoder_settings(settings: Settings) -> dict[str, Any]:
    """What of them changes a vector."""
    return {"name": settings.encoder.name, "max_tokens": settings.encoder.max_tokens}


def same_encoder(p: Parts) -> None:
    """Raises SetupError where `Parts.encoder` would wait: nobody is about to start a catalogue for us."""
    known, ours = p.board.get(BOARD_ENCODER), encoder_settings(p.settings)
    if not known:
        raise SetupError("nothing is known yet: start `streamrec up`, or `streamrec catalogue`")
    if not _fits(known, ours):
        its, own = (", ".join(f"{n} {of.get(n)}" for n in ours) for of in (known, ours))
        raise SetupError(f"the catalogue's encoder is set otherwise ({its}) than here ({own}): set "
                         "STREAMREC_ENCODER__* as the catalogue process has them")


def _fits(known: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether the catalogue's encoder is set as ours is."""
    return all(known.get(name, of) == of for name, of in ours.items())


def check_redis(settings: Settings) -> None:
    """Connect once, as every process will. Raises SetupError."""
    parts = Parts(settings)
    _ = parts.redis
    parts.close()


def create_topics(settings: Settings) -> list[str]:
    """Create the missing topics; returns their names."""
    parts = Parts(settings)
    made = parts.broker.create_topics(topic_specs(settings))
    parts.close()
    return made
