"""Tables show what readers and writers wrote as they wrote it."""

import re

import pytest
from typer.testing import CliRunner

from streamrec.cli import app, show
from streamrec.config import Monitor
from streamrec.drift.monitor import DriftMonitor
from streamrec.events import DriftReport, Finding, RankedItem, Recommendation

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


def test_what_drift_lists_and_shows_is_whole_on_a_narrow_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that was cut is none that `drift show` takes."""
    monkeypatch.setenv("COLUMNS", "80")
    names = [d.name for d in DriftMonitor(Monitor()).detectors]
    findings = [Finding(detector=n, alarm=n == names[0], value=0.1234, threshold=0.25, samples=99_999,
                        reference="2000 reads until 10:00", current="newest 500 reads", detail="rose: a lot")
                for n in names]
    reports = [DriftReport(report_id=f"drift-175000000{n}.000", generated_at=1.75e9 + n, trigger="period",
                           model_version="12", events=12_345, action="asked for an update",
                           findings=findings if n == 3 else []) for n in range(5)]
    monkeypatch.setattr("streamrec.cli.drift._reports", lambda: reports)
    listed = CliRunner().invoke(app, ["drift", "list"]).output
    assert all(r.report_id in listed for r in reports)
    shown = CliRunner().invoke(app, ["drift", "show", "last-alarm"]).output
    table = shown.partition("detector ")[2].partition(f"{names[0]}, since")[0]
    assert reports[3].report_id in shown and all(f"\n{n} " in table for n in names)
