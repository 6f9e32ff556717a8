"""The demo empties its folder at each start: only one that is its own, and says no before it starts."""

import socket
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from streamrec import config
from streamrec.errors import SetupError
from streamrec.supervisor import Supervisor
from tests.e2e.harness import command


def demo(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`streamrec demo` in a home."""
    return command(Path.cwd(), "demo", "--once", *words, seconds=100.0, STREAMREC_HOME=str(home))


def refused(done: subprocess.CompletedProcess[str], why: str) -> None:
    assert done.returncode == 2 and why in done.stderr, done.stderr
    assert done.stderr.startswith("streamrec: ") and len(done.stderr.strip().splitlines()) == 1


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("there", [["talk/slides.txt"], ["notes.txt"], ["up.lock", "models/1/manifest.json"]],
                         ids=["a folder", "a file", "the models of an up"])
def test_a_folder_that_no_demo_made_is_left_as_it_is(tmp_path: Path, there: list[str]) -> None:
    for name in there:
        (tmp_path / "demo" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "demo" / name).write_text("mine")
    refused(demo(tmp_path), f"{tmp_path / 'demo'} would be emptied")
    assert files(tmp_path / "demo") == sorted(there)


def start(home: Path, fresh: bool = True) -> None:
    """A supervisor, as far as it gets where nothing answers: a fresh one has emptied its home by then."""
    with socket.socket() as nobody:  # bound, but nobody listens
        nobody.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{nobody.getsockname()[1]}"
        settings = config.Settings(
            home=home, kafka=config.Kafka(bootstrap_servers=nowhere),
            redis=config.Redis(url=SecretStr(f"redis://{nowhere}/0")),
        )
        with pytest.raises(SetupError, match="does not answer"):
            Supervisor(settings, print, processes=(), fresh=fresh).start()


def test_its_own_folder_is_emptied_again(tmp_path: Path) -> None:
    (tmp_path / "up.lock").touch()  # a first demo that ended before it made anything else
    start(tmp_path)
    left = files(tmp_path)
    (tmp_path / "models" / "1").mkdir(parents=True)
    (tmp_path / "models" / "1" / "old.json").touch()
    (tmp_path / "old.log").touch()
    start(tmp_path)
    assert files(tmp_path) == left and not (tmp_path / "models").exists()


def test_what_an_up_made_where_a_demo_was_is_kept(tmp_path: Path) -> None:
    start(tmp_path)
    start(tmp_path, fresh=False)
    (tmp_path / "model.json").touch()
    with pytest.raises(SetupError, match="would be emptied"):
        Supervisor(config.Settings(home=tmp_path), print, processes=(), fresh=True).start()
    assert "model.json" in files(tmp_path)


@pytest.mark.parametrize(("option", "target", "why"), [
    ("--json", "none/demo.json", "make it first"), ("--json", ".", "is a folder"),
    ("--picture", ".", "is a folder"),
])
def test_a_result_that_cannot_be_written_is_said_before_anything_starts(
    tmp_path: Path, option: str, target: str, why: str
) -> None:
    refused(demo(tmp_path, option, str(tmp_path / target)), why)
    assert not (tmp_path / "demo").exists()
