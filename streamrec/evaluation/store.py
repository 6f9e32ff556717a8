"""Runs on disk: one file each, in a folder named after all that a run depends on."""

import gzip
import json
import os
import time
from dataclasses import asdict
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import streamrec
from streamrec.config import Settings
from streamrec.evaluation.site import Site
from streamrec.evaluation.unit import Record

Done = dict[str, Any]
LEARNING = ("buffer", "encoder", "model", "trainer", "scorer")  # settings that change a result


class Run(NamedTuple):
    """One arm with one variant and seed. `until`: the last window, for choosing a variant; None: all,
    and the matrix R."""

    arm: str
    variant: str
    seed: int
    until: int | None


def folder_name(log: Path, asked: dict[str, Any], settings: Settings) -> str:
    """The same only for the same log, question, settings and code."""
    digest = sha256()
    for path in sorted(log.iterdir()):
        digest.update(path.name.encode() + (path.read_bytes() if path.is_file() else b""))
    for package in ("streamrec", "consumers"):
        for source in sorted((Path(streamrec.__file__).parent.parent / package).rglob("*.py")):
            digest.update(source.read_bytes())
    for spec in sorted([*asked.get("outside", {}).values(), *filter(None, [asked.get("truth")])]):
        digest.update(_source_of(spec.partition(":")[0]))
    learned = {k: getattr(settings, k).model_dump() for k in LEARNING}
    digest.update(json.dumps([asked, learned], default=str, sort_keys=True).encode())
    return f"{log.resolve().name}-{digest.hexdigest()[:16]}"


def _source_of(module: str) -> bytes:
    """Of an outside arm, and of the modules beside it: the package's, if it is in one. What they
    import from elsewhere is not known here."""
    try:
        found = find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None or not Path(found.origin).is_file():
        return b""
    own = Path(found.origin)
    sources = sorted(own.parent.glob("*.py")) if "." in module else [own]
    return b"".join(source.read_bytes() for source in sources)


def file_of(folder: Path, run: Run) -> Path:
    """Where a run is kept."""
    name = "-".join(str(part) for part in run).replace("/", "_").replace(" ", "_").replace(":", "_")
    return folder / f"{name}.json.gz"


def write(file: Path, record: Record, site: Site) -> None:
    """Whole or not at all."""
    out = asdict(record) | {"totals": site.state.counters.totals().tolist(), "at": time.time()}
    for name in ("matrix", "matrix_dormant"):
        out[name] = None if out[name] is None else out[name].tolist()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(gzip.compress(json.dumps(out).encode(), 1))
    os.replace(temporary, file)


def read(file: Path) -> Done | None:
    """A finished run; None when there is none, or what is there cannot be read."""
    try:
        found: Done = json.loads(gzip.decompress(file.read_bytes()))
        return found
    except (OSError, ValueError, EOFError):
        return None
