"""`streamrec up`, a log replayed into it, and every command of an operator: one whole story."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from streamrec import config
from streamrec.events import DriftReport, Feedback, decode
from streamrec.wiring import Parts
from tests.e2e import log_folder
from tests.e2e.harness import Process, Stack, wait_until
from tests.e2e.load import whole_topic
from tests.places import JARS

KEYS = {"stored", "duplicates_refused", "dead_letters", "lag", "buffer", "model",
        "models_published", "models_refused", "last_gate", "last_drift", "rows_lost",
        "rows_waiting"}
QUICK = {
    "STREAMREC_TRAINER__TRIGGER_ROWS": "400", "STREAMREC_TRAINER__MIN_ROWS": "100",
    "STREAMREC_TRAINER__TRIGGER_S": "2", "STREAMREC_MONITOR__PERIOD_S": "3",
    "STREAMREC_TRAINER__MARGIN": "0.5",  # the gate has tests of its own
    "STREAMREC_TRAINER__MAX_ROWS": "1500", "STREAMREC_ENCODER__MAX_TOKENS": "16",
}
pytestmark = [pytest.mark.server, pytest.mark.alone, pytest.mark.timeout(240)]


class Up(Stack):
    """`streamrec up` with servers of its own, in a home of its own."""

    def __init__(self, home: Path) -> None:
        (home / "jars").symlink_to(JARS)
        self.home, self.env = home, {"STREAMREC_HOME": str(home), **QUICK}
        self.processes: list[Process] = []
        self.up = self.start("up")
        wait_until(lambda: "up; `streamrec status`" in self.up.log, 90, "up is up")
        found = json.loads((home / "up.json").read_text())
        settings = config.Settings(
            home=home, kafka=config.Kafka(bootstrap_servers=found["kafka"]),
            redis=config.Redis(url=found["redis"]),
        )
        self.parts = Parts(settings)

    def said(self, *words: str) -> str:
        """What a command that succeeds prints."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.said("status", "--json"))
        return found


@pytest.fixture
def up(home: Path) -> Iterator[Up]:
    up = Up(home)
    yield up
    up.close()


def test_a_log_is_replayed_learned_and_recommended_from(up: Up, home: Path) -> None:
    ids = log_folder.write(home / "log")
    said = up.said("replay", str(home / "log"), "--speed", "max")
    assert f"published {log_folder.ARTICLES} articles and {len(ids)} events" in said
    wait_until(lambda: up.parts.buffer.counts().stored >= len(ids), 30, "the events are stored")
    assert up.parts.buffer.audit(ids) == (len(ids), 0)
    wait_until(lambda: up.parts.catalogue(1).size() == log_folder.ARTICLES, 30, "all articles")
    a_model_is_published_and_reported_on(up)
    drift_reports_are_listed_shown_and_drawn(up)
    it_answers_over_http(up)
    models_are_listed_and_rolled_back(up)
    dead_letters_are_listed_and_replayed(up)
    the_same_log_again_stores_nothing(up, ids)
    ends_cleanly(up)


def a_model_is_published_and_reported_on(up: Up) -> None:
    registry = up.parts.registry
    wait_until(lambda: registry.current().published, 90, "a model is published")
    answer = wait_until(lambda: served(up), 30, "a trained model serves", every=0.5)
    assert len(answer["items"]) == 10 and answer["error"] is None and answer["user_id"] == "u1"
    reports = whole_topic(up.parts.broker, "streamrec.drift-reports.v1")
    assert decode(DriftReport, reports[0][0].value, time.time()).findings
    status = up.status()
    assert status.keys() >= KEYS
    assert status["stored"] == log_folder.EVENTS and status["dead_letters"] == 0
    assert status["buffer"].keys() == {"rows", "bytes"} and status["buffer"]["rows"] > 0
    assert status["model"]["version"] and status["model"]["age_s"] >= 0
    assert status["models_published"] >= 1 and status["last_gate"]["publish"]
    assert status["last_drift"]["findings"]
    assert not any(n for place, n in status["lag"].items() if "feedback" in place)
    assert "events stored" in up.said("status")


def served(up: Up) -> dict[str, Any] | None:
    answer: dict[str, Any] = json.loads(up.said("recommend", "u1", "--json", "--timeout", "30"))
    return answer if answer["model_version"] != "0" else None


def drift_reports_are_listed_shown_and_drawn(up: Up) -> None:
    listed = [json.loads(line) for line in up.said("drift", "list", "--json").splitlines()]
    assert listed and {f["detector"] for f in listed[0]["findings"]} >= {"topic-mix", "click-rate"}
    shown = json.loads(up.said("drift", "show", listed[0]["report_id"], "--json"))
    assert shown == listed[0]
    assert "topic-mix" in up.said("drift", "show") and listed[0]["report_id"] in up.said("drift", "list")
    assert "reports written to" in up.said("drift", "report", "--html", str(up.home / "drift.html"))
    assert "<svg" in (up.home / "drift.html").read_text()
    assert "drift list" in up.run("drift", "show", "drift-none").stderr


def it_answers_over_http(up: Up) -> None:
    url = up.status()["web"]
    answer = httpx.post(f"{url}/v1/recommendations", json={"user_id": "u1", "n": 5}, timeout=30).json()
    assert len(answer["items"]) == 5 and answer["tier"] == "personal"


def models_are_listed_and_rolled_back(up: Up) -> None:
    listed = json.loads(up.said("models", "list", "--json"))
    first = listed[0]["version"]
    assert sum(r["serving"] for r in listed) == 1
    assert json.loads(up.said("models", "show", first))["name"] == first
    assert f"version {first} serves; the next" in up.said("models", "rollback", first)
    assert f"version {first} serves already" in up.said("models", "rollback", first)
    unknown = up.run("models", "rollback", "999")
    assert unknown.returncode == 2 and "models list" in unknown.stderr


def dead_letters_are_listed_and_replayed(up: Up) -> None:
    publisher = up.parts.broker.publisher()
    publisher.send("streamrec.feedback.v1", b"u1", b'{"event_id": 7}', [("from", b"test")])
    publisher.close()
    wait_until(lambda: up.parts.buffer.counts().dead == 1, 10, "it is counted")
    letter = json.loads(wait_until(lambda: up.said("dlq", "list", "--json"), 10, "it is listed"))
    assert letter["topic"] == "streamrec.feedback.v1" and letter["value"] == '{"event_id": 7}'
    assert "event_id" in letter["message"]
    assert "sent 1 back" in up.said("dlq", "replay")
    wait_until(lambda: up.parts.buffer.counts().dead == 2, 10, "it comes back as it is no better")
    assert "sent 1 back" in up.said("dlq", "replay"), "the new one only"
    wait_until(lambda: up.parts.buffer.counts().dead == 3, 10, "and again")
    assert "sent 1 back" in up.said("dlq", "replay", letter["place"]), "named, it is sent again"
    assert "created" not in up.said("topics", "create"), "topics are there already"


def the_same_log_again_stores_nothing(up: Up, ids: list[str]) -> None:
    up.said("replay", str(up.home / "log"), "--speed", "max")
    wait_until(lambda: up.parts.buffer.counts().duplicates >= len(ids), 30, "duplicates refused")
    assert up.parts.buffer.audit(ids) == (len(ids), 0)
    log = whole_topic(up.parts.broker, "streamrec.feedback.v1")
    assert sum(map(len, log.values())) == 2 * len(ids) + 4
    assert decode(Feedback, log[0][0].value, time.time()).event_id in ids


def ends_cleanly(up: Up) -> None:
    everything = up.up.children()
    assert len(everything) >= 7, "six processes, two servers, and their guards"
    up.up.signal(signal.SIGINT)
    assert up.up.wait(40) == 0
    _, alive = psutil.wait_procs(everything, timeout=1)
    assert not alive
    assert not (up.home / "up.json").exists()
    assert up.run("status").returncode == 3
