"""`streamrec replay` looks at the whole log before it publishes any of it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import TopicSpec
from streamrec.cli import app
from streamrec.datasets import TYPES, in_time_order
from streamrec.errors import SetupError
from streamrec.events import Article, decode
from streamrec.operate.replay import publish_log

T = 1_700_000_000


def write(folder: Path, ts: float) -> Path:
    article = {"item_id": "a", "title": "A", "source": "Le Monde", "domain": "papers"}
    event = {"event_id": "e", "user_id": "u", "item_id": "a", "type": "hide", "ts": ts}
    for name, row in (("articles", article), ("events", event)):
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def test_a_row_that_would_be_a_dead_letter_is_named_before_a_server_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMREC_HOME", str(tmp_path))
    out = CliRunner().invoke(app, ["replay", str(write(tmp_path, T * 1000))])
    assert isinstance(out.exception, SetupError)
    assert "events.jsonl, line 1: " in str(out.exception) and "`$.timestamp`" in str(out.exception)


def test_an_article_is_published_with_its_source_and_domain(tmp_path: Path) -> None:
    broker = MemoryBroker()
    broker.create_topics([TopicSpec(t, 1, 1, {}) for t in ("a", "f")])
    assert publish_log(in_time_order(write(tmp_path, T)), broker.publisher(), "a", "f", None, None) == (1, 1)
    [[record]] = broker.subscribe(["a"], None, "earliest").poll(1.0, 10).values()
    article = decode(Article, record.value, T)
    assert (article.source, article.domain) == ("Le Monde", "papers")


def test_the_help_tells_the_format() -> None:
    shown = CliRunner().invoke(app, ["replay", "--help"]).output
    for word in (*TYPES, "event_id", "user_id", "item_id", "ts", "source", "domain", "published_at"):
        assert word.split()[0] in shown, word
