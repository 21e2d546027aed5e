"""The part of HDF5 that this program reads: hard links, plain attributes, datasets that lie in one piece in the file.

HDF5 guards its own structure with checksums, in files of its newer layout and with one exception: the heap that keeps
values of variable length. A damaged byte there can make the library search for ever. So files are written without such
values and only read without them, and rows are read from their place in the file, past the library.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import h5py
import numpy as np

from pipeline.errors import StoreError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
CHECKED_LAYOUTS = (2, 3)             # superblock versions whose structure carries checksums
MOST_ATTRIBUTE_BYTES = 64 << 20
DAMAGE = (KeyError, ValueError, TypeError, AttributeError, OSError, RuntimeError, OverflowError, MemoryError)
MAP_FROM_BYTES = 1 << 20             # smaller arrays are read: a map costs a file handle and a page table of its own


class Extent(NamedTuple):
    """Where an array lies in a file: type, shape and the place of its first byte."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, file: BinaryIO, *, map_from: int = MAP_FROM_BYTES) -> np.ndarray:
        """The array, in memory or, when it is large, as a copy-on-write map: torch takes that without a warning.

        Args:
            file: the open file.
            map_from: bytes from which it is mapped.

        Raises:
            OSError: the file cannot be read, or is shorter than it was.
        """
        if not self.num_bytes:
            return np.zeros(self.shape, self.dtype)
        if self.num_bytes >= map_from:
            return np.asarray(np.memmap(file, self.dtype, "c", self.offset, self.shape))
        found = np.empty(self.shape, self.dtype)
        read_into(file, found, self.offset)
        return found


def read_into(file: BinaryIO, array: np.ndarray, offset: int) -> None:
    """Fill an array with the bytes at a place of a file.

    Raises:
        OSError: the file cannot be read, or ends before.
    """
    room = array.reshape(-1).view(np.uint8).data
    while room:
        count = os.preadv(file.fileno(), [room], offset)
        if not count:
            raise OSError("the file ends before its rows do")
        room, offset = room[count:], offset + count


class Group:
    """A group of an open file. What is not plain, or leads out of the file, is refused.

    Args:
        path: the file, for messages.
        size: bytes of the file.
        handle: the open group.
    """

    def __init__(self, path: Path, size: int, handle: h5py.h5g.GroupID) -> None:
        self._path, self._size, self._handle = path, size, handle

    def names(self) -> list[str]:
        """Names of what lies in the group."""
        return [name.decode("utf-8", "surrogateescape") for name in self._handle]

    def group(self, name: str) -> Group:
        """A group within.

        Raises:
            StoreError: there is none.
        """
        found = self._linked(name)
        if not isinstance(found, h5py.h5g.GroupID):
            raise StoreError(f"{self._path}: {name!r} is not a group; the store is damaged")
        return Group(self._path, self._size, found)

    def extent(self, name: str) -> Extent:
        """Where a dataset lies.

        Raises:
            StoreError: there is none, or it is compressed, in pieces, in another file, or larger than the file.
        """
        found = self._linked(name)
        layout = found.get_create_plist() if isinstance(found, h5py.h5d.DatasetID) else None
        if layout is None or layout.get_layout() != h5py.h5d.CONTIGUOUS or layout.get_external_count():
            raise StoreError(f"{self._path}: {name!r} is not a contiguous dataset inside the file; it was not written"
                             " by this program and is refused")
        shape, offset = found.shape, found.get_offset()
        extent = Extent(np.dtype(found.dtype.str), tuple(map(int, shape or ())), int(offset or 0))
        if not shape or extent.num_bytes and (
                offset is None or offset + extent.num_bytes > self._size):
            raise StoreError(f"{self._path}: {name!r} says that it is {shape}, which the file does not hold; it is"
                             " damaged")
        return extent

    def attributes(self) -> dict[str, Any]:
        """Attributes of the group: text of fixed length, numbers, and arrays of them; others are passed over."""
        found = (h5py.h5a.open(self._handle, index=index) for index in range(h5py.h5a.get_num_attrs(self._handle)))
        return dict(_attribute(attribute) for attribute in found if _is_plain(attribute))

    def _linked(self, name: str) -> Any:
        found: Any = self._handle
        for part in name.split("/"):
            key = part.encode("utf-8", "surrogateescape")
            try:
                hard = (isinstance(found, h5py.h5g.GroupID) and found.links.exists(key)
                        and found.links.get_info(key).type == h5py.h5l.TYPE_HARD)
                found = h5py.h5o.open(found, key) if hard else None
            except DAMAGE as error:
                raise StoreError(f"{self._path}: {name!r} is damaged ({first_line(error)})") from error
            if found is None:
                raise StoreError(f"{self._path}: {name!r} is missing or leads out of the file; it is damaged or not"
                                 " ours")
        return found


def _is_plain(attribute: h5py.h5a.AttrID) -> bool:
    kind = attribute.get_type()
    text = isinstance(kind, h5py.h5t.TypeStringID) and not kind.is_variable_str()
    number = isinstance(kind, (h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID))
    return (text or number) and attribute.get_storage_size() <= MOST_ATTRIBUTE_BYTES


def _attribute(attribute: h5py.h5a.AttrID) -> tuple[str, Any]:
    name = attribute.name.decode("utf-8", "surrogateescape")
    values = np.empty(attribute.shape, attribute.dtype)
    attribute.read(values)
    if values.dtype.kind != "S":
        return name, values.item() if values.shape == () else values
    texts = [text.decode("utf-8", "surrogatepass") for text in values.reshape(-1).tolist()]
    return name, texts[0] if values.shape == () else texts


@contextmanager
def opened(path: Path) -> Iterator[Group]:
    """Open an HDF5 file for reading, without a lock; yields its root.

    Raises:
        StoreError: it is no HDF5 file, cut short, or of HDF5's old layout.
    """
    expected = "expected a store made by: python -m pipeline extract"
    try:
        with path.open("rb") as file:
            head = file.read(len(SIGNATURE) + 1)
        if head[:-1] == SIGNATURE and head[-1] not in CHECKED_LAYOUTS:
            raise StoreError(f"{path} is an HDF5 file but not a feature store (it has HDF5's layout {head[-1]}, a"
                             f" store has {CHECKED_LAYOUTS[-1]}); {expected}")
        if head[:-1] != SIGNATURE:
            raise OSError("it does not begin as HDF5 files do")
        file = h5py.File(path, "r", locking=False)
        root = h5py.h5g.open(file.id, b"/")
    except DAMAGE as error:
        raise StoreError(f"{path} is not a readable HDF5 file ({first_line(error)}); {expected}") from error
    with file:
        yield Group(path, path.stat().st_size, root)


def first_line(error: Exception) -> str:
    """What an error says, without the library's stack of reasons."""
    if type(error) is KeyError:
        return f"there is no {error}"
    return (str(error).splitlines() or [type(error).__name__])[0]


def damaged(path: Path, what: str) -> StoreError:
    """The error of a file that is not what was written."""
    return StoreError(f"{path} is damaged ({what}); restore the file from a copy or extract it again")


def identity(path: Path) -> tuple[int, ...]:
    """What tells a file from the one that takes its place.

    Raises:
        StoreError: there is no file.
    """
    if not path.is_file():
        raise StoreError(f"there is no store {path}; make one with: python -m pipeline extract --dataset NAME --out"
                         f" {path}")
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@contextmanager
def reading(path: Path, opened_as: tuple[int, ...], what: str) -> Iterator[BinaryIO]:
    """A file that was looked at before, open for reading; trouble with its content is damage.

    Args:
        path: the file.
        opened_as: its :func:`identity` then.
        what: is read, for the message.

    Raises:
        StoreError: another file stands there now, or what is read is damaged.
    """
    if not path.is_file() or identity(path) != opened_as:
        raise StoreError(f"{path} was replaced after it was opened; open the store again")
    try:
        with path.open("rb", buffering=0) as file:
            yield file
    except DAMAGE as error:
        raise damaged(path, f"{what}: {first_line(error)}") from error
