"""docs/serving.md: each request on the page is sent, and its answer holds what the page shows."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from docs_site import DocsSite

from tests.e2e.harness import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
PAIR = re.compile(r"```(http|kafka)\n([^\n]+)\n(.*?)```(?:\s+```json\n(?:(\d{3})\n)?(.*?)```)?", re.DOTALL)
WAITED = re.compile(r"taken up after (\d+) ms")
PAIRS = PAIR.findall(PAGE.read_text())


def holds(found: Any, shown: Any) -> bool:
    """Whether an answer holds what is shown; "…" stands for anything."""
    if shown == "…":
        return True
    if isinstance(shown, dict):
        return isinstance(found, dict) and all(k in found and holds(found[k], v) for k, v in shown.items())
    if isinstance(shown, list):
        return len(found) == len(shown) and all(map(holds, found, shown))
    if isinstance(shown, float):
        return math.isclose(found, shown, abs_tol=0.02)
    return bool(found == shown)


def test_the_page_shows_every_route_and_field() -> None:
    page = PAGE.read_text()
    assert len(PAIRS) >= 10 and {how for how, *_ in PAIRS} == {"http", "kafka"}
    for word in ("filters", "similar_to", "interests", "session", "diversity", "calibration", "explain",
                 "deadline_ms", "/v1/feedback", "/v1/articles/", "/similar", "tier", "propensity", "stale"):
        assert word in page


def test_each_request_gets_the_answer_that_the_page_shows() -> None:
    site = DocsSite()
    with site.client() as http:
        for how, where, body, status, shown in PAIRS:
            site.handled()
            at = site.clock.now()
            wait_until(lambda at=at: site.serving.synced_at > at, 10, "it has followed what was handled")
            if how == "kafka":
                waited = WAITED.search(where)
                found = site.on_topic(where, body.encode(), int(waited[1]) / 1000 if waited else 0.0)
            else:
                answer = http.request(*where.split(), content=body.strip() or None)
                assert answer.status_code == int(status or 200), (where, answer.text)
                found = answer.json()
            expected = json.loads(shown or "null")
            assert holds(found, expected), (body, json.dumps(found, indent=1, ensure_ascii=False))


def test_a_wrong_page_would_be_found() -> None:
    assert not holds({"items": [1, 2]}, {"items": [1]}) and not holds({"a": 1}, {"b": "…"})
    with pytest.raises(TypeError):
        holds(None, [1])
