"""See streamrec.broker.Publisher."""

import contextlib
from collections.abc import Callable
from typing import Any

from kafka.errors import KafkaError

from streamrec.adapters.kafka.errors import retry_later
from streamrec.broker import Headers
from streamrec.errors import RetryLater, SetupError

_Message = tuple[str, bytes | None, bytes | None, Headers]


class KafkaPublisher:
    """See streamrec.broker.Publisher."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._producer = make, make()
        self._owed: list[tuple[Any, _Message]] = []

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """See streamrec.broker.Publisher. What Kafka allows and its client refuses to send, null as key and
        value or in a header, goes as empty: it may be a dead letter."""
        if key is None and value is None:
            key = b""
        message = (topic, value, key, [(name, v or b"") for name, v in headers or []])
        with retry_later():
            self._owed.append((self._producer.send(*message), message))
        if len(self._owed) > 20_000:  # kafka-python 3 bounds nothing: we do
            self.flush()

    def flush(self, timeout_s: float = 30.0) -> None:
        """See streamrec.broker.Publisher. What is not acknowledged stays owed; after a failure
        that the client does not mend by itself it is sent again by a new producer."""
        with retry_later():
            self._producer.flush(timeout_s)
        self._owed = [(f, m) for f, m in self._owed if not f.is_done or f.failed()]
        failed = next((f for f, _ in self._owed if f.is_done), None)
        if failed is not None:
            self._again()
            raise RetryLater(f"Kafka did not take a message: {failed.exception}; it is sent again")
        if self._owed:
            raise RetryLater(f"Kafka has not acknowledged {len(self._owed)} messages")

    def _again(self) -> None:
        old, owed = self._producer, [m for _, m in self._owed]
        try:
            self._producer = self._make()
        except SetupError as error:  # it worked before: a broker that starts may take us for strangers
            raise RetryLater(str(error)) from error
        with retry_later():
            self._owed = [(self._producer.send(*m), m) for m in owed]
        with contextlib.suppress(KafkaError):
            old.close(0)

    def close(self) -> None:
        """See streamrec.broker.Publisher."""
        with retry_later():
            self._producer.close(5)
