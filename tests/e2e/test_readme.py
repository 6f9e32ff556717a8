"""The README's example of publishing and subscribing works as it stands."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import Stack, clean_env

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.server
def test_the_ten_lines_of_the_readme_get_an_answer(stack: Stack, home: Path) -> None:
    for name in ("collect", "catalogue", "score"):
        stack.start(name)
    (home / "up.json").write_text(json.dumps({"kafka": stack.parts.settings.kafka.bootstrap_servers}))
    found = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    code = found.group(1).replace('"streamrec.', f'"{stack.topic("x").removesuffix("x.v1")}')
    done = subprocess.run([sys.executable, "-c", code], env=clean_env(STREAMREC_HOME=str(home)),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "'user_id': 'u1'" in done.stdout and "'items'" in done.stdout
