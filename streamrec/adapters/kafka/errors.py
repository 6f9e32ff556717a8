"""What the client raises, as what streamrec raises."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from kafka.errors import (
    CommitFailedError,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorError,
    RebalanceInProgressError,
)

from streamrec.errors import Fenced, RetryLater

Found = TypeVar("Found")
UNCOORDINATED = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)
COORDINATED_S, WAIT_S = 10.0, 0.2


class retry_later:
    """Client errors become RetryLater."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, CommitFailedError | RebalanceInProgressError):
            raise Fenced(str(error)) from error
        if isinstance(error, KafkaError):
            raise RetryLater(f"Kafka: {error}") from error


def coordinated(ask: Callable[[], Found]) -> Found:
    """The answer about a group: a broker that has just started has no coordinator for a moment, which the
    client does not wait for. Raises RetryLater."""
    until = time.monotonic() + COORDINATED_S
    while True:
        try:
            with retry_later():
                return ask()
        except RetryLater as error:
            if not isinstance(error.__cause__, UNCOORDINATED):
                raise
            if time.monotonic() > until:
                raise RetryLater("Kafka has no coordinator for consumer groups yet, as for a while after its "
                                 "start: try again") from error
        time.sleep(WAIT_S)
