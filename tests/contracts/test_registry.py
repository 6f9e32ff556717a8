"""The promises of streamrec.registry, with every pair of pointer store and file store."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from streamrec.adapters.files import FsspecStore
from streamrec.adapters.memory import MemoryFiles, MemoryPointers
from streamrec.errors import Conflict, CorruptArtefact, Fenced, NotFound
from streamrec.registry import MANIFEST, FileStore, Pointer, Registry, Rollback, VersionRecord

FILES = {"model.bin": b"\x00weights", "notes.json": b"{}"}


@pytest.fixture(params=["memory", "folder", "fsspec-memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> FileStore:
    url = {"folder": str(tmp_path / "models"), "fsspec-memory": f"memory://{prefix}"}
    return MemoryFiles() if request.param == "memory" else FsspecStore(url[request.param])


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.server)])
def registry(request: pytest.FixtureRequest, files: FileStore, prefix: str) -> Registry:
    if request.param == "memory":
        return Registry(files, MemoryPointers())
    from streamrec.adapters.redis_store import RedisPointers

    return Registry(files, RedisPointers(request.getfixturevalue("redis_connection"), prefix))


def record(version: str) -> VersionRecord:
    return VersionRecord(version=version, parent=None, created_at=1.0, rows=9, learned_until=2.0,
                         metrics={"ndcg": 0.5})


def publish(registry: Registry, token: int | None = None) -> str:
    """One increment's commit, as the trainer does it."""
    old, version = registry.current(), registry.new_name()
    registry.stage("states", version, {"state": version.encode()})
    registry.stage("versions", version, FILES, rows=9)
    new = replace(old, version=version, state=version, attempt=old.attempt + 1,
                  first_trained=old.first_trained or version, cursor={0: 7, 3: 1})
    registry.pointers.move(new, old.attempt, token, record(version))
    return version


def test_before_anything_was_published_the_pointer_is_empty(registry: Registry) -> None:
    assert registry.current() == Pointer()
    assert registry.pointers.records() == []
    assert registry.files.folders("versions") == []


def test_the_list_of_versions_keeps_the_newest(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "redis_store"):
        monkeypatch.setattr(f"streamrec.adapters.{module}.RECORDS", 3)
    versions = [publish(registry) for _ in range(5)]
    assert [r.version for r in registry.pointers.records()] == versions[2:]


def test_a_published_version_is_read_back_with_its_manifest(registry: Registry) -> None:
    version = publish(registry)
    pointer = registry.current()
    assert (pointer.version, pointer.cursor) == (version, {0: 7, 3: 1})
    found = registry.load("versions", version)
    assert found.files == FILES
    assert found.manifest["rows"] == 9 and set(found.manifest["files"]) == set(FILES)
    assert registry.pointers.records() == [record(version)]


def test_of_two_writers_one_is_told_so(registry: Registry) -> None:
    before = registry.current()
    publish(registry)
    with pytest.raises(Conflict):
        registry.pointers.move(replace(before, version="x", attempt=1), 0, None, record("x"))
    assert registry.current().version != "x" and len(registry.pointers.records()) == 1


def test_a_trainer_that_lost_the_lease_publishes_nothing(registry: Registry) -> None:
    token = registry.pointers.acquire("me", 60)
    assert token is not None
    kept = publish(registry, token)
    registry.pointers.release(token)
    with pytest.raises(Fenced):
        publish(registry, token)
    assert registry.current().version == kept
    assert [r.version for r in registry.pointers.records()] == [kept]


def test_names_grow_and_are_never_given_twice(registry: Registry) -> None:
    names = [int(registry.new_name()) for _ in range(5)]
    assert names == sorted(set(names))


def test_when_redis_was_lost_names_go_on_above_what_the_store_has(registry: Registry) -> None:
    registry.stage("versions", "7", FILES)  # all that is left of the time before
    registry.stage("states", "9", FILES)
    version = publish(registry)
    assert int(version) > 9 and int(publish(registry)) > int(version)
    registry.prune(keep_versions=2, keep_states=1)
    assert registry.files.folders("versions") and "7" not in registry.files.folders("versions")
    registry.load("versions", version)


def test_rolling_back_points_at_the_old_version_and_forgets_nothing_learned(
    registry: Registry,
) -> None:
    first, second = publish(registry), publish(registry)
    pointer = registry.rollback(first, now=77.0)
    assert registry.current() == pointer and pointer.version == first
    assert (pointer.state, pointer.attempt, pointer.published_at) == (second, 3, 77.0)
    assert [r.version for r in registry.pointers.records()] == [first, second]
    publish(registry)
    registry.rollback(second, now=99.0)
    assert registry.current().rollbacks == [Rollback(first, 77.0), Rollback(second, 99.0)]


def test_rolling_back_to_what_serves_already_writes_nothing(registry: Registry) -> None:
    first, second = publish(registry), publish(registry)
    before = registry.current()
    assert registry.rollback(second, now=77.0) == before == registry.current()
    registry.rollback(first, now=78.0)
    before = registry.current()
    assert registry.rollback(first, now=79.0) == before == registry.current()


def test_rolling_back_to_what_was_never_published_is_not_found(registry: Registry) -> None:
    publish(registry)
    registry.stage("versions", "orphan", FILES)
    with pytest.raises(NotFound, match="models list"):
        registry.rollback("orphan", now=1.0)


def test_a_version_published_during_a_rollback_is_not_undone_unseen(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, read = publish(registry), publish(registry), registry.pointers.read

    def read_and_then_another_publishes() -> Pointer:
        monkeypatch.undo()
        found = read()
        publish(registry)
        return found
    monkeypatch.setattr(registry.pointers, "read", read_and_then_another_publishes)
    with pytest.raises(Conflict):
        registry.rollback(first, now=1.0)
    assert registry.current().version != first


def test_rolling_back_to_a_damaged_version_keeps_the_pointer(registry: Registry) -> None:
    first, second = publish(registry), publish(registry)
    damage(registry, f"versions/{first}", {"model.bin": b"other"})
    with pytest.raises(CorruptArtefact, match="model.bin"):
        registry.rollback(first, now=1.0)
    assert registry.current().version == second


def damage(registry: Registry, folder: str, changed: Mapping[str, bytes | None]) -> None:
    """Write the folder again with some files changed, or None: without them."""
    new = {**registry.files.read(folder), **changed}
    registry.files.delete(folder)
    registry.files.write(folder, {n: b for n, b in new.items() if b is not None})


@pytest.mark.parametrize(("change", "named"), [
    ({"model.bin": b"\x00weightz"}, "model.bin"), ({"notes.json": None}, "notes.json"),
    ({"model.bin": b""}, "model.bin"), ({MANIFEST: None}, "manifest"), ({MANIFEST: b"{"}, "manifest"),
])
def test_a_damaged_file_is_named(registry: Registry, change: dict, named: str) -> None:
    version = publish(registry)
    damage(registry, f"versions/{version}", change)
    with pytest.raises(CorruptArtefact, match=named):
        registry.load("versions", version)


def test_a_folder_that_is_not_there_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound):
        registry.load("versions", "12345")
    registry.files.delete("versions/12345")


class Cut(Mapping[str, bytes]):
    """Files whose writer dies after the first."""

    def __iter__(self) -> Iterator[str]:
        return iter(("a", "b"))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, name: str) -> bytes:
        if name == "b":
            raise OSError("killed")
        return b"first"


def test_a_folder_half_written_is_never_seen(files: FileStore) -> None:
    with pytest.raises(OSError, match="killed"):
        files.write("versions/1", Cut())
    assert files.folders("versions") == []
    whole = {**FILES, MANIFEST: b"{}"}  # on an object store the manifest comes last, and decides
    files.write("versions/2", whole)  # a name is never used again
    assert files.read("versions/2") == whole and files.folders("versions") == ["2"]


def test_pruning_never_takes_what_is_in_use(registry: Registry) -> None:
    versions = [publish(registry) for _ in range(6)]
    registry.rollback(versions[1], now=1.0)
    registry.stage("versions", "left by an operator", FILES)  # harmless, and not ours to delete
    registry.prune(keep_versions=2, keep_states=1)
    kept = set(registry.files.folders("versions"))
    assert kept == {versions[0], versions[1], *versions[-2:], "left by an operator"}
    assert versions[-1] in registry.files.folders("states")  # what was learned, rolled back or not
    registry.load("versions", versions[1])


def test_orphans_of_a_killed_trainer_are_harmless(registry: Registry) -> None:
    publish(registry)
    registry.stage("versions", registry.new_name(), FILES)  # killed before the pointer moved
    later = publish(registry)
    assert registry.current().version == later
    assert len(registry.pointers.records()) == 2
    registry.prune(keep_versions=50)




def test_a_folder_is_on_this_machine_to_be_mapped(registry: Registry) -> None:
    registry.stage("versions", "7", FILES, rows=9)
    folder, manifest = registry.local("versions", "7")
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES and manifest["rows"] == 9
    with pytest.raises(NotFound):
        registry.local("versions", "8")


def test_a_damaged_file_on_this_machine_is_named(tmp_path: Path) -> None:
    registry = Registry(FsspecStore(str(tmp_path)), MemoryPointers())
    registry.stage("versions", "7", FILES)
    (tmp_path / "versions/7/model.bin").write_bytes(b"damaged")
    with pytest.raises(CorruptArtefact, match="model.bin"):
        registry.local("versions", "7")
