"""The model store over fsspec: a local folder, memory, or any object store fsspec knows."""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec

from streamrec.errors import NotFound, SetupError
from streamrec.registry import MANIFEST, Content, Files

ABANDONED_S = 3600.0


class FsspecStore:
    """See streamrec.registry.FileStore. Written to a temporary name, synced, renamed: a folder
    is whole or absent. On an object store the manifest comes last, and a folder without one
    does not count. Files of a live version are never written again (they may be mmapped)."""

    def __init__(self, url: str, cache: Path | None = None) -> None:
        self._fs, self._root = _opened(url)
        self._cache = cache or Path(tempfile.gettempdir()) / f"streamrec-{os.getuid()}"

    def write(self, folder: str, files: Mapping[str, Content]) -> None:
        """See FileStore. Raises SetupError when the disk is full."""
        temporary, final = f"{self._root}/.tmp-{uuid.uuid4().hex}", f"{self._root}/{folder}"
        if "file" not in self._fs.protocol:  # object stores cannot rename: the last file decides
            self._put(final, files)
            return
        self._sweep()
        try:
            self._put(temporary, files)
            self._rename(temporary, final)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._fs.rm(temporary, recursive=True)
            if error.errno == errno.ENOSPC:
                raise SetupError(f"the disk of {self._root} is full: free some space") from error
            raise

    def _sweep(self) -> None:
        """What somebody was killed while writing."""
        for old in Path(self._root).glob(".tmp-*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(old, ignore_errors=True)

    def _put(self, path: str, files: Mapping[str, Content]) -> None:
        self._fs.makedirs(path, exist_ok=True)
        for name, content in files.items():
            with self._fs.open(f"{path}/{name}", "wb") as f:
                f.write(content)
                _sync(f)

    def _rename(self, temporary: str, final: str) -> None:
        above = final.rpartition("/")[0]
        self._fs.makedirs(above, exist_ok=True)
        os.rename(temporary, final)  # fails when `final` is there: versions are immutable
        fd = os.open(above, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def read(self, folder: str) -> Files:
        """See FileStore."""
        path = f"{self._root}/{folder}"
        try:
            names = [p.rpartition("/")[2] for p in self._fs.ls(path, detail=False)]
            return {n: bytes(self._fs.cat_file(f"{path}/{n}")) for n in names}
        except FileNotFoundError:
            raise NotFound(f"{folder} is not in {self._root}") from None

    def local(self, folder: str) -> Path:
        """See FileStore. A folder that is elsewhere is fetched once into the cache, which keeps two of its
        kind."""
        if "file" in self._fs.protocol:
            path = Path(self._root) / folder
            if not path.is_dir():
                raise NotFound(f"{folder} is not in {self._root}")
            return path
        kept = self._cache / folder
        kept.parent.mkdir(parents=True, exist_ok=True)
        with (self._cache / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several processes of this machine start at once
            if not kept.is_dir():
                self._fetch(folder, kept)
        return kept

    def _fetch(self, folder: str, to: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self._cache) as made:
            temporary = Path(made) / "files"
            temporary.mkdir()
            for name, content in self.read(folder).items():
                (temporary / name).write_bytes(content)
            for old in sorted(to.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-1]:
                shutil.rmtree(old)
            temporary.rename(to)

    def folders(self, under: str) -> list[str]:
        """See FileStore."""
        path = f"{self._root}/{under}"
        self._fs.invalidate_cache()
        if not self._fs.exists(path):
            return []
        found = [p.rstrip("/").rpartition("/")[2] for p in self._fs.ls(path, detail=False)]
        if "file" in self._fs.protocol:
            return found
        return [n for n in found if self._fs.exists(f"{path}/{n}/{MANIFEST}")]

    def delete(self, folder: str) -> None:
        """See FileStore."""
        shutil.rmtree(self._cache / folder, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm(f"{self._root}/{folder}", recursive=True)


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it. Raises SetupError, which does not repeat the URL: a
    password may stand in it."""
    protocol = url.partition("://")[0]
    try:
        fs, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise SetupError(f"STREAMREC_MODELS_URL: {protocol}:// needs a package that is not here ({error}); "
                         "install it with pip, or give a folder") from None
    except ValueError:
        raise SetupError(f"STREAMREC_MODELS_URL begins with {protocol}:// and is no URL fsspec can open; "
                         "give a folder, or a URL like s3://bucket/models") from None
    return fs, str(root)


def _sync(f: Any) -> None:
    f.flush()
    with contextlib.suppress(AttributeError, OSError):  # only files of this machine have one
        os.fsync(f.fileno())
