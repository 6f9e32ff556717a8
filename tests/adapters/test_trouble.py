"""What is quoted of a server's log is what went wrong, not what happened to stand last."""

from pathlib import Path

import pytest

from streamrec.adapters.embedded import trouble

WARNED = [
    "2026-01-31T08:00:00.617Z [quorum-controller-1-event-handler] WARN o.a.k.c.QuorumController - Performing "
    "controller activation. The metadata log appears to be empty.",
    "[0.211s][warning][cds] The AOT cache was mapped with an error in its header",
    "OpenJDK 64-Bit Server VM warning: Sharing is only supported for boot loader classes; no error",
    "2026-01-31T08:00:01.000Z [main] WARN o.a.k.c.NetworkClient - lost it: java.io.IOException",
]
FAILED = "2026-01-31T08:00:02.000Z [main] ERROR kafka.Kafka$ - Exiting Kafka due to fatal exception"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


@pytest.mark.parametrize("error", [
    FAILED, "java.lang.OutOfMemoryError: Java heap space", "Error occurred during initialization of VM",
    "[1.000s][error][gc] no room", "*** FATAL CONFIG FILE ERROR (Redis 8.0) ***",
    "7:M 31 Jan 2026 08:00:00.000 # Fatal error, can't open the append only file",
])
def test_the_last_error_is_quoted_whatever_was_warned_of_after_it(log: Path, error: str) -> None:
    log.write_text("\n".join([*WARNED, error, "\tat kafka.Kafka$.main(Kafka.scala)", *WARNED]))
    assert trouble.last_error(log) == error == trouble.last_line(log)


def test_a_warning_is_no_error_and_quoted_only_of_a_server_that_did_not_start(log: Path) -> None:
    log.write_text("\n".join(WARNED))
    assert trouble.last_error(log) == "" and trouble.last_line(log) == WARNED[-1]
    log.write_text("")
    assert trouble.last_error(log) == "" and trouble.last_line(log) == "the log is empty"
    log.unlink()
    assert trouble.last_error(log) == "" and trouble.last_line(log) == "there is no log"
