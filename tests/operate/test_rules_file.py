"""An editor's mistakes are found before anything is published; what may do nothing is told."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from streamrec.adapters.memory import MemoryCatalogue
from streamrec.catalogue import Entry
from streamrec.errors import SetupError
from streamrec.events import Rule, decode
from streamrec.operate.rules import known, read, row, shown
from streamrec.operate.rules_idle import idle

NOW = 1.7e9


def test_a_rule_that_is_not_there_cannot_be_ended() -> None:
    known(["a"], ["b", "a"])
    with pytest.raises(SetupError, match="no rule 'c'; nothing was published. There are: a, b"):
        known(["a", "c"], ["b", "a"])
    with pytest.raises(SetupError, match="There are: none"):
        known(["a"], [])


def rule(rule_id: str, **more: Any) -> dict[str, Any]:
    return {"rule_id": rule_id, "action": "boost", "match": {"tags": ["kafka"]}} | more


def test_a_file_holds_one_rule_or_some(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(rule("a")))
    assert [r.rule_id for r in read(file, 0.0)] == ["a"]
    file.write_text(json.dumps([rule("a"), rule("b")]))
    assert [r.rule_id for r in read(file, 0.0)] == ["a", "b"]


@pytest.mark.parametrize(("rules", "said"), [
    ([rule("a"), rule("b"), rule("b", factor=3)], "2 rules have the id 'b'.*nothing was published"),
    ([], "holds no rule"),
])
def test_an_id_given_twice_and_a_list_of_none_are_refused(tmp_path: Path, rules: Any, said: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(rules))
    with pytest.raises(SetupError, match=said):
        read(file, 0.0)


@pytest.mark.parametrize(("wrong", "field"), [
    (rule("a", match={"tags": []}), "$.match"),
    (rule("a", match={"tags": [], "source": "s"}), "$.match.tags"),
    (rule("a", match={"source": "", "tags": ["x"]}), "$.match.source"),
    (rule("a", match={"tags": [""]}), "$.match.tags"),
    (rule("a", match={"tag": ["x"]}), "`tag` - at `$.match"), (rule("a", weight=2), "unknown field `weight`"),
    (rule("a", position=1), "$.position"), (rule("a", action="block", factor=2), "$.factor"),
    (rule("a", action="pin", match={"item_ids": ["i"]}, factor=2), "$.factor"),
    (rule("a", action="pin", match={"item_ids": []}), "$.match"),
])
def test_what_could_do_nothing_is_refused_by_its_name(tmp_path: Path, wrong: Any, field: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps([rule("b"), wrong]))
    with pytest.raises(SetupError, match=rf"rule a: .*{re.escape(field)}.*nothing was published"):
        read(file, 0.0)


RULES = [
    rule("boost", factor=3.0), rule("bury", action="bury", until=NOW - 1),
    rule("block", action="block", since=4e9),
    rule("pin", action="pin", match={"item_ids": ["i", "j"], "lang": "en"}, position=2),
]


def test_what_is_listed_can_be_put_again(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    found = read(file, NOW)
    file.write_text(json.dumps([shown(r) for r in found]))
    assert read(file, NOW) == found and json.loads(file.read_text())[0] == RULES[0]


def test_a_table_tells_what_each_rule_does_and_whether_it_does_so_now(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    rows = [row(r, NOW) for r in read(file, NOW)]
    assert [r["effect"] for r in rows] == ["odds × 3", "odds ÷ 2", "-", "position 2"]
    assert [r["now"] for r in rows] == ["in force", "over", "not yet", "in force"]
    assert rows[2]["since"] == "2096-10-02 07:06 UTC"
    assert rows[3]["match"] == "lang en; item_ids i, j" and rows[1]["until"] == "2023-11-14 22:13 UTC"


@pytest.mark.parametrize("field", ["since", "until"])
@pytest.mark.parametrize("at", [NOW * 1000, 3.0, "2999-01-01T00:00:00Z"])
def test_a_time_in_another_unit_is_refused(tmp_path: Path, field: str, at: object) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps([rule("r", action="block", **{field: at})]))
    with pytest.raises(SetupError, match=rf"rule r: .* before 2000 or after 2199 - at `\$\.{field}`"):
        read(file, NOW)


@pytest.fixture
def catalogue() -> MemoryCatalogue:
    """Two live articles, and one that is gone."""
    catalogue = MemoryCatalogue(2)
    catalogue.put([Entry("i", "", 0.0, ["kafka", "news"], "en", "", "blog"),
                   Entry("j", "", 0.0, ["food"], "de", "", "", "tools"),
                   Entry("gone", "", 0.0, ["old"], "", "")], {})
    catalogue.remove(["gone"])
    return catalogue


@pytest.mark.parametrize(("match", "said"), [
    ({"tags": ["kafka", "news"], "source": "blog"}, []), ({"domain": "tools"}, []),
    ({"item_ids": ["i", "j"]}, []), ({"item_ids": ["i", "j"], "lang": "de"}, []),
    ({"tags": ["kafak"]}, ["no live article has the tag 'kafak'"]),
    ({"tags": ["kafka"], "source": "blgo"}, ["no live article has the source 'blgo'"]),
    ({"tags": ["old"]}, ["no live article has the tag 'old'"]),
    ({"item_ids": ["i", "gone", "never"]},
     ["no live article has the id 'gone'", "no live article has the id 'never'"]),
    ({"tags": ["kafka", "food"]}, ["no live article fits all of its match"]),
    ({"item_ids": ["i"], "tags": ["food"]}, ["none of its articles has the tag 'food'"]),
    ({"item_ids": ["i", "j"], "tags": ["food"], "lang": "en"},
     ["none of its articles fits all of its match"]),
])
def test_of_what_no_live_article_has_an_editor_is_warned(
    catalogue: MemoryCatalogue, match: Any, said: list[str]
) -> None:
    found = decode(Rule, json.dumps(rule("a", match=match)).encode(), NOW)
    assert idle([found], catalogue, NOW) == [f"rule a: {why}" for why in said]


def test_of_a_rule_that_is_over_an_editor_is_warned(catalogue: MemoryCatalogue) -> None:
    found = decode(Rule, json.dumps(rule("a", until=NOW)).encode(), NOW)
    assert idle([found], catalogue, NOW) == ["rule a: it is over: `until` lies in the past"]
    assert idle([found], catalogue, NOW - 1) == []
