"""What a process does not need it does not load."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def loaded(code: str, *names: str) -> list[str]:
    """Which of these modules a fresh Python has after `code`."""
    report = f"\nimport sys; print('loaded', *[n for n in {names!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_the_scorer_never_loads_avalanche() -> None:
    code = "import streamrec.scoring, consumers.scorer, consumers.model_fetch"
    assert loaded(code, "avalanche", "streamrec.learning", "apscheduler", "kafka", "redis") == []


def test_the_scorer_works_where_avalanche_cannot_be_imported() -> None:
    loaded("import sys; sys.modules['avalanche'] = None\nimport streamrec.scoring, consumers.scorer")


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("torch", "kafka", "redis", "avalanche", "transformers", "numpy", "river", "pydantic")
    assert loaded("import streamrec.cli", *heavy) == []


@pytest.mark.parametrize("module", ["consumers.collector", "consumers.catalogue", "streamrec.wiring"])
def test_processes_without_a_model_load_no_torch(module: str) -> None:
    assert loaded(f"import {module}", "torch", "avalanche", "kafka", "redis") == []


@pytest.mark.parametrize("module", ["streamrec.adapters.kafka", "streamrec.adapters.redis_buffer"])
def test_an_adapter_loads_only_its_own_client(module: str) -> None:
    other = "redis" if module.endswith("kafka") else "kafka"
    assert loaded(f"import {module}", other, "torch") == []


@pytest.mark.parametrize(("client", "home"), [
    ("kafka", "streamrec.adapters"), ("redis", "streamrec.adapters"), ("avalanche", "streamrec.learning"),
])
def test_the_import_contract_names_every_room_but_the_one_that_may(client: str, home: str) -> None:
    tools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
    contracts = [c for c in tools["importlinter"]["contracts"] if client in c.get("forbidden_modules", ())]
    named = {m for c in contracts for m in c["source_modules"]}
    rooms = {"consumers", "schedulers"} | {
        f"streamrec.{p.stem}" for p in (REPOSITORY / "streamrec").iterdir() if not p.stem.startswith("_")
    }
    assert rooms - named == {home}
