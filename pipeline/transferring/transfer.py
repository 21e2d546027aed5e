"""One download at work: which host answers, what came, what is unpacked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pipeline.downloads import Archive, Distribution, Part, PerVideo, RemoteFile
from pipeline.errors import DatasetError, FetchError
from pipeline.speaking.speaker_tables import read_video_list
from pipeline.transferring.fetching import Algorithm, Patience, fetch
from pipeline.transferring.staging import RECORD, commit, get_ready, is_there, recorded_files, size_here, staging_folder
from pipeline.transferring.unpacking import pointers, unpack

_MOST_OF_A_VIDEO = 64 << 30  # bytes of the pictures of all faces of one video
CONNECTIONS = 8  # at a time, for corpora of many small files

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DownloadPlan:
    """What is to be done, worked out without the network.

    Args:
        distribution: the corpus.
        root: its folder, without links.
        parts: those that are not there yet.
        complete: names of the parts asked for that are.
        mirror: address that takes the place of the publisher's; "" for none.
        record: what ``download.json`` says.
    """

    distribution: Distribution
    root: Path
    parts: tuple[Part, ...]
    complete: tuple[str, ...] = ()
    mirror: str = ""
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def staging(self) -> Path:
        """Where unfinished work lies: on the same disk, so that renaming is enough at the end."""
        return staging_folder(self.root)

    @property
    def bytes_to_fetch(self) -> int:
        """As far as it is known beforehand."""
        return sum(part.size or 0 for part in self.parts)

    @property
    def bytes_on_disk(self) -> int:
        """Room that is needed at the most, besides what is there; as far as it is known beforehand."""
        archives = [archive for part in self.parts for archive in part.archives
                    if not (self.staging / "trees" / archive.staged).is_dir()]
        sizes = [(archive.file.size or 0, size_here(self.staging / archive.staged), archive.growth)
                 for archive in archives]
        return int(sum(size * growth for size, _, growth in sizes)
                   + max((size - here for size, here, _ in sizes), default=0))


@dataclass(frozen=True)
class Downloaded:
    """What :func:`download` did.

    Args:
        root: the corpus's folder.
        num_files: put there by this call.
        num_bytes: of these files.
        notes: what a user should know, one line each.
    """

    root: Path
    num_files: int
    num_bytes: int
    notes: tuple[str, ...] = ()


class Transfer:
    """One call of :func:`download`: remembers which host answers and writes down what came."""

    def __init__(self, plan: DownloadPlan, progress: Progress, patience: Patience) -> None:
        self.plan, self.progress, self.patience = plan, progress, patience
        self.journal = plan.staging / "fetched.jsonl"
        self.failed: dict[str, str] = {}  # hosts that failed, and how
        self.lock = threading.Lock()
        old = plan.record.get("parts", {})
        self.known = {entry["name"]: entry for part in old.values() for entry in part["fetched"]}
        self.known |= {entry["name"]: entry for entry in self._journalled()}
        self.indexes = {part.pointers.index.staged for part in plan.parts if part.pointers}
        self.indexes |= {of.staged for part in plan.parts for of in part.per_video}

    def tree(self, part: Part) -> Path:
        """Where the files of a part that come without an archive lie until the end."""
        return self.plan.staging / "trees" / f"files of {part.name}"

    def _trees(self, part: Part) -> list[Path]:
        return [*(self.plan.staging / "trees" / archive.staged for archive in part.archives), self.tree(part)]

    def expand(self) -> None:
        """Fetch the lists of videos that parts are published by, and plan for the files that these name."""
        parts = tuple(self._expanded(part) if part.per_video else part for part in self.plan.parts)
        self.plan = replace(self.plan, parts=parts)

    def _expanded(self, part: Part) -> Part:
        files, archives = list(part.files), list(part.archives)
        recorded = recorded_files(self.plan.record, part.name)
        for of in part.per_video:
            for video in self._videos(of):
                file = RemoteFile(of.name.format(video), of.hosts)
                if of.into is None:
                    files.append(file)
                    continue
                archive = Archive(file, most_bytes=_MOST_OF_A_VIDEO, into=of.into, listed=True)
                size = recorded.get(archive.listing, -1)
                if not is_there(self.plan.root / archive.listing, size):
                    archives.append(archive)
        return replace(part, files=tuple(files), archives=tuple(archives))

    def _videos(self, of: PerVideo) -> tuple[str, ...]:
        path = self.plan.staging / of.staged
        self._fetch(of.index, path)
        try:
            return read_video_list(path)
        except DatasetError:
            path.unlink()  # nothing vouches for it, so the next call fetches it anew
            raise

    def files_of(self, part: Part) -> tuple[RemoteFile, ...]:
        """The files of a part that come without an archive and are not in place yet; fetches their list if need be."""
        files = list(part.files)
        if part.pointers is not None:
            index = part.pointers.index
            path = self.plan.staging / index.staged
            self._fetch(index.file, path, settled=index.settled)
            try:
                found = pointers(path, strip=index.strip, only=part.pointers.only)
            except DatasetError:
                path.unlink()  # nothing vouches for it, so the next call fetches it anew
                raise
            files = [RemoteFile(name, part.pointers.hosts, size, f"sha256:{digest}")
                     for name, (digest, size) in found.items()]
        recorded = recorded_files(self.plan.record, part.name)
        return tuple(file for file in files
                     if file.name not in recorded or not is_there(self.plan.root / file.name, recorded[file.name]))

    def get(self, part: Part, files: Sequence[RemoteFile]) -> None:
        """Fetch and unpack one part."""
        for archive in part.archives:
            self._get_archive(archive)
        self._get_files(part, files)
        for name in part.expected:
            if not any((tree / name).exists() for tree in (*self._trees(part), self.plan.root)):
                raise DatasetError(f"{part.name} of {self.plan.distribution.corpus.name} came without {name}; the"
                                   f" publisher has changed its layout. Nothing was put into {self.plan.root}; what"
                                   f" came is in {self.plan.staging}")

    def _get_archive(self, archive: Archive) -> None:
        path, tree = self.plan.staging / archive.staged, self.plan.staging / "trees" / archive.staged
        if tree.is_dir():
            return
        self._fetch(archive.file, path, settled=archive.settled)
        self.progress(f"unpacking {archive.file.name}", 0, 0)
        half = self.plan.staging / "unpacking"
        shutil.rmtree(half, ignore_errors=True)
        try:
            unpack(path, half / archive.into, strip=archive.strip, only=archive.only, most_bytes=archive.most_bytes)
        except DatasetError:
            shutil.rmtree(half, ignore_errors=True)
            if not archive.file.digest:
                path.unlink()  # nothing vouches for it, so the next call fetches it anew
            raise
        if archive.listed:
            _list_files(half / archive.into, half / archive.listing)
        commit(half, tree)
        if archive.staged not in self.indexes:
            path.unlink()

    def _get_files(self, part: Part, files: Sequence[RemoteFile]) -> None:
        """Fetch files that come without an archive, several at a time."""
        total = sum(file.size or 0 for file in files)
        here = dict.fromkeys((file.name for file in files), 0)
        so_far = 0

        def one(file: RemoteFile) -> None:
            def told(done: int, _total: int) -> None:
                nonlocal so_far
                with self.lock:
                    so_far += done - here[file.name]
                    here[file.name] = done
                    self.progress(f"{len(files):,} files of {part.name}", so_far, total)
            self._fetch(file, self.tree(part) / file.name, told=told)
            told(size_here(self.tree(part) / file.name), 0)

        pool = ThreadPoolExecutor(CONNECTIONS)
        try:
            for done in [pool.submit(one, file) for file in files]:
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _fetch(self, file: RemoteFile, path: Path, *, settled: bool = True,
               told: Callable[[int, int], None] | None = None) -> None:
        """Fetch a file from the first host that gives it, and write down which one did."""
        known = self.known.get(file.name)
        if path.is_file() and known is not None and known["size"] == path.stat().st_size:
            return  # whole and checked before it got this name
        told = told or (lambda done, total: self.progress(file.name, done, total))
        algorithm, _, digest = file.digest.partition(":")
        kind: Algorithm = "md5" if algorithm == "md5" else "sha256"
        url = self._from_some_host(file, lambda url: fetch(url, path, digest=digest, algorithm=kind, size=file.size,
                                                           progress=told, patience=self.patience))
        found = file.digest or f"sha256:{_sha256(path)}"
        if settled and not file.digest and known is not None and known["digest"] != found:
            path.unlink()
            raise DatasetError(f"{url} is not the file that came on {known['date']}: {found}, expected"
                               f" {known['digest']}. If its publisher says that it was changed, remove"
                               f" {self.plan.root / RECORD} and the files, and download anew")
        self._write_down({"name": file.name, "url": url, "size": path.stat().st_size, "digest": found,
                          "digest_from": "publisher" if file.digest else "first download", "date": _now()})

    def _from_some_host(self, file: RemoteFile, fetch_from: Callable[[str], object]) -> str:
        hosts = (self.plan.mirror,) if self.plan.mirror else file.hosts
        errors: list[FetchError] = []
        for host in sorted(hosts, key=lambda host: host in self.failed):
            try:
                fetch_from(f"{host}/{file.name}")
                return f"{host}/{file.name}"
            except FetchError as error:
                errors.append(error)
                self.failed.setdefault(host, str(error))
        raise FetchError("; then ".join(dict.fromkeys(map(str, errors)))) from errors[-1]

    def _write_down(self, entry: dict[str, Any]) -> None:
        with self.lock, self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            self.known[entry["name"]] = entry

    def _journalled(self) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            for line in self.journal.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):  # a line that a kill cut short
                    yield json.loads(line)

    def finish(self) -> Downloaded:
        """Write down what came and where it goes; from now on all that is left is to move it."""
        corpus, parts = self.plan.distribution.corpus, dict(self.plan.record.get("parts", {}))
        all_trees: list[Path] = []
        num_files = num_bytes = 0
        for part in self.plan.parts:
            trees = self._trees(part)
            listings = {archive.listing for archive in part.archives if archive.listed}
            new = {path.relative_to(tree).as_posix(): path.stat().st_size
                   for tree in trees for path in tree.rglob("*") if path.is_file()}
            num_files, num_bytes = num_files + len(new), num_bytes + sum(new.values())
            if listings:
                new = {name: size for name, size in new.items() if name in listings}
            kept = {} if part.archives and not listings else {
                name: size for name, size in recorded_files(self.plan.record, part.name).items()
                if is_there(self.plan.root / name, size)}
            sources = [archive.file.name for archive in part.archives]
            sources += [part.pointers.index.file.name] if part.pointers else []
            sources += [of.index.name for of in part.per_video]
            parts[part.name] = {
                "finished": _now(), "mirror": self.plan.mirror,
                "fetched": [self.known[name] for name in dict.fromkeys([*sources, *sorted(kept | new)])
                            if name in self.known],
                "files": dict(sorted((kept | new).items()))}
            all_trees += trees
        record = {"dataset": corpus.name, "licence": corpus.licence, "terms": corpus.terms_url,
                  "citation": corpus.citation, "terms_accepted": self.plan.record.get("terms_accepted", _now()),
                  "parts": parts}
        get_ready(self.plan.root, record, all_trees, [self.plan.staging / name for name in self.indexes])
        return Downloaded(self.plan.root, num_files, num_bytes, tuple(
            f"{host} failed and another address was used: {why}" for host, why in self.failed.items()))


def _list_files(folder: Path, listing: Path) -> None:
    """Write the name, below a folder, and the size of every file in it."""
    lines = [f"{path.relative_to(folder).as_posix()},{path.stat().st_size}\n"
             for path in sorted(folder.rglob("*")) if path.is_file()]
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("name,bytes\n" + "".join(lines), encoding="utf-8")


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
