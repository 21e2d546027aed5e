"""Weights on their way to a machine without a network: a folder or a zip file with a manifest that is checked.

``manifest.json`` names every file with its size and SHA-256. Whoever imports trusts neither: names, kinds, sizes and
digests are checked before a file gets its place, and the published digests are checked as well.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from pipeline.catalogue import Network, catalogue
from pipeline.errors import WeightsError
from pipeline.extractors.text_bert import hub_model
from pipeline.networks.hub import NEEDED, RECORD
from pipeline.storage.durable import Output, replacing
from pipeline.weights import Bundled, check_published, sha256, weights_folder

MANIFEST = "manifest.json"
FORMAT = "affect weights"
VERSION = 1
LARGEST_MANIFEST = 1 << 20  # bytes; a hundred files take 15 kB
BLOCK = 1 << 20
ALLOWED = re.compile(rf"[A-Za-z0-9_][\w.-]*-[0-9a-f]{{8,64}}\.(pth|safetensors)"
                     rf"|[A-Za-z0-9_][\w.-]*/({NEEDED}|{re.escape(RECORD)}|[\w-][\w.-]*\.safetensors"
                     r"|pytorch_model\.bin)", re.ASCII)

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Entry:
    """One file of a bundle.

    Args:
        path: in the weights folder, with forward slashes.
        size: bytes.
        sha256: 64 hex digits.
    """

    path: str
    size: int
    sha256: str


class _Reader(Protocol):
    """A folder or zip file that is read from."""

    names: frozenset[str]

    def size(self, name: str) -> int: ...

    def open(self, name: str) -> IO[bytes]: ...


def export_weights(target: Path, report: Report = lambda done, total: None) -> tuple[Entry, ...]:
    """Copy all weights that are here, except those that packages carry.

    Args:
        target: a file that ends in ``.zip``, which is replaced, or a folder, which is made.
        report: called with bytes done and in all.

    Returns:
        What was written, as the manifest says.

    Raises:
        WeightsError: nothing is here, a file is not the published one, or the target cannot be written.
    """
    sources = _sources(catalogue())
    if not sources:
        raise WeightsError(f"no fetched weights in {weights_folder()}; run `python -m pipeline weights fetch` first")
    entries = tuple(Entry(name, path.stat().st_size, sha256(path)) for name, path in sources.items())
    manifest = json.dumps({"format": FORMAT, "version": VERSION, "files": [asdict(entry) for entry in entries]},
                          indent=1).encode()
    write = _write_zip if target.suffix == ".zip" else _write_folder
    try:
        write(target, entries, sources, manifest, report)
    except OSError as error:
        raise WeightsError(f"{target} cannot be written ({error.strerror or error}); choose another place") from error
    return entries


def _sources(networks: Sequence[Network]) -> dict[str, Path]:
    found = {}
    for network in networks:
        published = network.published
        if isinstance(published, Bundled):
            continue
        expected = published.expected()
        for file in published.files():
            check_published(file, expected.get(file.name, ""))
            found[published.name if file == published.path else f"{published.name}/{file.name}"] = file
    return found


def _write_folder(target: Path, entries: Sequence[Entry], sources: dict[str, Path], manifest: bytes,
                  report: Report) -> None:
    counted = _counter(entries, report)
    for entry in entries:
        with sources[entry.path].open("rb") as source, replacing(target / entry.path) as output:
            _copy(source, output, entry, counted)
    with replacing(target / MANIFEST) as output:
        output.write(manifest)


def _write_zip(target: Path, entries: Sequence[Entry], sources: dict[str, Path], manifest: bytes,
               report: Report) -> None:
    counted = _counter(entries, report)
    with replacing(target) as output:
        with zipfile.ZipFile(output, "w") as archive:  # type: ignore[call-overload]  # stored: weights do not shrink
            archive.writestr(zipfile.ZipInfo(MANIFEST), manifest)
            for entry in entries:
                with sources[entry.path].open("rb") as source, \
                        archive.open(zipfile.ZipInfo(entry.path), "w", force_zip64=True) as part:
                    _copy(source, part, entry, counted)


def import_weights(source: Path, report: Report = lambda done, total: None) -> tuple[Entry, ...]:
    """Check a bundle and put its files into the weights folder; files that are there already are left as they are.

    Each file gets its name only when it is whole and right, so that an error leaves no bad file behind.

    Args:
        source: a folder or zip file that :func:`export_weights` wrote.
        report: called with bytes done and in all.

    Returns:
        What the bundle holds, all of it now here.

    Raises:
        WeightsError: it is no bundle; a name, kind, size or digest is not as it must be; a file is not the published
            one; another file is in its place; there is no room.
    """
    folder = weights_folder()
    try:
        with _reading(source) as reader:
            entries = _entries(source, _manifest(source, reader))
            _check_names(source, entries, reader)
            _check_room(source, entries, folder)
            counted = _counter(entries, report)
            for entry in sorted(entries, key=lambda entry: entry.path.endswith("/config.json")):  # last: now whole
                _import_one(source, reader, entry, folder / entry.path, counted)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{source} is no whole zip file ({error}); export it again") from error
    except (OSError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise WeightsError(f"{source} cannot be imported into {folder}"
                           f" ({getattr(error, 'strerror', None) or error})") from error
    return entries


def _import_one(source: Path, reader: _Reader, entry: Entry, target: Path, counted: Callable[[int], None]) -> None:
    if target.is_file() and target.stat().st_size == entry.size and sha256(target) == entry.sha256:
        counted(entry.size)
        return
    if target.exists():
        raise WeightsError(f"{target} is there already and is another file than {entry.path} of {source}; remove it if"
                           " the new one is to take its place")
    with reader.open(entry.path) as file, replacing(target) as output:
        _copy(file, output, entry, counted)


def _copy(source: IO[bytes], target: Output | IO[bytes], entry: Entry, counted: Callable[[int], None]) -> None:
    """Copy what the entry says, and at most one byte more."""
    state, left = hashlib.sha256(), entry.size + 1
    while block := source.read(min(BLOCK, left)):
        state.update(block)
        target.write(block)
        counted(len(block))
        left -= len(block)
    if left != 1 or state.hexdigest() != entry.sha256:
        raise WeightsError(f"{entry.path} has another digest or size than the manifest says: it was damaged or changed"
                           " on its way. Export it again")


def _counter(entries: Sequence[Entry], report: Report) -> Callable[[int], None]:
    done, total = [0], sum(entry.size for entry in entries)

    def counted(more: int) -> None:
        done[0] += more
        report(done[0], total)
    return counted


@contextmanager
def _reading(source: Path) -> Iterator[_Reader]:
    if source.is_dir():
        yield _Folder(source)
    elif source.is_file():
        with zipfile.ZipFile(source) as archive:
            yield _Zip(source, archive)
    else:
        raise WeightsError(f"there is no folder or zip file {source}; expected what `weights export` wrote")


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names = frozenset(str(path.relative_to(folder).as_posix()) for path in folder.rglob("*")
                               if not stat.S_ISDIR(path.lstat().st_mode))

    def size(self, name: str) -> int:
        return (self._folder / name).lstat().st_size

    def open(self, name: str) -> IO[bytes]:
        path = self._folder / name
        if not stat.S_ISREG(path.lstat().st_mode) \
                or path.parent.resolve() != self._folder.resolve() / Path(name).parent:
            raise WeightsError(f"{path} is a link or no plain file; refused")
        return path.open("rb")


class _Zip:
    def __init__(self, source: Path, archive: zipfile.ZipFile) -> None:
        self._source, self._archive = source, archive
        names = archive.namelist()
        self.names = frozenset(names)
        if len(self.names) != len(names):
            raise WeightsError(f"{source} holds two files of one name; refused")

    def size(self, name: str) -> int:
        return self._archive.getinfo(name).file_size

    def open(self, name: str) -> IO[bytes]:
        info = self._archive.getinfo(name)
        if stat.S_ISLNK(info.external_attr >> 16) or info.compress_type not in (zipfile.ZIP_STORED,
                                                                                zipfile.ZIP_DEFLATED):
            raise WeightsError(f"{self._source}: {name} is a link, or packed in a way that `weights export` never uses;"
                               " refused")
        return self._archive.open(info)


def _manifest(source: Path, reader: _Reader) -> Any:
    if MANIFEST not in reader.names:
        raise WeightsError(f"{source} holds no {MANIFEST}; expected a folder or zip file that `weights export` wrote")
    if reader.size(MANIFEST) > LARGEST_MANIFEST:
        raise WeightsError(f"{source}: {MANIFEST} has {reader.size(MANIFEST):,} bytes, more than any true one has;"
                           " refused")
    with reader.open(MANIFEST) as file:
        try:
            return json.loads(file.read(LARGEST_MANIFEST))
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"{source}: {MANIFEST} is not JSON ({error}); export it again") from error


def _entries(source: Path, manifest: Any) -> tuple[Entry, ...]:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT \
            or not isinstance(manifest.get("files"), list):
        raise WeightsError(f"{source}: {MANIFEST} is not one of {FORMAT}; expected what `weights export` wrote")
    if manifest.get("version") != VERSION:
        raise WeightsError(f"{source} is of version {manifest.get('version')!r}, this program reads {VERSION}; export"
                           " it with the version of this program that is to read it")
    entries = []
    for found in manifest["files"]:
        if not isinstance(found, dict) or not isinstance(found.get("path"), str) \
                or type(found.get("size")) is not int or found["size"] < 0 \
                or not re.fullmatch("[0-9a-f]{64}", str(found.get("sha256"))):
            raise WeightsError(f"{source}: {MANIFEST} has an entry without path, size and SHA-256: {found!r:.80}")
        entries.append(Entry(found["path"], found["size"], found["sha256"]))
    return tuple(entries)


def _check_names(source: Path, entries: Sequence[Entry], reader: _Reader) -> None:
    """Refuse names that leave the folder, that nothing would read, that stand twice, or that hide in the bundle."""
    names = reader.names
    known = {network.name: network.published for network in catalogue()}
    listed = [entry.path for entry in entries]
    if len(set(listed)) != len(listed):
        raise WeightsError(f"{source}: {MANIFEST} names a file twice; refused")
    if hidden := sorted(names - {*listed, MANIFEST}) or sorted({*listed} - names):
        raise WeightsError(f"{source} and its manifest do not hold the same files: {hidden[0]!r}; refused")
    for entry in entries:
        name, _, file = entry.path.partition("/")
        if not (ALLOWED.fullmatch(entry.path) or entry.path in known) or not file and name not in known:
            raise WeightsError(f"{source}: {entry.path!r} is no weight file of this program; refused")
        published = known[name] if name in known else hub_model(name.replace("--", "/"))
        expected = published.stated().get(file or name, "")
        if not entry.sha256.startswith(expected):
            raise WeightsError(f"{source}: {entry.path} is not the published file: its SHA-256 begins with"
                               f" {entry.sha256[:8]}, expected {expected[:8]}; refused")
        if reader.size(entry.path) != entry.size:
            raise WeightsError(f"{source}: {entry.path} has {reader.size(entry.path):,} bytes, the manifest says"
                               f" {entry.size:,}; refused")


def _check_room(source: Path, entries: Sequence[Entry], folder: Path) -> None:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    size, free = sum(entry.size for entry in entries), shutil.disk_usage(place).free
    if size > free:
        raise WeightsError(f"{source} unpacks to {size:,} bytes and {folder} has room for {free:,}; make room, or move"
                           " the weights with PIPELINE_WEIGHTS")
