"""`streamrec demo --once --json`: ends by itself, writes every figure, keeps its promises."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KEYS = {
    "events_published", "events_stored", "events_lost", "events_doubled", "click_to_recommendation_ms",
    "click_to_model_s", "models_published", "models_refused", "swaps_torn", "requests_failed",
    "drift_reports", "drift_alarm_events_after_shift", "clicks_not_in_model",
    "click_rate", "forgetting",
}


# A minute: half of it after the shift, with hundreds of slates for each arm, so that chance alone
# does not make the live model look worse; and four periods of the drift monitor.
SECONDS = "60"


@pytest.mark.server
@pytest.mark.alone
@pytest.mark.timeout(240)
def test_the_demo_ends_by_itself_and_keeps_its_promises(kafka_server: str, redis_server: str,
                                                       tmp_path: Path) -> None:
    out = tmp_path / "demo.json"
    env = {k: v for k, v in os.environ.items() if not k.startswith("STREAMREC_")} | {
        "STREAMREC_HOME": str(tmp_path / "home"), "STREAMREC_REDIS__URL": redis_server,
        "STREAMREC_KAFKA__BOOTSTRAP_SERVERS": kafka_server,
    }
    command = [sys.executable, "-m", "streamrec", "demo", "--once", "--seconds", SECONDS, "--json", str(out)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
    figures = json.loads(out.read_text())
    assert figures.keys() >= KEYS
    assert (figures["events_lost"], figures["events_doubled"]) == (0, 0), done.stderr
    assert (figures["swaps_torn"], figures["requests_failed"]) == (0, 0), done.stderr
    assert figures["models_published"] >= 1 and figures["drift_reports"] >= 1, done.stderr
    assert set(figures["click_rate"]) == {"live", "frozen", "popularity"}
    broken = [promise for promise, kept in figures["promises"].items() if not kept]
    assert done.returncode == 0 and not broken, (broken, figures)
