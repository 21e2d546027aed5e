"""Files and folders that appear whole or not at all, on a disk that may be full and in a process that may be killed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

PRIVATE, PRIVATE_FOLDER = 0o600, 0o700  # modes of what holds identities of people


class Output:
    """A new file that remembers its first error instead of raising it.

    HDF5 1.14 crashes the process when a write fails under it (disk full, quota), so it writes here, finishes as if all
    were well, and the error is raised afterwards by :meth:`check`. An interrupt that arrives within a write is kept
    back likewise.

    Args:
        path: the file to make.
        private: nobody but its owner may read it, from its first byte on.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, *, private: bool = False) -> None:
        self._file = open(path, "wb+", buffering=0, opener=_private_opener if private else None)
        self.error: BaseException | None = None

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._file.close()

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error

    def write(self, data: Any) -> int:
        """Write all of ``data`` at the present place; its length, also where it could not be written."""
        view = memoryview(data).cast("B")
        written = 0
        try:
            while written < len(view):
                written += self._file.write(view[written:]) or 0
        except (OSError, KeyboardInterrupt) as error:
            self._keep(error)
        return len(view)

    def truncate(self, size: int) -> int:
        """Set the file's length."""
        try:
            self._file.truncate(size)
        except (OSError, KeyboardInterrupt) as error:
            self._keep(error)
        return size

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes from the present place."""
        return self._file.read(size) or b""

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the present place."""
        return self._file.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The present place."""
        return self._file.tell()

    def flush(self) -> None:
        """Nothing is buffered here."""

    def make_private(self) -> None:
        """Let nobody but its owner read the file from now on.

        Raises:
            OSError: the file system refuses.
        """
        os.fchmod(self._file.fileno(), PRIVATE)

    def sync(self) -> None:
        """Have the disk hold all that was written."""
        os.fsync(self._file.fileno())

    def _keep(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error


@contextlib.contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[Output]:
    """Write a file under a temporary name; it takes the place of ``path`` when the block ends without an error.

    A crash at any moment leaves the old file or the new one, whole. The folder is made if it is missing.

    Args:
        path: the file to make or replace.
        private: nobody but its owner may read it, nor what is there while it is written.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Output(temporary, private=private) as output:
            try:
                yield output
            finally:
                output.check()
            output.sync()
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Write a folder under a temporary name; it gets its own when the block ends without an error.

    Args:
        folder: the folder to make, which is not there yet; those above it are made.

    Raises:
        OSError: the place cannot be written, or the disk is full.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            _sync(path)
        os.rename(temporary, folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _private_opener(path: str, flags: int) -> int:
    handle = os.open(path, flags, PRIVATE)
    os.fchmod(handle, PRIVATE)  # a file that a killed run left there keeps its mode otherwise
    return handle


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
