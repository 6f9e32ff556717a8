"""Tables show what readers and writers wrote as they wrote it."""

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
