"""Several handlers in one process and one consumer group, each with a topic of its own."""

from collections.abc import Mapping, Sequence

from consumers.loop import Handler
from streamrec.broker import Partition, Record


class Router:
    """See consumers.loop.Handler. `handlers` by topic."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """See consumers.loop.Handler."""
        return self._handlers[partition.topic].assigned(partition, committed)

    def handle(self, batches: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        """See consumers.loop.Handler."""
        for topic, handler in self._handlers.items():
            if own := [(p, records) for p, records in batches if p.topic == topic]:
                handler.handle(own)

    def idle(self) -> None:
        """See consumers.loop.Handler."""
        for handler in self._handlers.values():
            handler.idle()
