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


OUTAGE = """
import logging
from streamrec import logs
logs.setup("info", "collect")
log = logging.getLogger
log("kafka.net.transport").error("%s: socket disconnected", "<KafkaTCPTransport 1>")
log("kafka.net.connection").error("%s: Connection lost: %s", "<KafkaConnection>", "socket disconnected")
log("kafka.coordinator").warning("Marking the coordinator dead (node %s) for group %s: %s.", 1, "g",
                                 ConnectionResetError(104, "reset"))
log("kafka.consumer.fetcher").error("Fetch to node %s failed: %s", 1, "KafkaConnectionError: ECONNREFUSED")
log("kafka.producer.sender").error("%s: Error sending produce request: %s", "s", "RequestTimedOutError: 7")
log("kafka.cluster").warning("No node available for metadata refresh - backoff/retry")
log("kafka.consumer.fetcher").warning("Not authorized to read from topic %s.", "t")
log("kafka.net.selector").error("IO loop crashed")
logs.get("ours").warning("kafka_away")
"""
BROKEN = """
import logging
from streamrec import logs
logs.setup("info", "collect")
try:
    raise ConnectionResetError(104, "100 % reset")
except OSError:
    logging.getLogger("kafka.net.transport").exception("%s: Error receiving network data", "<T>")
"""


def said(speakers: str) -> list[dict[str, str]]:
    done = subprocess.run([sys.executable, "-c", speakers], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_broker_that_goes_away_is_one_line_of_its_client_and_hides_no_other() -> None:
    assert [line["event"] for line in said(OUTAGE)] == [
        "<KafkaTCPTransport 1>: socket disconnected", "Not authorized to read from topic t.",
        "IO loop crashed", "kafka_away"]


def test_a_connection_that_breaks_is_told_without_a_traceback() -> None:
    [line] = said(BROKEN)
    assert line["event"] == "<T>: Error receiving network data: [Errno 104] 100 % reset"
    assert "exception" not in line
