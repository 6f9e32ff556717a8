"""Tables show what readers and writers wrote as they wrote it."""

import re

import pytest

from streamrec.cli import show
from streamrec.events import RankedItem, Recommendation

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
