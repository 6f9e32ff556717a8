"""What compose asks of the operator's shell must not stop a `streamrec` command there."""

import re
from pathlib import Path

import yaml

FILE = Path(__file__).parent.parent / "deploy" / "compose.yaml"


def test_compose_takes_no_variable_that_streamrec_would_refuse() -> None:
    taken = set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    assert taken == {"API_KEYS", "WEB_PASSWORD"}


def test_after_the_machine_was_started_anew_servers_and_processes_come_back() -> None:
    services = yaml.safe_load(FILE.read_text())["services"]
    assert services.pop("topics")["restart"] == "on-failure", "it has an end"
    assert {name for name, s in services.items() if s.get("restart") != "unless-stopped"} == set()


def test_the_image_has_what_a_setting_of_its_processes_asks_for() -> None:
    found = re.search(r"'\.\[([\w,]+)\]'", FILE.with_name("Dockerfile").read_text())
    assert found and {"train", "traces"} <= set(found.group(1).split(","))
