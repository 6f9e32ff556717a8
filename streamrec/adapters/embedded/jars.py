"""Kafka's jars, by exact version and sha256 from the committed `kafka.lock`.

jgo only downloads: it verifies nothing itself. A warm start imports no jgo, writes nothing and
works offline.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from errno import EACCES, EROFS
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from streamrec.adapters.embedded import trouble
from streamrec.errors import SetupError

LOCK = Path(__file__).with_name("kafka.lock")
TRIES = 2  # a download cut short is common, a third in a row is not an accident
_LOCAL = (*trouble.FULL, EACCES, EROFS)


class Jar(NamedTuple):
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def fetch(
    dest: Path, *, lock: Path = LOCK, mirror: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """The Java class path of the jars in `dest`; good ones are kept, others downloaded (43 MB).

    mirror: address of a Maven repository to use instead of the usual one.
    progress: called with (jars ready, jars in all) while downloading, from this thread.
    Raises SetupError: no network, wrong sha256, jgo missing, disk full.
    """
    try:
        jars = read_lock(lock)
        if not all(_good(dest, jar) for jar in jars):
            dest.mkdir(parents=True, exist_ok=True)
            with _alone(dest):
                _fill(dest, jars, mirror, progress or (lambda done, total: None))
    except OSError as error:
        raise trouble.from_os(error, dest) from error
    return os.pathsep.join(str(dest / jar.file) for jar in jars)


def read_lock(lock: Path) -> list[Jar]:
    """The jars of a file of `group:artifact:version sha256` lines. Raises OSError."""
    rows = (line for line in lock.read_text().splitlines() if line and line[0] != "#")
    return [Jar._make(row.replace(":", " ").split()) for row in rows]


def _good(dest: Path, jar: Jar) -> bool:
    try:
        with (dest / jar.file).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


@contextmanager
def _alone(dest: Path) -> Iterator[None]:
    """One process fills `dest` at a time; leftovers of a killed one are swept."""
    with (dest / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for left in dest.glob(".fetch-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _fill(
    dest: Path, jars: list[Jar], mirror: str | None, progress: Callable[[int, int], None]
) -> None:
    # The temporary folder lies on the same file system, so that os.replace is atomic.
    with TemporaryDirectory(dir=dest, prefix=".fetch-") as tmp, ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(_one, dest, jar, Path(tmp), mirror) for jar in jars]
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                job.result()
                progress(done, len(jars))
        finally:
            for job in jobs:  # after one failure the others would only fail as well
                job.cancel()


def _one(dest: Path, jar: Jar, tmp: Path, mirror: str | None) -> None:
    if _good(dest, jar):
        return
    for attempt in range(TRIES):
        got = _download(jar, tmp / f"{jar.file}.{attempt}", mirror, last=attempt == TRIES - 1)
        if got and _good(got.parent, jar):
            return os.replace(got, dest / jar.file)
    raise SetupError(
        f"{jar.file} does not have the sha256 of Kafka's lock file: try again, or set another "
        "mirror, because what was downloaded was damaged or changed."
    )


def _download(jar: Jar, folder: Path, mirror: str | None, *, last: bool) -> Path | None:
    """The downloaded file, unverified; None when it failed and there is another try."""
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise trouble.missing("jgo") from error
    repos = {"mirror": mirror.rstrip("/")} if mirror else None
    try:
        context = MavenContext(repo_cache=folder, remote_repos=repos, timeout=15)
        project = context.project(jar.group, jar.artifact)
        return Path(project.at_version(jar.version).artifact().resolve())
    except Exception as error:  # requests, urllib3, RuntimeError: jgo has no error of its own
        if isinstance(error, OSError) and error.errno in _LOCAL:
            raise
        if not last:
            return None
        raise SetupError(
            "Kafka's jars (43 MB, once) could not be downloaded: connect to the network, set a "
            "mirror, or set STREAMREC_KAFKA__BOOTSTRAP_SERVERS to a running broker."
        ) from error
