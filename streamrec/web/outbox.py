"""Publishes for the HTTP side: what has come while Kafka was acknowledging goes out together, and
whoever sent it hears that it was taken only then."""

import asyncio
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import NamedTuple

from streamrec.broker import Publisher
from streamrec.errors import RetryLater
from streamrec.web.handover import hand_over, take

PATIENCE_S = 5.0
TURN_S = 0.1
MOST = 500


class Letter(NamedTuple):
    """One message to publish; a null value deletes."""

    topic: str
    key: str
    value: bytes | None


class Outbox:
    """See module."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._queue: SimpleQueue[tuple[Sequence[Letter], asyncio.Future[None]]] = SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End after what is being published."""
        self._stop.set()
        self._thread.join()

    async def publish(self, letters: Sequence[Letter]) -> None:
        """Return once Kafka has acknowledged them all. Raises RetryLater: some may have gone out, and
        may be sent again, as every event counts once."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put((letters, done))
        await done

    def _run(self) -> None:
        while not self._stop.is_set():
            batch = take(self._queue, TURN_S, MOST)
            trouble = self._send([letter for letters, _ in batch for letter in letters]) if batch else None
            hand_over([(done, trouble) for _, done in batch])

    def _send(self, letters: Sequence[Letter]) -> Exception | None:
        try:
            for letter in letters:
                self._publisher.send(letter.topic, letter.key.encode(), letter.value)
            self._publisher.flush(PATIENCE_S)
        except RetryLater as error:
            return error
        except Exception as error:  # whatever it was, the next ones are published
            return RetryLater(f"not published: {type(error).__name__}: {error}")
        return None
