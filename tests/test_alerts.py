"""Alert rules and the board ask for metrics that exist, in PromQL that parses, and lead to a paragraph."""

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY

import streamrec.metrics  # noqa: F401  (registers them)

DEPLOY = Path(__file__).parents[1] / "deploy"
[GROUP] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = GROUP["rules"]
BOARD = json.loads((DEPLOY / "grafana" / "streamrec.json").read_text())
BASE = "{{ $externalLabels.runbooks }}"  # where the pages are, only the operator knows
ENDS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
QUERIES = [t["expr"] for p in BOARD["panels"] for t in p["targets"]]


def known() -> set[str]:
    """Names of our metrics as Prometheus stores them."""
    return {metric.name + end for metric in REGISTRY.collect() if metric.name.startswith("streamrec_")
            for end in ENDS[metric.type]}


@pytest.mark.parametrize("query", [*QUERIES, *(r["expr"] for r in RULES)])
def test_each_query_parses_and_asks_for_what_there_is(query: str) -> None:
    promql_parser.parse(query)
    asked = set(re.findall(r"\bstreamrec_\w+", query))
    assert asked <= known() and (asked or query.startswith("up"))


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r["alert"])
def test_each_alert_leads_to_its_paragraph(rule: dict[str, Any]) -> None:
    link = rule["annotations"]["runbook_url"]
    assert link.startswith(BASE)
    page, _, anchor = link.removeprefix(BASE).partition("#")
    headings = re.findall(r"^### (\w+)$", (DEPLOY / page).read_text(), re.MULTILINE)
    assert anchor == rule["alert"].lower() and rule["alert"] in headings
    assert rule["labels"]["severity"] in ("page", "ticket") and rule["annotations"]["summary"]


def test_what_must_be_watched_is_watched() -> None:
    exprs = " ".join(r["expr"] for r in RULES)
    for name in ("click_to_list", "dead_letters", "drift_alarms", "model_published", "stale_answers",
                 "trainings_failed", "paused"):
        assert f"streamrec_{name}" in exprs


def test_what_is_commented_out_is_what_prometheus_takes() -> None:
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    found = yaml.safe_load(re.sub(r"^( *)#(?! )|^#(?=  )", r"\1", text, flags=re.MULTILINE))
    assert found["global"]["external_labels"]["runbooks"].endswith("/deploy/")
    assert found["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert found["alerting"]["alert_relabel_configs"][0]["regex"] == "runbooks"
