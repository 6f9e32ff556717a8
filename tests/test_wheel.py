"""The wheel holds three top-level packages and all they need, and nothing else."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"streamrec", "consumers", "schedulers"}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_it_holds_exactly_three_packages(names: list[str]) -> None:
    top = {n.partition("/")[0] for n in names}
    assert {t for t in top if not t.endswith(".dist-info")} == PACKAGES
    assert len(top) == len(PACKAGES) + 1


def test_it_holds_every_source_script_and_lock_file(names: list[str]) -> None:
    kinds = (".py", ".lua", ".lock", ".html", ".js", ".css")
    wanted = {
        str(p.relative_to(ROOT)) for package in PACKAGES for p in (ROOT / package).rglob("*")
        if p.suffix in kinds and "__pycache__" not in p.parts
    }
    assert wanted <= set(names)
    assert "streamrec/adapters/lua/apply.lua" in names
    assert "streamrec/adapters/embedded/kafka.lock" in names


def test_it_holds_no_tests_caches_or_models(names: list[str]) -> None:
    assert not [n for n in names if "test" in n.lower() or n.endswith((".pyc", ".safetensors", ".jar"))]


@pytest.mark.parametrize("package", ["consumers", "schedulers"])
def test_the_package_whose_name_others_use_too_is_a_docstring_only(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    assert ast.get_docstring(tree) and len(tree.body) == 1
