"""An editor's mistakes are found before anything is published."""

import pytest

from streamrec.errors import SetupError
from streamrec.operate.rules import known


def test_a_rule_that_is_not_there_cannot_be_ended() -> None:
    known(["a"], ["b", "a"])
    with pytest.raises(SetupError, match="no rule 'c'; nothing was published. There are: a, b"):
        known(["a", "c"], ["b", "a"])
    with pytest.raises(SetupError, match="There are: none"):
        known(["a"], [])
