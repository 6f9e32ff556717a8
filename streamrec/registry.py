"""Model versions: immutable folders, one pointer, and a lease that fences old trainers.

A version folder holds the model, its optimizer state and a manifest with the sha256 of every
file; a state folder holds what the trainer carries between increments. Folders are written
first (temp, fsync, rename); then the pointer moves by compare-and-set under the lease's fencing
token, together with the window's cursor: a trainer killed at any point neither skips nor
repeats a window. A folder that no pointer ever named is garbage, not an error.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from streamrec import __version__
from streamrec.errors import CorruptArtefact, NotFound
from streamrec.events import ModelDiff, ModelPointer

Files = dict[str, bytes]
Content = bytes | memoryview
MANIFEST = "manifest.json"
RECORDS = 1000  # published versions listed; the files of the newest 50 are kept
ROLLBACKS = 50


class Rollback(Struct, frozen=True):
    """An operator went back to a version, at a wall time (epoch s)."""

    version: str
    at: float


class Pointer(Struct, frozen=True, kw_only=True):
    """Where the loop stands. `cursor` maps partition to the last row taken; `attempt` counts
    commits and is what compare-and-set compares; `state` names the trainer's state folder."""

    version: str | None = None
    action: Literal["publish", "rollback"] = "publish"
    first_trained: str | None = None
    attempt: int = 0
    cursor: dict[int, int] = {}
    state: str | None = None
    published_at: float = 0.0
    learned_until: float = 0.0
    published: int = 0
    refused: int = 0
    last_gate: dict[str, Any] | None = None
    last_attempt_at: float = 0.0
    rollbacks: list[Rollback] = []  # the newest ROLLBACKS, oldest first


class VersionRecord(Struct, frozen=True, kw_only=True):
    """One line of `models list`."""

    version: str
    parent: str | None
    created_at: float
    rows: int
    learned_until: float
    metrics: dict[str, float]
    trigger: str = ""
    diff: ModelDiff | None = None


class Artefact(NamedTuple):
    """A folder read back and verified."""

    files: Files
    manifest: dict[str, Any]


class FileStore(Protocol):
    """Folders that appear whole or not at all."""

    def write(self, folder: str, files: Mapping[str, Content]) -> None:
        """Write an immutable folder."""

    def read(self, folder: str) -> Files:
        """All files of a folder. Raises NotFound."""

    def local(self, folder: str) -> Path:
        """Where its files are on this machine, to be mapped into memory; fetched if they are elsewhere.
        Raises NotFound."""

    def folders(self, under: str) -> list[str]:
        """Names of the folders under a path."""

    def delete(self, folder: str) -> None:
        """Remove a folder, if there."""


class PointerStore(Protocol):
    """The pointer, the list of versions and the lease, in one atomic place."""

    def read(self) -> Pointer:
        """The pointer; the empty one when nothing was ever published."""

    def move(
        self, new: Pointer, expected_attempt: int, token: int | None, record: VersionRecord | None
    ) -> None:
        """Compare-and-set. Raises Conflict if the attempt moved, Fenced if `token` is not the
        lease's (None: not under the lease, as a rollback is)."""

    def records(self) -> list[VersionRecord]:
        """The newest published versions, RECORDS at most, oldest first."""

    def next_number(self, above: int = 0) -> int:
        """A number never given before, and larger than `above`."""

    def acquire(self, owner: str, ttl_s: float) -> int | None:
        """Take the lease: a fencing token larger than all before, or None if it is held."""

    def renew(self, token: int, ttl_s: float) -> bool:
        """Hold the lease longer; False when it was lost."""

    def release(self, token: int) -> None:
        """Give the lease back, if it is still ours."""


class Registry:
    """Publish, read and roll back versions."""

    def __init__(self, files: FileStore, pointers: PointerStore) -> None:
        self.files, self.pointers = files, pointers

    def stage(self, kind: str, name: str, files: Mapping[str, Content], **manifest: Any) -> None:
        """Write folder `kind/name` with a manifest; it counts only once a pointer names it."""
        sums = {n: sha256(b).hexdigest() for n, b in files.items()}
        meta = {"name": name, "files": sums, "code_version": __version__, **manifest}
        text = json.dumps(meta, indent=1, sort_keys=True, default=msgspec.to_builtins).encode()
        self.files.write(f"{kind}/{name}", {**files, MANIFEST: text})

    def load(self, kind: str, name: str) -> Artefact:
        """Read a folder back. Raises NotFound, or CorruptArtefact naming the bad file."""
        files = self.files.read(f"{kind}/{name}")
        text = files.pop(MANIFEST, b"")
        manifest = _checked(f"{kind}/{name}", text, lambda f: f in files and sha256(files[f]).hexdigest())
        return Artefact({n: files[n] for n in manifest["files"]}, manifest)

    def local(self, kind: str, name: str) -> tuple[Path, dict[str, Any]]:
        """A verified folder on this machine and its manifest; for files too large to be read at once.
        Raises NotFound, CorruptArtefact."""
        folder = self.files.local(f"{kind}/{name}")
        there = folder / MANIFEST
        text = there.read_bytes() if there.is_file() else b""
        return folder, _checked(f"{kind}/{name}", text, lambda f: _digest(folder / f))

    def current(self) -> Pointer:
        """Where the loop stands."""
        return self.pointers.read()

    def new_name(self) -> str:
        """A version name never used, growing: numbers of failed attempts are skipped. Nor has the store a
        folder of that name or of a later one: it may have outlived the Redis that counted."""
        there = [int(f) for kind in ("versions", "states") for f in self._numbered(kind)]
        return str(self.pointers.next_number(max(there, default=0)))

    def _numbered(self, kind: str) -> list[str]:
        """Folders that we named, oldest first."""
        return sorted((f for f in self.files.folders(kind) if f.isdecimal()), key=int)

    def require(self, *versions: str) -> None:
        """All of them were published, and their files are kept. Raises NotFound, which says what to do."""
        known, kept = {r.version for r in self.pointers.records()}, set(self.files.folders("versions"))
        for version in versions:
            if version not in known:
                raise NotFound(f"no published version {version}; see `streamrec models list`")
            if version not in kept:
                raise _pruned(version)

    def rollback(self, version: str, now: float) -> Pointer:
        """Point at an older version; what was learned since stays learned from, not lost. Where the pointer
        names it already nothing is written.

        Raises NotFound for a version never published, CorruptArtefact if its files are bad.
        """
        self.require(version)
        try:
            self.load("versions", version)
        except NotFound:  # some of its files are there
            raise _pruned(version) from None
        old = self.current()
        if old.version == version:
            return old
        new = msgspec.structs.replace(
            old, version=version, action="rollback", attempt=old.attempt + 1, published_at=now,
            rollbacks=[*old.rollbacks, Rollback(version, now)][-ROLLBACKS:],
        )
        self.pointers.move(new, old.attempt, None, None)
        return new

    def prune(self, keep_versions: int, keep_states: int = 3) -> None:
        """Delete the oldest folders beyond what is kept; never one that is in use."""
        pointer = self.current()
        in_use = {pointer.version, pointer.first_trained, pointer.state}
        for kind, keep in (("versions", keep_versions), ("states", keep_states)):
            for name in self._numbered(kind)[:-keep]:
                if name not in in_use:
                    self.files.delete(f"{kind}/{name}")


def _pruned(version: str) -> NotFound:
    return NotFound(f"version {version} was pruned: its files are gone, choose a newer one "
                    "(`streamrec models list`)")


def _checked(folder: str, text: bytes, digest: Callable[[str], str | bool]) -> dict[str, Any]:
    """The manifest that a text holds, if all files that it names are as it says; `digest`: False for one
    that is not there. Raises CorruptArtefact."""
    try:
        manifest: dict[str, Any] = json.loads(text)
        sums = dict(manifest["files"])
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptArtefact(f"{folder} has no readable manifest") from error
    for file, want in sums.items():
        if digest(file) != want:
            raise CorruptArtefact(f"{folder}/{file} differs from its manifest's sha256")
    return manifest


def _digest(path: Path) -> str | bool:
    if not path.is_file():
        return False
    with path.open("rb") as f:
        return file_digest(f, "sha256").hexdigest()


def pointer_message(pointer: Pointer, record: VersionRecord) -> ModelPointer:
    """What the models topic says while `pointer` names the version of `record`."""
    return ModelPointer(
        version=record.version, parent=record.parent, action=pointer.action,
        published_at=pointer.published_at, learned_until=record.learned_until, rows=record.rows,
        metrics=record.metrics, trigger=record.trigger, diff=record.diff,
    )
