"""Real processes, their settings and logs, and waiting: what the end-to-end tests share."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr

from streamrec import config, wiring

REPOSITORY = Path(__file__).parents[2]


def wait_until(true: Callable[[], Any], seconds: float, what: str, every: float = 0.05) -> Any:
    """The first true value; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(every)
    raise AssertionError(f"not within {seconds} s: {what}")


def clean_env(**settings: str) -> dict[str, str]:
    """Our environment without anybody's streamrec settings, plus these."""
    base = {k: v for k, v in os.environ.items() if not k.startswith("STREAMREC_")}
    return {**base, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY),
            "STREAMREC_WEB__PORT": "0", "STREAMREC_WEB__DASHBOARD_PORT": "0", **settings}


def command(
    cwd: Path, *words: str, seconds: float = 60.0, **settings: str
) -> subprocess.CompletedProcess[str]:
    """A `streamrec` command from its beginning to its end, with no settings but these."""
    return subprocess.run(
        [sys.executable, "-m", "streamrec", *words], env=clean_env(**settings), cwd=cwd,
        capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL,
    )


class Process:
    """One process of the product, or of a test, with its log."""

    def __init__(self, command: Sequence[str], env: dict[str, str], log: Path) -> None:
        self.path = log
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                [sys.executable, *command], env=env, cwd=log.parent, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out,
            )
        self.pid = self._popen.pid

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self.path.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its log lines of one event."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    def alive(self) -> bool:
        """It has not ended."""
        return self._popen.poll() is None

    def children(self) -> list[psutil.Process]:
        """Processes it started that are alive."""
        return psutil.Process(self.pid).children(recursive=True)

    def kill(self) -> None:
        """kill -9."""
        self._popen.kill()
        self._popen.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._popen.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Its exit status. Raises TimeoutExpired."""
        return self._popen.wait(seconds)

    def stop(self) -> None:
        """SIGTERM, then kill -9."""
        if self.alive():
            self._popen.terminate()
            try:
                self._popen.wait(8)
            except subprocess.TimeoutExpired:
                self.kill()


class Stack:
    """Settings, topics and processes of one test under one prefix."""

    def __init__(
        self, kafka: str, redis: str, prefix: str, home: Path, **settings: str
    ) -> None:
        self.home, self.prefix = home, prefix
        self.env = {
            "STREAMREC_HOME": str(home), "STREAMREC_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "STREAMREC_REDIS__URL": redis, "STREAMREC_KAFKA__TOPIC_PREFIX": prefix,
            "STREAMREC_KAFKA__SESSION_TIMEOUT_S": "1.5", "STREAMREC_REDIS__TIMEOUT_S": "1",
            **settings,
        }
        self.settings = config.Settings(
            home=home, kafka=config.Kafka(bootstrap_servers=kafka, topic_prefix=prefix),
            redis=config.Redis(url=SecretStr(redis)),
        )
        wiring.create_topics(self.settings)
        self.parts = wiring.Parts(self.settings)
        self.processes: list[Process] = []

    def configure(self, **sections: Any) -> None:
        """Settings sections for this test, for its processes too."""
        self.settings = self.settings.model_copy(update=sections)
        self.parts.settings = self.settings
        for name, section in sections.items():
            for key, value in section.model_dump(mode="json", exclude_unset=True).items():
                text = value if isinstance(value, str) else json.dumps(value)
                self.env[f"STREAMREC_{name}__{key}".upper()] = text

    def topic(self, name: str) -> str:
        """`<prefix>.feedback.v1` for `feedback`."""
        return self.parts.names.topic(name)

    def start(self, name: str, *command: str) -> Process:
        """`streamrec NAME`, or the Python command given."""
        log = self.home / f"{name}-{len(self.processes)}.log"
        process = Process(command or ("-m", "streamrec", name), clean_env(**self.env), log)
        self.processes.append(process)
        return process

    def run(self, *words: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """A `streamrec` command from its beginning to its end."""
        return command(self.home, *words, seconds=seconds, **self.env)

    def close(self) -> None:
        """End everything it started."""
        for process in self.processes:
            if process.alive():
                process.kill()
            print(process.path.name, *process.log.splitlines()[-15:], sep="\n  ")  # if it fails
        self.parts.broker.close()
        self.parts.redis.close()
