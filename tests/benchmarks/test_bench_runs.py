"""The bench runs and writes what it promises; no time is asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.servers import REPOSITORY

RATIOS = {
    "collector_over_poll_only", "fenced_lua_over_lpush", "fenced_lua_over_lpush_worst_case",
    "msgspec_over_json", "answer_p99_during_swap_over_before", "publish_over_matmul",
    "http_p99_during_swap_over_before",
    "index_recall_1m", "memory_over_vectors_1m", "answer_exact_over_indexed_1m",
    "text_step_over_naive", "exact_text_step_over_naive",
    *(f"answers_over_matmul_{n}_batch_{b}" for n in ("3k", "100k") for b in (1, 16, 64)),
}
ABSOLUTE = {
    "diverse_list_of_200_ms", "http_swaps", "scores_compared",
    "answer_p99_ms_10k", "answer_p99_ms_100k", "collector_events_per_s",
    "collector_events_per_s_worst_case", "click_to_recommendation_p99_ms",
    "scorer_answers_per_s_3k_batch_64", "scorer_answers_per_s_100k_batch_1", "collector_peak_rss_mb",
    "scorer_peak_rss_mb", "start_1m_s", "answers_per_s_1m_batch_64",
    "http_p99_ms_1_clients", "http_p99_ms_8_clients",
    "http_answers_per_s_8_clients_2_workers", "http_feedback_per_s_8_clients", "web_peak_rss_mb",
}

pytestmark = [pytest.mark.alone, pytest.mark.timeout(400)]


def test_a_quick_run_writes_every_figure(kafka_server: str, redis_server: str, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"  # the two servers are asked for only to skip where there are none
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--quick", "--out", str(out)],
        cwd=REPOSITORY, env=dict(os.environ), capture_output=True, text=True, timeout=380,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(out.read_text())
    assert set(found) == {"ratios", "absolute", "machine"}
    assert set(found["ratios"]) == RATIOS
    assert set(found["absolute"]) >= ABSOLUTE
    assert all(x > 0 for kind in ("ratios", "absolute") for x in found[kind].values())
    assert found["machine"]["quick"] is True
