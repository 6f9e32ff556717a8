"""An editor's mistakes are found before anything is published."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamrec.errors import SetupError
from streamrec.operate.rules import known, read


def test_a_rule_that_is_not_there_cannot_be_ended() -> None:
    known(["a"], ["b", "a"])
    with pytest.raises(SetupError, match="no rule 'c'; nothing was published. There are: a, b"):
        known(["a", "c"], ["b", "a"])
    with pytest.raises(SetupError, match="There are: none"):
        known(["a"], [])


def rule(rule_id: str, **more: Any) -> dict[str, Any]:
    return {"rule_id": rule_id, "action": "boost", "match": {"tags": ["kafka"]}, **more}


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
