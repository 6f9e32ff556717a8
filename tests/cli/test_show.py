"""Tables show what readers and writers wrote as they wrote it."""

import json
import re
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from streamrec.adapters.files import FsspecStore
from streamrec.adapters.memory import MemoryPointers
from streamrec.cli import app, show
from streamrec.config import Monitor
from streamrec.drift.monitor import DriftMonitor
from streamrec.events import Contributor, DriftReport, Finding, RankedItem, Recommendation
from streamrec.operate.drift import told
from streamrec.registry import Registry, VersionRecord

TITLES = ["[/dev/null explained]", "Arrays: a[i] and b[0]", "[bold]not bold[/bold]", "[/b]"]


def test_titles_and_values_are_no_markup(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    items = [RankedItem(item_id=f"[i{n}]", rank=n + 1, score=1.0, propensity=1.0, reason="new", title=t)
             for n, t in enumerate(TITLES)]
    show.recommendation_table(Recommendation(
        recommendation_id="r", request_id="q", user_id="[/u]", trigger="request", policy="live",
        model_version="1", generated_at=0.0, items=items, rules=["[/rule]"], error="[/why]",
    ))
    show.rows_table([{"value": t} for t in TITLES], "none")
    said = capsys.readouterr().out
    assert all(said.count(t) == 2 for t in TITLES)
    assert all(w in said for w in ("[/u]", "[i0]", "[/rule]", "[/why]"))


LETTERS = [{"place": f"{topic}.feedback.v1.dlq/0/{n}", "from": f"{topic}.feedback.v1 3/{10**n}",
            "why": "Expected `str` of length >= 1 - at `$.user_id`, and more words than fit",
            "value": '{"event_id": "e1", "user_id": "", "event_type": "click", "tim'}
           for n, topic in enumerate(["streamrec", "staging.eu-west-1.streamrec"])]


def test_the_column_that_another_command_takes_is_whole_on_a_narrow_screen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show.rows_table(LETTERS, "none", whole="place")
    said = capsys.readouterr().out
    assert all(letter["place"] in said for letter in LETTERS)
    assert max(map(len, said.splitlines())) <= 80


def test_a_place_longer_than_the_screen_goes_on_below(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    place = "0123456789" * 15 + ".feedback.v1.dlq/0/17"
    show.rows_table([{"place": place, "why": "no"}], "none", whole="place")
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert re.sub(r"\s", "", "".join(lines)) == place


def test_versions_are_listed_whole_on_a_narrow_screen_each_figure_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first version has no older rows to be judged by; the JSON has all figures."""
    monkeypatch.setenv("COLUMNS", "80")
    pointers = MemoryPointers()
    held_out = {"holdout_ndcg_old": 0.1, "holdout_ndcg_new": 0.125, "holdout_ndcg_learner": 0.2}
    figures = [held_out, held_out | {"anchors_ndcg_old": 0.25, "anchors_ndcg_new": 0.375, "rows": 9.0}]
    for n, metrics in enumerate(figures):
        record = VersionRecord(version=str(n + 1), parent=str(n), created_at=time.time() - 9e6,
                               rows=1_000_000, learned_until=0.0, metrics=metrics)
        pointers.move(replace(pointers.read(), attempt=n + 1), n, None, record)
    registry = Registry(FsspecStore(str(tmp_path)), pointers)
    monkeypatch.setattr("streamrec.cli.models._registry", lambda: registry)
    head, first, second, told = CliRunner().invoke(app, ["models", "list"]).output.splitlines()
    assert max(map(len, (head, first, second, told))) <= 80
    assert head.split() == ["version", "parent", "rows", "age", "new", "rows", "old", "rows"]
    new, old = head.index("new rows"), head.index("old rows")
    assert [first[new:old].strip(), first[old:].strip()] == ["0.100 to 0.125", "-"]
    assert [second[new:old].strip(), second[old:].strip()] == ["0.100 to 0.125", "0.250 to 0.375"]
    listed = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).output)
    assert [r["metrics"] for r in listed] == figures


def test_what_a_row_lacks_is_a_dash_in_its_own_column(capsys: pytest.CaptureFixture[str]) -> None:
    show.rows_table([{"b": "1"}, {"a": "2", "b": "3"}], "none")
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["b", "a"], ["1", "-"], ["3", "2"]]


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[DriftReport]:
    """Five, the fourth with an alarm of the first detector, on a narrow screen."""
    monkeypatch.setenv("COLUMNS", "80")
    moved = [Contributor(kind="topic", name="food", before=0.5, after=0.25,
                         examples=["A soup and its bread"] * 3)]
    findings = [Finding(detector=n, alarm=not i, value=0.1234, threshold=0.25, samples=99_999,
                        reference="2000 reads until 10:00", current="newest 500 reads",
                        detail="rose: a lot" * 9, p_value=0.04, interval=(0.1, 0.2), first_seen=1.75e9,
                        contributors=moved, severity="none" if i else "high")
                for i, n in enumerate(d.name for d in DriftMonitor(Monitor()).detectors)]
    made = [DriftReport(report_id=f"drift-175000000{n}.000", generated_at=1.75e9 + n, trigger="period",
                        model_version="12", events=12_345, action="asked for an update",
                        findings=findings if n == 3 else []) for n in range(5)]
    monkeypatch.setattr("streamrec.cli.drift._reports", lambda: made)
    return made


def test_what_drift_lists_is_whole_on_a_narrow_screen(reports: list[DriftReport]) -> None:
    """An id that was cut is none that `drift show` takes."""
    listed = CliRunner().invoke(app, ["drift", "list"]).output
    assert all(r.report_id in listed for r in reports)


def test_an_alarm_is_shown_in_full_and_the_quiet_in_a_line_each(reports: list[DriftReport]) -> None:
    lines = CliRunner().invoke(app, ["drift", "show", "last-alarm"]).output.splitlines()
    alarm, *quiet = reports[3].findings
    assert max(map(len, lines)) <= 80 and len(lines) < 50
    assert any(reports[3].report_id in line for line in lines)
    at = lines.index(f"{alarm.detector}: ALARM, high, since 2025-06-15 15:06:40")
    said = "".join(lines[at:])
    for part in ("value 0.1234, threshold 0.2500, p 0.0400, 95 % interval 0.1000 to 0.2000",
                 "99999 values: 2000 reads until", "topic food: 50.0 % to 25.0 % (A soup"):
        assert part in said
    assert [line.split()[0] for line in lines[-len(quiet):]] == [f.detector for f in quiet]


def test_what_lies_above_its_threshold_without_an_alarm_is_shown_with_the_reason(
    reports: list[DriftReport]
) -> None:
    high = reports[3].findings[5] = replace(
        reports[3].findings[5], value=0.3, detail="rose; above its threshold, not yet an alarm: for a reason")
    few = reports[3].findings[6] = replace(
        reports[3].findings[6], value=None, detail="not enough data (3 of 100)", current="",
        reference="counted since the monitor's start, 2025-06-15 15:06:40")
    shown = CliRunner().invoke(app, ["drift", "show", "last-alarm"]).output
    assert f"{high.detector}: no alarm; newest values since" in shown and high.detail in shown
    full = " ".join(CliRunner().invoke(app, ["drift", "show", "last-alarm", "--full"]).output.split())
    assert f"{few.detail}, {few.reference}" in full


def test_each_detector_is_shown_in_full_if_asked_for(reports: list[DriftReport]) -> None:
    shown = CliRunner().invoke(app, ["drift", "show", "last-alarm", "--full"]).output
    assert shown.count("since 2025-06-15 15:06:40") == shown.count("2000 reads until 10:00") == len(
        reports[3].findings)


def test_dwell_is_told_in_seconds() -> None:
    [contributor] = [Contributor(kind="topic", name="food", before=0.5, after=0.25)]
    endless = replace(contributor, before=1.0, after=0.98)
    assert told(endless, "dwell") == "topic food: over a day to 49 min"
    assert told(contributor, "dwell") == "topic food: 60 s to 20 s"


def test_where_no_report_is_yet_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrec.cli.drift._reports", list)
    for asked in ("last", "last-alarm", "drift-7"):
        found = CliRunner().invoke(app, ["drift", "show", asked])
        assert "there is no drift report yet" in str(found.exception) + found.output
        assert "streamrec monitor" in str(found.exception) + found.output
