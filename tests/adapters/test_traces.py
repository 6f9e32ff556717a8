"""One click can be followed from the collector to the version that serves what it taught."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamrec.adapters.traces import OtelTracer
from streamrec.config import Traces
from streamrec.errors import SetupError
from streamrec.traces import NO_TRACES, headers, parent, trace_of, traced


def spans(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_span_says_what_it_is_of_and_how_long_it_took(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    tracer = OtelTracer(Traces(to=str(path), share=1.0), "collect")
    trace = tracer.follows("e1")
    tracer.span(trace, "collect", 10.0, 10.5, event_id="e1")
    tracer.span("no trace", "collect", 10.0, 10.5)
    tracer.close()
    [span] = spans(path)
    assert span["context"]["trace_id"] == f"0x{trace_of('e1')}" and span["name"] == "collect"
    assert span["attributes"] == {"event_id": "e1"}
    assert span["resource"]["attributes"]["service.name"] == "streamrec-collect"
    assert span["start_time"] == "1970-01-01T00:00:10.000000Z"
    assert span["end_time"] == "1970-01-01T00:00:10.500000Z"


def test_the_spans_of_a_click_are_one_tree_and_lines_of_the_log_with_its_ids(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each process has a tracer of its own, and hears of a click in any order."""
    caplog.set_level("INFO")
    for process, name in (("score", "answer"), ("collect", "collect"), ("train", "learn")):
        tracer = OtelTracer(Traces(to=str(tmp_path / "spans.jsonl"), share=1.0), process)
        tracer.span(tracer.follows("e1"), name, 10.0, 10.5, recommendation_id="r9")
        tracer.close()
    found = {span["name"]: span for span in spans(tmp_path / "spans.jsonl")}
    root = found["collect"]
    assert root["parent_id"] is None
    assert [found[n]["parent_id"] for n in ("answer", "learn")] == [root["context"]["span_id"]] * 2
    assert {s["context"]["trace_id"] for s in found.values()} == {f"0x{trace_of('e1')}"}
    assert len({s["context"]["span_id"] for s in found.values()}) == 3
    [(_, header)] = parent(trace_of("e1"))
    assert header.decode().split("-")[2] == root["context"]["span_id"].removeprefix("0x")
    said = capsys.readouterr().out + caplog.text  # by whether something has set up our logs
    assert said.count(trace_of("e1")) == said.count("r9") == 3


def test_a_share_of_the_events_is_followed_and_every_process_follows_the_same(tmp_path: Path) -> None:
    a, b = (OtelTracer(Traces(to=str(tmp_path / n), share=0.1), n) for n in "ab")
    followed = {e for i in range(3000) if a.follows(e := f"event-{i}")}
    assert 200 < len(followed) < 400
    assert followed == {e for i in range(3000) if b.follows(e := f"event-{i}")}
    a.close()
    b.close()
    assert NO_TRACES.follows("event-1") == ""


def test_readers_traces_travel_in_a_header_and_rubbish_is_nobodys() -> None:
    assert traced(headers({"u1": "ab", "ü2": "cd"}) or []) == {"u1": "ab", "ü2": "cd"}
    assert headers({}) is None and traced([]) == {}
    for rubbish in (b"", b"[1]", b"{", b"\xff"):
        assert traced([("streamrec-traces", rubbish)]) == {}
    [(name, value)] = parent(trace_of("e1"))
    assert name == "traceparent" and value.decode().split("-")[:2] == ["00", trace_of("e1")]


def test_a_place_that_cannot_be_written_is_said_in_a_sentence() -> None:
    with pytest.raises(SetupError, match="STREAMREC_TRACES__TO"):
        OtelTracer(Traces(to="/no/such/folder/x"), "collect")
