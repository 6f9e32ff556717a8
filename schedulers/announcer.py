"""Keeps the models topic saying what the pointer says, whoever moved it and whoever was killed."""

from streamrec import logs
from streamrec.broker import Publisher
from streamrec.errors import RetryLater
from streamrec.events import encode
from streamrec.registry import Pointer, PointerStore, pointer_message

log = logs.get(__name__)
PATIENCE_S = 2.0  # Kafka's answer is not waited for longer: training does not need it
AGAIN_S = 5.0


class Announcer:
    """Announces each place of the pointer once, and again after a restart: the topic is
    compacted by key, so saying it twice is harmless and not saying it is not."""

    def __init__(self, pointers: PointerStore, publisher: Publisher, models_topic: str) -> None:
        self._pointers, self._publisher, self._topic = pointers, publisher, models_topic
        self._queued: tuple[str | None, float] | None = None
        self._told: tuple[str | None, float] | None = None
        self._again_at = 0.0

    def tell(self, pointer: Pointer, now: float) -> None:
        """Announce where the pointer stands, if that is new. Kafka away: a log line, and the
        next call after a while tries again."""
        if pointer.version is None or _place(pointer) == self._told or now < self._again_at:
            return
        try:
            self.announce(pointer)
            self._told = _place(pointer)
        except RetryLater as error:
            self._again_at = now + AGAIN_S
            log.warning("not_announced", version=pointer.version, why=str(error))

    def announce(self, pointer: Pointer, patience_s: float = PATIENCE_S) -> None:
        """Say it, whether new or not. Raises RetryLater."""
        if _place(pointer) != self._queued:  # else it waits in the publisher since the last try
            record = next(r for r in self._pointers.records() if r.version == pointer.version)
            self._publisher.send(self._topic, b"current", encode(pointer_message(pointer, record)))
            self._queued = _place(pointer)
        self._publisher.flush(patience_s)

    def forget(self) -> None:
        """Another may have spoken meanwhile: the next `tell` says it again."""
        self._told = self._queued = None


def _place(pointer: Pointer) -> tuple[str | None, float]:
    return pointer.version, pointer.published_at
