"""What compose asks of the operator's shell must not stop a `streamrec` command there."""

import re
from pathlib import Path

FILE = Path(__file__).parent.parent / "deploy" / "compose.yaml"


def test_compose_takes_no_variable_that_streamrec_would_refuse() -> None:
    taken = set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    assert taken == {"API_KEYS", "WEB_PASSWORD"}
