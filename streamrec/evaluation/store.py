"""Runs on disk: one file each, in a folder named after all that a run depends on."""

import gzip
import json
import os
import time
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import streamrec
from streamrec import datasets
from streamrec.config import Settings
from streamrec.evaluation.site import Site
from streamrec.evaluation.unit import Record
from streamrec.learning.fine_tune import device_of

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
    """The same only for the same log, question, settings, device and code of ours. Raises SetupError."""
    digest = sha256()
    for path in (datasets.find(log, "articles"), datasets.find(log, "events")):
        digest.update(path.name.encode() + path.read_bytes())
    for package in ("streamrec", "consumers"):
        for source in sorted((Path(streamrec.__file__).parent.parent / package).rglob("*.py")):
            digest.update(source.read_bytes())
    if asked.get("truth"):
        digest.update(_source_of(asked["truth"]))
    learned = {k: getattr(settings, k).model_dump() for k in LEARNING}
    device = device_of(settings.trainer.device).type  # what learns may follow from it
    digest.update(json.dumps([asked, learned, device], default=str, sort_keys=True).encode())
    return f"{log.resolve().name}-{digest.hexdigest()[:16]}"


def code_of(place: str) -> str:
    """The same only for the same place `package.module:factory` and source of an outside system."""
    return sha256(place.encode() + _source_of(place)).hexdigest()[:16]


def _source_of(place: str) -> bytes:
    """Of an outside system, and of the modules beside it: the package's, if it is in one. What they
    import from elsewhere is not known here."""
    module = place.partition(":")[0]
    try:
        found = find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None or not Path(found.origin).is_file():
        return b""
    own = Path(found.origin)
    sources = sorted(own.parent.glob("*.py")) if "." in module else [own]
    return b"".join(source.read_bytes() for source in sources)


@dataclass(frozen=True)
class Kept:
    """The runs of one question. `code` of outside systems, by arm: they are run again after a change, and
    no other arm is."""

    folder: Path
    code: dict[str, str] = field(default_factory=dict)

    def file(self, run: Run) -> Path:
        """Where a run is kept."""
        parts = (*run, self.code[run.arm]) if run.arm in self.code else run
        name = "-".join(map(str, parts)).replace("/", "_").replace(" ", "_").replace(":", "_")
        return self.folder / f"{name}.json.gz"

    def read(self, run: Run) -> Done | None:
        """A finished run; None when there is none, or what is there cannot be read."""
        try:
            found: Done = json.loads(gzip.decompress(self.file(run).read_bytes()))
            return found
        except (OSError, ValueError, EOFError):
            return None


def write(file: Path, record: Record, site: Site) -> None:
    """Whole or not at all."""
    out = asdict(record) | {"totals": site.state.counters.totals().tolist(), "at": time.time()}
    for name in ("matrix", "matrix_dormant"):
        out[name] = None if out[name] is None else out[name].tolist()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(gzip.compress(json.dumps(out).encode(), 1))
    os.replace(temporary, file)
