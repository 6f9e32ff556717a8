"""HTTP on real servers: a click over HTTP changes the next list, rules take hold, workers come back."""

import itertools
import json
import os
import signal
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.harness import Process, Stack, wait_until

pytestmark = pytest.mark.server
METRICS = itertools.count(29_140, 20)  # a test's own: the workers of the last one may still hold theirs
TITLES = {
    "kafka": "Exactly once with Apache Kafka", "flink": "Stateful stream processing with event logs",
    "bread": "Sourdough bread at home", "soup": "A soup of lentils", "derby": "The derby in numbers",
}


def address(stack: Stack) -> str:
    """Where the web process listens, once it is ready."""
    found = wait_until(lambda: (stack.parts.board.get("web") or {}).get("url"), 60, "it listens")
    wait_until(lambda: ready(found), 60, "it is ready")
    return str(found)


def ready(url: str) -> bool:
    return answers(f"{url}/readyz")


def answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.HTTPError:
        return False


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [i["item_id"] for i in answer.json()["items"]]


def running(processes: list[psutil.Process]) -> set[int]:
    """Pids of those that have not ended."""
    return {p.pid for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE}


@pytest.fixture
def web(stack: Stack) -> Process:
    for name in ("collect", "catalogue"):
        stack.start(name)
    stack.env |= {"STREAMREC_WEB__WORKERS": "2", "STREAMREC_METRICS_PORT": str(next(METRICS))}
    return stack.start("web")


def test_a_click_over_http_changes_the_next_list(stack: Stack, web: Process) -> None:
    with httpx.Client(base_url=address(stack), timeout=20) as http:
        for item, title in TITLES.items():
            body = {"title": title, "tags": ["food" if item in ("bread", "soup") else "other"]}
            assert http.put(f"/v1/articles/{item}", json=body).status_code == 202

        def ask(**wish: Any) -> Any:
            return http.post("/v1/recommendations", json={"user_id": "u", "n": 9, **wish})

        wait_until(lambda: set(ids(ask())) == set(TITLES), 30, "the articles are in the list")

        def understood() -> bool:
            answer = ask(user_id="new", interests="baking bread", n=1)
            return answer.status_code == 200 and ids(answer) == ["bread"]  # 503 while the encoder loads

        wait_until(understood, 30, "texts and interests are encoded")
        event = {"user_id": "u", "event_type": "click", "item_id": "kafka"}
        assert http.post("/v1/feedback", json=event).status_code == 202
        assert "kafka" not in ids(ask())  # at once, whatever the collector has read
        wait_until(lambda: ask().json()["tier"] == "personal", 10, "the click is in the reader's history")
        answer = ask(explain=True)
        assert ids(answer)[0] == "flink"
        assert any(r["item_id"] == "kafka" for r in answer.json()["items"][0]["reasons"])
        _rules(stack, ask)
        assert http.delete("/v1/articles/soup").status_code == 202
        wait_until(lambda: "soup" not in ids(ask()), 10, "a deleted article is gone")


def _rules(stack: Stack, ask: Any) -> None:
    path = stack.home / "rules.json"
    path.write_text(json.dumps([{"rule_id": "no food", "action": "block", "match": {"tags": ["food"]}}]))
    said = stack.run("rules", "put", str(path))
    assert said.returncode == 0 and not said.stderr and said.stdout == "1 rule published: no food\n", said
    wait_until(lambda: set(ids(ask())) == {"flink", "derby"}, 10, "the rule is in force")
    assert ask().json()["rules"] == ["no food"]
    assert "no food" in (listed := stack.run("rules", "list").stdout) and "in force" in listed
    path.write_text(stack.run("rules", "list", "--json").stdout.replace("food", "fodo"))
    said = stack.run("rules", "put", str(path))
    assert said.returncode == 0 and "rule no fodo: no live article has the tag 'fodo'" in said.stderr
    path.write_text('{"rule_id": "x", "action": "blok", "match": {"tags": ["food"]}}')
    wrong = stack.run("rules", "put", str(path))
    assert wrong.returncode == 2 and "$.action" in wrong.stderr and "rule x" in wrong.stderr
    assert stack.run("rules", "delete", "no food").returncode == 0
    wait_until(lambda: "bread" in ids(ask()), 10, "the rule is over")


def test_a_killed_worker_is_started_again_and_all_end_with_their_parent(stack: Stack, web: Process) -> None:
    url = address(stack)
    first = int(stack.env["STREAMREC_METRICS_PORT"]) + 5
    figures = [f"http://127.0.0.1:{first + n}/metrics" for n in range(3)]
    wait_until(lambda: all(map(answers, figures)), 60, "each has metrics")
    workers = web.children()
    assert len(workers) == 3  # the dashboard has one of its own
    os.kill(workers[0].pid, signal.SIGKILL)

    def there_again() -> bool:
        now = running(web.children())
        return len(now) == 3 and workers[0].pid not in now
    wait_until(there_again, 30, "there are three again")
    wait_until(lambda: all(ready(url) for _ in range(5)), 60, "it answers again")
    wait_until(lambda: all(map(answers, figures)), 60, "each has metrics again")
    dashboard = stack.parts.board.get("web")["dashboard"]
    wait_until(lambda: answers(dashboard), 60, "the dashboard answers")
    left = web.children()
    web.kill()
    wait_until(lambda: not running(left), 20, "none is left")


def test_a_taken_port_and_an_open_address_without_keys_are_said_in_a_sentence(stack: Stack) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        stack.env["STREAMREC_WEB__PORT"] = str(taken.getsockname()[1])
        said = stack.run("web")
    assert said.returncode == 2 and "set STREAMREC_WEB__PORT" in said.stderr
    stack.env |= {"STREAMREC_WEB__PORT": "0", "STREAMREC_WEB__HOST": "0.0.0.0"}
    said = stack.run("web")
    assert said.returncode == 2 and "STREAMREC_WEB__API_KEYS" in said.stderr
