"""Feedback under load: what is published is remembered event by event, and replayed on paper."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from streamrec.broker import Broker, Record
from streamrec.config import Buffer
from streamrec.errors import InvalidMessage
from streamrec.events import Feedback, decode, encode, epoch
from streamrec.replay import Applied, PartitionState, a_res_key, digest

KINDS = ("impression", "click", "click", "read", "read", "like", "dismiss")
READERS, ARTICLES, BASE = 500, 300, 1_700_000_000.0
INVALID = (b"{", b"[]", b'{"event_id":"x"}', b'{"event_id":"\\u0001"}', b"\xff\xfe", None)


class Load:
    """A publisher thread: `rate` messages a second, some twice on purpose, some invalid."""

    def __init__(self, broker: Broker, topic: str, rate: float, seed: int = 1) -> None:
        self._publisher, self._topic, self._rate = broker.publisher(), topic, rate
        self._rng, self._stop = random.Random(seed), threading.Event()
        self.sent: list[str] = []
        self.redelivered = self.invalid = 0
        self._recent: list[tuple[bytes, bytes]] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop publishing; everything sent is acknowledged."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        started, n = time.monotonic(), 0
        while not self._stop.wait(0.01):
            owed = int((time.monotonic() - started) * self._rate) - n
            for _ in range(owed):
                self._one()
            n += owed
        self._publisher.flush(60.0)
        self._publisher.close()

    def _one(self) -> None:
        dice = self._rng.random()
        if dice < 0.01:
            self.invalid += 1
            self._publisher.send(self._topic, b"u1", self._rng.choice(INVALID))
        elif dice < 0.04 and self._recent:
            self.redelivered += 1
            self._publisher.send(self._topic, *self._rng.choice(self._recent))
        else:
            self._publisher.send(self._topic, *self._event())

    def _event(self) -> tuple[bytes, bytes]:
        rng, n = self._rng, len(self.sent)
        kind, user = rng.choice(KINDS), f"u{rng.randrange(READERS)}"
        slate = [f"a{rng.randrange(ARTICLES)}" for _ in range(rng.choice((0, 5)))]
        event = Feedback(
            event_id=f"e{n}", user_id=user, event_type=kind, timestamp=BASE + n / 100,
            item_id=None if kind == "impression" else f"a{rng.randrange(ARTICLES)}",
            impression=slate or (["a1"] if kind == "impression" else []),
        )
        self.sent.append(event.event_id)
        message = (user.encode(), encode(event))
        self._recent = [*self._recent[-999:], message] if n % 10 == 0 else self._recent
        return message


def whole_topic(broker: Broker, topic: str) -> dict[int, list[Record]]:
    """Every record of a topic by partition, in order."""
    subscription = broker.subscribe([topic], None, "earliest")
    ends = broker.group_lag("nobody", [topic])
    found: dict[int, list[Record]] = defaultdict(list)
    while any(len(found[p.partition]) < n for p, n in ends.items()):
        for partition, records in subscription.poll(0.5, 5000).items():
            found[partition.partition] += records
    subscription.close()
    return found


def on_paper(log: dict[int, list[Record]], settings: Buffer) -> dict[int, PartitionState]:
    """What one thread that is never killed makes of the published log."""
    states = {}
    for partition, records in log.items():
        state = states[partition] = PartitionState(settings)
        claim = state.claim("log", 1)
        events = [applied(record) for record in records]
        state.apply(claim, "log", events, len(records), time.time())
    return states


def applied(record: Record) -> Applied:
    """A record as the buffer is given it."""
    try:
        e = decode(Feedback, record.value, time.time())
    except InvalidMessage:
        return Applied(record.offset, "", "", "", "", "dead", 0.0, [], 1.0, 0.0)
    d = digest(e.event_id)
    return Applied(
        record.offset, d, e.event_id, e.user_id, e.item_id or "", e.event_type,
        epoch(e.timestamp), e.impression, e.propensity or 1.0, a_res_key(d),
        -1.0 if e.event_value is None else e.event_value,
    )


def kill_under_load(
    start: Callable[[], Any], stored: Callable[[], int], kills: int, rng: random.Random
) -> None:
    """Two workers; kill -9 one while they make progress, start another, `kills` times."""
    from tests.e2e.harness import wait_until

    workers = [start(), start()]
    for _ in range(kills):
        before = stored()
        wait_until(lambda b=before: stored() > b + 2000, 30, "the workers make progress")
        time.sleep(rng.uniform(0.1, 0.8))
        workers.pop(0 if rng.random() < 0.7 else 1).kill()  # mostly the one longest at work
        workers.append(start())
