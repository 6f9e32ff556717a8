"""Ask for recommendations the way a site does: a request on its topic, the answer on another."""

import time

from streamrec.broker import Publisher, Subscription
from streamrec.errors import InvalidMessage, RetryLater, SetupError
from streamrec.events import Recommendation, Request, decode, encode


def check(request: Request) -> None:
    """Raises SetupError naming the field for a request that no scorer would answer."""
    try:
        decode(Request, encode(request), time.time())
    except (InvalidMessage, UnicodeEncodeError) as error:
        raise SetupError(f"this cannot be asked for: {error}; nothing was sent") from None


def ask(
    request: Request, publisher: Publisher, answers: Subscription, requests_topic: str, timeout_s: float
) -> Recommendation:
    """The answer to one reader's request. `answers` reads alone, from the end of the topic on.

    Raises RetryLater when none came in time.
    """
    answers.poll(0.05, 1)
    for partition in answers.assignment():  # now: `latest` would mean once the client gets to it
        answers.seek(partition, -1)
    assert request.user_id is not None
    publisher.send(requests_topic, request.user_id.encode(), encode(request))
    publisher.flush()
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        for records in answers.poll(0.1, 500).values():
            for record in records:
                found = _answer(record.value, request.request_id)
                if found:
                    return found
    raise RetryLater(
        f"no answer within {timeout_s:.0f} s: is a scorer running? see `streamrec status`"
    )


def _answer(value: bytes | None, request_id: str) -> Recommendation | None:
    try:
        answer = decode(Recommendation, value, time.time())
    except InvalidMessage:
        return None
    return answer if answer.request_id == request_id else None
