"""Archives from elsewhere, unpacked without trusting a word of them.

Names, kinds and sizes are checked here and only the contents of plain files are copied, into files that this module
makes: no link, device, mode, owner or time of an archive is ever applied, on any release of Python.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.errors import DatasetError

MOST_MEMBERS = 200_000
POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n?")
LONGEST_POINTER = 1024  # bytes, by the specification of git-lfs

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class _Rules:
    archive: Path
    strip: int
    only: tuple[str, ...]
    most_bytes: int

    def refusal(self, name: str, why: str) -> DatasetError:
        return DatasetError(f"{self.archive} holds {name!r}, {why}; expected plain files inside one folder. Nothing of"
                            " it was kept; do not trust this archive")

    def place(self, name: str) -> PurePosixPath | None:
        """Where a member goes; None if it is not wanted."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\\" in name or not name.isprintable():
            raise self.refusal(name, "a name that leads out of its folder or cannot be shown")
        place = PurePosixPath(*parts[self.strip:])
        wanted = len(parts) > self.strip and any(fnmatch.fnmatchcase(str(place), pattern) for pattern in self.only)
        return place if wanted else None


class _Budget:
    """Counts members and bytes of an archive and all those within."""

    def __init__(self, rules: _Rules) -> None:
        self.rules, self.members, self.bytes = rules, 0, 0

    def take(self, name: str, size: int) -> None:
        self.members += 1
        self.bytes += size
        if self.members > MOST_MEMBERS or self.bytes > self.rules.most_bytes:
            raise self.rules.refusal(name, f"with which it is over {MOST_MEMBERS:,} files or"
                                           f" {self.rules.most_bytes:,} bytes")


def unpack(archive: Path, folder: Path, *, strip: int = 0, only: Sequence[str] = ("*",),
           most_bytes: int = 4 << 30) -> int:
    """Unpack a zip or a packed tar file; gzipped tar files within it are unpacked in their place.

    Args:
        archive: its kind is told by its suffix: ``.zip``, else tar.
        folder: where its files go; made, and only written in.
        strip: leading folders of every name that are left off; members above them are left out.
        only: patterns of names that are taken, after ``strip``.
        most_bytes: of contents; more are refused before they are written.

    Returns:
        Bytes written.

    Raises:
        DatasetError: damaged or not an archive; a member that is a link or device, leads out of the folder or is
            encrypted; too many bytes or members; the folder cannot be written or the disk is full.
    """
    rules = _Rules(archive, strip, tuple(only), most_bytes)
    budget = _Budget(rules)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as opened:
                for info, place in list(_zip_members(opened, budget)):
                    with opened.open(info) as source:
                        _copy(source, folder / place)
        else:
            with archive.open("rb") as file:
                _unpack_tar(file, folder, rules, budget, nested=True)
    except _BROKEN as error:
        raise DatasetError(f"{archive} is damaged or not an archive ({error}); run the same command again") from error
    except OSError as error:
        raise DatasetError(f"{archive} cannot be unpacked into {folder} ({error.strerror or error}); make room, or"
                           " choose a folder that can be written") from error
    return budget.bytes


def pointers(archive: Path, *, strip: int, only: Sequence[str]) -> dict[str, tuple[str, int]]:
    """The git-lfs files that a zip archive of a repository points to.

    Args:
        archive: the zip file.
        strip: leading folders of every name that are left off.
        only: patterns of the names wanted, after ``strip``.

    Returns:
        SHA-256 in hexadecimal digits and size in bytes by name, in the archive's order.

    Raises:
        DatasetError: damaged; a name that leads out of its folder; a file that is no pointer; none at all.
    """
    rules = _Rules(archive, strip, tuple(only), LONGEST_POINTER * MOST_MEMBERS)
    found = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            for info, place in _zip_members(opened, _Budget(rules)):
                match = POINTER.fullmatch(opened.read(info)) if info.file_size <= LONGEST_POINTER else None
                if match is None:
                    raise DatasetError(f"{archive}: {place} is no git-lfs pointer; its repository has changed how it"
                                       " keeps its media. Fetch them by hand")
                found[str(place)] = match[1].decode(), int(match[2])
    except (*_BROKEN, OSError) as error:
        raise DatasetError(f"{archive} is damaged or not an archive ({error}); run the same command again") from error
    if not found:
        raise DatasetError(f"{archive} holds no {' or '.join(only)}; its repository is laid out in another way now."
                           " Fetch the media by hand")
    return found


def _zip_members(opened: zipfile.ZipFile, budget: _Budget) -> Iterator[tuple[zipfile.ZipInfo, PurePosixPath]]:
    rules = budget.rules
    for info in opened.infolist():
        place = rules.place(info.orig_filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise rules.refusal(info.filename, "a link or device")
        if info.is_dir() or place is None:
            continue
        if info.flag_bits & 1:
            raise rules.refusal(info.filename, "which is encrypted")
        budget.take(info.filename, info.file_size)
        yield info, place


def _unpack_tar(stream: IO[bytes], folder: Path, rules: _Rules, budget: _Budget, *, nested: bool) -> None:
    """Unpack in one pass; ``nested``: gzipped tar files within are unpacked too, but none within those."""
    inner_rules = _Rules(rules.archive, 0, rules.only, rules.most_bytes)
    with tarfile.open(fileobj=stream, mode="r|*" if nested else "r|gz") as opened:
        for member in opened:
            place = rules.place(member.name)
            if not (member.isreg() or member.isdir()):
                raise rules.refusal(member.name, "a link or device")
            source = opened.extractfile(member) if place is not None and member.isreg() else None
            if source is None or place is None:
                continue
            if nested and place.name.endswith((".tar.gz", ".tgz")):
                _unpack_tar(source, folder / place.parent, inner_rules, budget, nested=False)
            else:
                budget.take(member.name, member.size)
                _copy(source, folder / place)


def _copy(source: IO[bytes], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
