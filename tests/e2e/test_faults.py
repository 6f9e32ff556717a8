"""Servers that stall, fill up or die: processes wait, lose nothing, double nothing, and say so once.

Every test has servers of its own: it stops them.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from kafka import KafkaAdminClient

from streamrec.adapters.embedded import java
from streamrec.adapters.embedded.kafka import EmbeddedKafka
from streamrec.adapters.embedded.redis import EmbeddedRedis
from streamrec.events import Article, Feedback, Match, Rule, encode
from tests.e2e.harness import Process, Stack, wait_until
from tests.e2e.load import Load
from tests.places import JARS

RATE = 1000.0
LINES_A_PERIOD = 12  # kinds of complaint a process may have; each once in 10 s
pytestmark = [pytest.mark.server, pytest.mark.timeout(150)]


@pytest.fixture
def own_redis(home: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(home / "redis") as server:
        yield server
        os.kill(server.pid or 0, signal.SIGCONT)


@pytest.fixture
def on_own_redis(
    own_redis: EmbeddedRedis, kafka_server: str, prefix: str, home: Path
) -> Iterator[Stack]:
    stack = Stack(kafka_server, own_redis.url, prefix, home)
    yield stack
    stack.close()


def generations(stack: Stack) -> list[str]:
    """The group generation that wrote last, of each partition."""
    keys = [f"{stack.prefix}:{{feedback-{p}}}:fence" for p in range(4)]
    return [stack.parts.redis.client.hget(k, "generation").decode() for k in keys]


def committed(stack: Stack) -> dict[int, int]:
    """What the collectors' group has committed in Kafka, by partition."""
    group = f"{stack.prefix}-collect"
    admin = KafkaAdminClient(bootstrap_servers=stack.settings.kafka.bootstrap_servers)
    found = admin.list_group_offsets({group: None})[group]
    admin.close()
    return {place.partition: at.offset for place, at in found.items()}


def stored(stack: Stack) -> int:
    return stack.parts.buffer.counts().stored


def nothing_lost_or_doubled(stack: Stack, load: Load) -> None:
    wait_until(lambda: stored(stack) >= len(load.sent), 60, "the backlog is drained")
    assert stack.parts.buffer.audit(load.sent) == (len(load.sent), 0)
    counts = stack.parts.buffer.counts()
    assert (counts.duplicates, counts.dead) == (load.redelivered, load.invalid)


def dead_letters(stack: Stack) -> int:
    lag = stack.parts.broker.group_lag("nobody", [stack.topic("feedback") + ".dlq"])
    return sum(lag.values())


def test_a_redis_that_lost_everything_is_filled_again_from_the_topics(on_own_redis: Stack) -> None:
    """Under the running processes: articles, rules and feedback, each once."""
    stack = on_own_redis
    for name in ("catalogue", "collect"):
        stack.start(name)
    publisher, parts = stack.parts.broker.publisher(), stack.parts

    def click(i: int) -> None:
        publisher.send(stack.topic("feedback"), b"u", encode(Feedback(
            event_id=f"e{i}", user_id="u", event_type="click", item_id=f"a{i}", timestamp=time.time())))
    for i in range(40):
        publisher.send(stack.topic("articles"), b"a%d" % i, encode(Article(item_id=f"a{i}", title="text")))
        click(i)
    rule = Rule(rule_id="r", action="block", match=Match(item_ids=["a1"]))
    publisher.send(stack.topic("rules"), b"r", encode(rule))
    publisher.flush()

    def all_there(events: int) -> bool:
        return (parts.catalogue(1).size(), stored(stack), parts.rules.all()) == (40, events, [rule])
    wait_until(lambda: all_there(40), 60, "all is in Redis")
    wait_until(lambda: set(committed(stack)) and sum(committed(stack).values()) == 40, 30, "and committed")
    parts.redis.client.flushall()
    click(40)  # collectors notice with the next event
    wait_until(lambda: all_there(41), 60, "all is in Redis again")


def paused(collector: Process, stack: Stack, seconds: float) -> None:
    """For a while nothing is committed; the collector says so, once."""
    wait_until(lambda: collector.events("waiting"), 10, "the collector says it waits")
    time.sleep(0.5)  # a commit of what was applied before may be under way
    before = committed(stack)
    time.sleep(seconds)
    assert committed(stack) == before
    assert len(collector.events("waiting")) == 1


def test_a_stalled_redis_is_waited_for(on_own_redis: Stack, own_redis: EmbeddedRedis) -> None:
    stack = on_own_redis
    collector = stack.start("collect")
    with Load(stack.parts.broker, stack.topic("feedback"), RATE) as load:
        wait_until(lambda: stored(stack) > 1000, 30, "events are stored")
        before = generations(stack)
        os.kill(own_redis.pid or 0, signal.SIGSTOP)
        paused(collector, stack, 5.0)
        os.kill(own_redis.pid or 0, signal.SIGCONT)
        wait_until(lambda: collector.events("resuming"), 15, "it goes on")
    nothing_lost_or_doubled(stack, load)
    assert generations(stack) == before, "the membership was kept: no rebalance"
    wait_until(lambda: dead_letters(stack) >= load.invalid, 10, "the dead letters are out")
    assert dead_letters(stack) < 2 * load.invalid + 20, "waiting does not multiply dead letters"


def test_a_full_redis_is_waited_for(on_own_redis: Stack) -> None:
    stack, client = on_own_redis, redis.Redis.from_url(on_own_redis.env["STREAMREC_REDIS__URL"])
    collector = stack.start("collect")
    with Load(stack.parts.broker, stack.topic("feedback"), RATE) as load:
        wait_until(lambda: stored(stack) > 1000, 30, "events are stored")
        before = generations(stack)
        client.config_set("maxmemory", "1mb")
        paused(collector, stack, 4.0)
        assert "memory" in collector.events("waiting")[0]["why"]
        client.config_set("maxmemory", "0")
    nothing_lost_or_doubled(stack, load)
    assert generations(stack) == before, "the membership was kept: no rebalance"


def test_a_redis_killed_and_started_again_has_everything(
    on_own_redis: Stack, own_redis: EmbeddedRedis
) -> None:
    stack = on_own_redis
    collector = stack.start("collect")
    with Load(stack.parts.broker, stack.topic("feedback"), RATE) as load:
        wait_until(lambda: stored(stack) > 1000, 30, "events are stored")
        own_redis.kill()
        paused(collector, stack, 2.0)
        own_redis.start()
        wait_until(lambda: collector.events("resuming"), 20, "it goes on")
    nothing_lost_or_doubled(stack, load)


def test_a_killed_kafka_is_waited_for_quietly(redis_server: str, prefix: str, home: Path) -> None:
    kafka = EmbeddedKafka(home / "kafka", JARS, jvm=[java.C1_ONLY])
    kafka.start()
    stack = Stack(kafka.bootstrap, redis_server, prefix, home)
    stack.env["STREAMREC_KAFKA__SESSION_TIMEOUT_S"] = "6"
    try:
        processes = [stack.start("collect"), stack.start("collect")]
        with Load(stack.parts.broker, stack.topic("feedback"), RATE) as load:
            wait_until(lambda: stored(stack) > 1000, 30, "events are stored")
            lines = [len(p.log.splitlines()) for p in processes]
            died = time.monotonic()
            kafka.kill()
            time.sleep(6)
            # By whichever call met it first; each sets streamrec_paused. A flush or a commit takes its time.
            names = ("kafka_away", "commit_failed", "waiting")
            wait_until(lambda: all(any(map(p.events, names)) for p in processes), 30, "each tells of it")
            kafka.start()
            back = stored(stack)
            wait_until(lambda: stored(stack) > back + 1000, 40, "events flow again")
            periods = (time.monotonic() - died) / 10 + 1
        nothing_lost_or_doubled(stack, load)
        for process, n in zip(processes, lines, strict=True):
            assert process.alive()
            said = process.log.splitlines()[n:]
            assert len(said) < LINES_A_PERIOD * periods, said
            print(f"{len(said)} lines in {10 * (periods - 1):.0f} s without Kafka")
    finally:
        stack.close()
        kafka.kill()


def test_the_web_process_is_not_ready_while_kafka_hangs_or_is_gone(
    redis_server: str, prefix: str, home: Path
) -> None:
    kafka = EmbeddedKafka(home / "kafka", JARS, jvm=[java.C1_ONLY])
    kafka.start()
    stack = Stack(kafka.bootstrap, redis_server, prefix, home)
    try:
        for name in ("catalogue", "web"):
            stack.start(name)
        url = wait_until(lambda: (stack.parts.board.get("web") or {}).get("url"), 60, "it listens")

        def ready(status: int, seconds: float) -> httpx.Response:
            """What it answers, once it does so with this status; a head has no body."""
            found = wait_until(lambda: (r := httpx.get(f"{url}/readyz")).status_code == status and r, seconds,
                               f"/readyz answers {status}")
            head = httpx.head(f"{url}/readyz")
            assert (head.status_code, head.content) == (status, b"")
            return found
        ready(200, 30)
        os.kill(kafka.pid or 0, signal.SIGSTOP)
        assert ready(503, 30).json()["missing"] == ["kafka"]
        assert httpx.post(f"{url}/v1/recommendations", json={}).status_code == 200
        os.kill(kafka.pid or 0, signal.SIGCONT)
        ready(200, 30)
        kafka.kill()
        assert "Kafka does not answer" in ready(503, 30).json()["detail"]
        kafka.start()
        ready(200, 30)
    finally:
        stack.close()
        kafka.kill()
