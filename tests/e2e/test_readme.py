"""The README's examples of asking, of publishing and of subscribing work as they stand."""

import ast
import json
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from streamrec.events import Article, Recommendation, encode
from tests.e2e.harness import Stack, clean_env, wait_until
from tests.e2e.test_http import address

README = (Path(__file__).parents[2] / "README.md").read_text()
pytestmark = pytest.mark.server


def block(language: str, holding: str) -> str:
    """The code block of that language with this in it."""
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(next(code for code in found if holding in code))


def says(command: list[str], home: Path) -> str:
    done = subprocess.run(command, env=clean_env(STREAMREC_HOME=str(home)), capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_of_the_readme_gets_the_answer_to_its_own_click(stack: Stack, home: Path) -> None:
    for name in ("collect", "catalogue", "score"):
        stack.start(name)
    (home / "up.json").write_text(json.dumps({"kafka": stack.parts.settings.kafka.bootstrap_servers}))
    an_earlier_list(stack)
    all_run(stack)
    prefix = stack.topic("x").removesuffix("x.v1")
    code = block("python", "KafkaConsumer").replace('"streamrec.', f'"{prefix}')
    began = time.time()
    answer: dict[str, Any] = ast.literal_eval(says([sys.executable, "-c", code], home))
    assert answer["user_id"] == "u1" and answer["state_at"] >= began
    assert [i["item_id"] for i in answer["items"]] == ["a2"], "and a1 was read"


def all_run(stack: Stack) -> None:
    """The README's reader has had `up` for a while: an article comes and goes."""
    publisher, catalogue = stack.parts.broker.publisher(), stack.parts.catalogue(1)
    for value, size in ((encode(Article(item_id="a0", title="Earlier")), 1), (None, 0)):
        publisher.send(stack.topic("articles"), b"a0", value)
        publisher.flush()
        wait_until(lambda n=size: catalogue.size() == n, 60, "the catalogue follows its topic")
    publisher.close()


def an_earlier_list(stack: Stack) -> None:
    """What the topic has kept of another day."""
    publisher = stack.parts.broker.publisher()
    publisher.send(stack.topic("recommendations"), b"u1", encode(Recommendation(
        recommendation_id=uuid.uuid4().hex, request_id="q", user_id="u1", trigger="request", policy="live",
        model_version="0", generated_at=1.0, items=[])))
    publisher.flush()
    publisher.close()


def test_the_curl_lines_of_the_readme_get_an_article(stack: Stack, home: Path) -> None:
    for name in ("collect", "catalogue", "web"):
        stack.start(name)
    code = block("sh", "curl").replace("localhost:8787", address(stack).removeprefix("http://"))
    all_run(stack)
    lines = says(["bash", "-ec", code.replace("curl ", "curl -sSf -w '\\n' ")], home).splitlines()
    asked, similar = map(json.loads, lines[-2:])
    assert [i["item_id"] for i in asked["items"]] == ["a2"]
    assert [i["item_id"] for i in similar["items"]] == ["a2"]


def test_its_minimum_versions_are_those_that_the_adapters_know() -> None:
    from streamrec.adapters import kafka, redis
    assert "Kafka {}.{} or later, Redis {}.{} or later".format(*kafka.OLDEST, *redis.OLDEST) in README
