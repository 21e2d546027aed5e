"""Media files found by their names: which lie below a folder, which names are wrong and why, which are no files yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pipeline.datasets._table import shown
from pipeline.errors import DatasetError
from pipeline.transferring.unpacking import LONGEST_POINTER, POINTER

T = TypeVar("T")
_MANY = 8


def find_media(root: Path, suffixes: Collection[str]) -> list[Path]:
    """Files below a folder, by folder and name; hidden ones, and what macOS leaves beside files, are passed over.

    Links to folders are followed, each folder once.

    Args:
        root: a folder.
        suffixes: of the files wanted, in small letters: ``".wav"``.

    Raises:
        DatasetError: a folder cannot be read.
    """
    def refuse(error: OSError) -> None:
        raise DatasetError(f"{error.filename} cannot be read: {error.strerror}; check the disk and the permissions")

    found: list[Path] = []
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__MACOSX")))
        found += [Path(folder, name) for name in sorted(names)
                  if not name.startswith(".") and Path(name).suffix.lower() in suffixes]
    return found


def read_names(paths: Iterable[Path], parse: Callable[[Path], T]) -> tuple[list[tuple[Path, T]], list[str]]:
    """What files' names say.

    Args:
        paths: the files.
        parse: gives what a name says, or raises ``ValueError`` with the reason why it says nothing.

    Returns:
        The files with what their names say, and of every other one its name with the reason.
    """
    good: list[tuple[Path, T]] = []
    wrong: list[str] = []
    for path in paths:
        try:
            good.append((path, parse(path)))
        except ValueError as error:
            wrong.append(f"{shown(path.name)} ({error})")
    return good, wrong


def num_pointers(paths: Iterable[Path]) -> int:
    """How many of some files are git-LFS pointers: text of a hundred bytes that stands for a file not yet fetched.

    No media are opened: only files too short to be any are read.
    """
    return sum(map(_is_pointer, paths))


def listed(names: Sequence[str], *, joint: str = ", ") -> str:
    """The first few of many.

    >>> listed([str(number) for number in range(10)])
    '0, 1, 2, 3, 4, 5, 6, 7 and 2 more'
    """
    rest = len(names) - _MANY
    return joint.join(names[:_MANY]) + (f" and {rest:,} more" if rest > 0 else "")


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "file"), counted(1440, "file")
    ('1 file', '1,440 files')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _is_pointer(path: Path) -> bool:
    try:
        return 0 < path.stat().st_size <= LONGEST_POINTER and POINTER.match(path.read_bytes()) is not None
    except OSError:
        return False  # what cannot be looked at is found when it is opened
