"""A log is lines of JSON, whoever speaks."""

import json
import subprocess
import sys

SPEAKERS = """
import logging, warnings
from streamrec import logs
logs.setup("info", "train")
warnings.warn("no QP solver found on your system")
warnings.warn("100 % of something else")
selector = logging.getLogger("kafka.net.selector")
selector.warning("Task <Task 7> ran for 0.123s (>0.1s threshold)")
selector.error("the loop has ended")
logs.get("ours").info("fitting", rows=5)
"""


def test_each_line_is_json_and_says_of_which_process() -> None:
    done = subprocess.run([sys.executable, "-c", SPEAKERS], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["process"] for line in lines} == {"train"}
    said = [line["event"] for line in lines]
    assert "UserWarning: no QP solver" in said[0] and "100 % of something" in said[1]
    assert said[2:] == ["the loop has ended", "fitting"], "and of slow tasks of a client nobody is told"
