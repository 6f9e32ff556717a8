"""The dashboard while a server or a topic is away: it says so, shows what it last knew and how old that is,
and comes back by itself."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from streamrec.adapters.embedded import java
from streamrec.adapters.embedded.kafka import EmbeddedKafka
from streamrec.adapters.embedded.redis import EmbeddedRedis
from streamrec.metrics import BOARD_DRIFT
from tests.e2e.browser import Tab, chromium, tab
from tests.e2e.harness import Stack, wait_until
from tests.e2e.load import Load
from tests.places import JARS

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]


@pytest.fixture
def own(prefix: str, home: Path) -> Iterator[tuple[Stack, EmbeddedKafka, EmbeddedRedis]]:
    """Servers of its own, for the test stops them."""
    chromium()
    kafka = EmbeddedKafka(home / "kafka", JARS, jvm=[java.C1_ONLY])
    kafka.start()
    with EmbeddedRedis(home / "redis") as redis:
        stack = Stack(kafka.bootstrap, redis.url, prefix, home)
        try:
            yield stack, kafka, redis
        finally:
            stack.close()
            kafka.kill()


@contextmanager
def stalled(pid: int | None) -> Iterator[None]:
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def banner(t: Tab) -> str:
    return str(t.page.get_by_role("alert").first.inner_text()) if t.page.get_by_role("alert").count() else ""


def told(t: Tab, *words: str) -> None:
    """The banner says this soon."""
    wait_until(lambda: all(w in banner(t) for w in words), 60, f"the banner says {words}", every=0.5)


def alive(t: Tab) -> str:
    """What the page says of whether the system is alive."""
    return str(t.page.get_by_role("region", name="Is it alive?").get_by_role("status").inner_text())


def quiet(t: Tab) -> None:
    """There is no banner soon."""
    wait_until(lambda: not banner(t).strip(), 60, "the banner goes", every=0.5)


def test_pages_say_what_is_away_and_come_back(
    own: tuple[Stack, EmbeddedKafka, EmbeddedRedis], tmp_path: Path
) -> None:
    stack, kafka, redis = own
    topic = stack.topic("drift-reports")
    admin = KafkaAdminClient(bootstrap_servers=stack.settings.kafka.bootstrap_servers)
    admin.delete_topics([topic])
    admin.close()
    stack.env |= {"STREAMREC_MONITOR__PERIOD_S": "5", "STREAMREC_KAFKA__SESSION_TIMEOUT_S": "6"}
    processes = [stack.start(name) for name in ("collect", "catalogue", "monitor", "web")]
    base = wait_until(lambda: (stack.parts.board.get("web") or {}).get("url"), 90, "the web process listens")
    with tab(base, tmp_path) as t, Load(stack.parts.broker, stack.topic("feedback"), 100.0):
        t.open("/")
        told(t, "The topic of drift reports", f"no topic {topic}", "streamrec topics create")
        assert stack.run("topics", "create").returncode == 0
        quiet(t)
        stored = t.page.get_by_label("events stored")
        wait_until(lambda: stored.inner_text() not in ("-", "0"), 30, "events are stored", every=0.5)
        with stalled(redis.pid):
            told(t, "Redis is away: what you see of it is", " s old")
            assert stored.inner_text() not in ("-", "0") and alive(t) == "Not known: Redis is away."
            t.open("/dashboard/reader?user=somebody")
            t.page.get_by_text("Not to be had now").wait_for()
            t.open("/")
        quiet(t)
        with stalled(kafka.pid):
            told(t, "Kafka is away: what you see of it is", " s old")
            assert alive(t) == "Not known: Kafka is away."
        quiet(t)
        assert t.complaints == []
    assert all(p.alive() for p in processes)
    wait_until(lambda: stack.parts.board.get(BOARD_DRIFT), 30, "the monitor reports all the same")
