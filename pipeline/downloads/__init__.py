"""Where corpora are published: one file here is one corpus that ``download`` knows.

A file says what its publisher offers: addresses, sizes and digests as far as they are known, licence, and the place of
everything afterwards. What cannot be fetched freely says where to ask for it. A size or digest that is not known is
left out, never guessed.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.clip import Corpus
from pipeline.errors import unknown_name


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Args:
        name: its path below the host's address, slashes between; without an archive also below the corpus's folder.
        hosts: addresses of the publisher, each tried where the one before fails. A mirror takes the place of all.
        size: bytes; None where the publisher's figure is not known.
        digest: ``"sha256:…"`` or ``"md5:…"``; "" where none is known, then our own is recorded at the first download.
    """

    name: str
    hosts: tuple[str, ...]
    size: int | None = None
    digest: str = ""


@dataclass(frozen=True)
class Archive:
    """A tar or zip file and what is taken from it.

    Args:
        file: where it is.
        strip: leading folders of every name that are left off.
        only: patterns of names that are taken, after ``strip``.
        growth: bytes of its contents to its own, for the plan of the disk.
        most_bytes: contents of more than this are refused as a trap.
        settled: its bytes never change, so that another digest at a later download is an error; not so of an archive
            that a host packs anew from the present state of a repository.
        into: folder below the corpus's into which it is unpacked.
        listed: its files, too many for the record of the download, are named in a CSV file beside them instead.
    """

    file: RemoteFile
    strip: int = 0
    only: tuple[str, ...] = ("*",)
    growth: float = 1.0
    most_bytes: int = 4 << 30
    settled: bool = True
    into: str = ""
    listed: bool = False

    @property
    def staged(self) -> str:
        """What it, and what is unpacked from it, is called until all is there."""
        return self.file.name.replace("/", "~")

    @property
    def listing(self) -> str:
        """The file, below the corpus's folder, that names what is unpacked from it."""
        return f"{self.file.name.rpartition('.')[0]}.files.csv"


@dataclass(frozen=True)
class PerVideo:
    """Files of which there is one for each video of a list.

    Args:
        index: the list, of ids or addresses of videos, one in each line.
        name: of each file, below the host's address and below the corpus's folder, with ``{}`` for the video.
        hosts: addresses of the publisher.
        into: for zip archives, the folder below the corpus's into which each is unpacked; None: kept as they are.
    """

    index: RemoteFile
    name: str
    hosts: tuple[str, ...]
    into: str | None = None

    @property
    def staged(self) -> str:
        """What the list is called until all is there."""
        return self.index.name.replace("/", "~")


@dataclass(frozen=True)
class Pointers:
    """Files of a repository that keeps them in git-lfs: an archive of it holds their names, sizes and SHA-256.

    Args:
        index: the zip archive of the repository.
        only: patterns of the names wanted.
        hosts: where the files themselves are served by name.
    """

    index: Archive
    only: tuple[str, ...]
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """What ``--parts`` names.

    Args:
        name: ``"videos"``; parts ``video-01`` and ``video-02`` are also meant by ``video``.
        about: what it is, in a few words.
        archives: unpacked into the corpus's folder.
        files: put there as they are.
        pointers: files whose list is itself fetched.
        per_video: files and archives, one for each video of a list that is itself fetched.
        expected: files and folders that must be there afterwards.
        default: fetched unless ``--parts`` says otherwise.
    """

    name: str
    about: str
    archives: tuple[Archive, ...] = ()
    files: tuple[RemoteFile, ...] = ()
    pointers: Pointers | None = None
    per_video: tuple[PerVideo, ...] = ()
    expected: tuple[str, ...] = ()
    default: bool = True

    @property
    def size(self) -> int | None:
        """Bytes to fetch; None where not all are known beforehand."""
        sizes = [file.size for file in (*self.files, *(archive.file for archive in self.archives))]
        return None if self.pointers or self.per_video or None in sizes else sum(size or 0 for size in sizes)


@dataclass(frozen=True)
class Distribution:
    """How a corpus is published.

    Args:
        corpus: name, licence, terms and citation.
        about: what it is, in a few words.
        root: its folder unless ``--root`` names another.
        parts: what can be fetched.
        ask: for a corpus that cannot be fetched freely: where to ask for it and where to put it.
    """

    corpus: Corpus
    about: str
    root: Path
    parts: tuple[Part, ...] = ()
    ask: str = ""


def names() -> tuple[str, ...]:
    """Corpora that are known, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> Distribution:
    """The distribution of a corpus.

    Raises:
        UsageError: none of that name is known; the nearest are given.
    """
    if name not in names():
        raise unknown_name("corpus to download", name, names())
    found = importlib.import_module(f"{__name__}.{name}").DISTRIBUTION
    assert isinstance(found, Distribution)
    return found
