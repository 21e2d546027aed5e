"""Reading all of a store against what was noted when it was written, and naming what is wrong."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.curation.contents import FeaturePart, OtherFormatError, StoreContents, read_contents, read_rows
from pipeline.curation.findings import DONE, EMPTY, NO_REASON, Finding, check_clips, check_notes
from pipeline.errors import StoreError
from pipeline.storage.hdf5 import first_line
from pipeline.storage.layout import STATUSES, TIMES_KINDS
from pipeline.storage.shards import finished_shards, shard_folder
from pipeline.store import FeatureStore

TASK_BYTES = 16 << 20  # rows that one thread checks at a time
OLD_FILE = "has no check values of its tables (made by an older version): only rows could be checked"


@dataclass(frozen=True)
class FileCheck:
    """What was found in one file.

    Args:
        path: the file.
        contents: what is in it; None where it cannot be read at all.
        damaged: could it not be read because of damage, and not because another program or version made it?
        findings: what is wrong.
    """

    path: Path
    contents: StoreContents | None = None
    damaged: bool = False
    findings: list[Finding] = field(default_factory=list)

    @property
    def sealed(self) -> bool:
        """Has the file check values of its tables?"""
        return self.contents is None or self.contents.clips.checks is not None


@dataclass(frozen=True)
class Verification:
    """What reading a store with its shards found.

    Args:
        store: as asked for.
        files: what was found in the packed file and in each shard.
        num_bytes: rows and times that were read.
    """

    store: Path
    files: tuple[FileCheck, ...]
    num_bytes: int

    @property
    def findings(self) -> list[Finding]:
        """All that is wrong, file by file."""
        return [finding for file in self.files for finding in file.findings]

    @property
    def notes(self) -> list[str]:
        """What could not be checked, a line each."""
        return [f"{file.path} {OLD_FILE}" for file in self.files if not file.sealed]

    @property
    def summary(self) -> str:
        """What was found, in a line."""
        contents = [file.contents for file in self.files if file.contents is not None]
        shards = sum(file.path != self.store for file in self.files)
        read = (f"clips: {max((content.num_clips for content in contents), default=0):,}, features:"
                f" {len({name for content in contents for name in content.features})}"
                + (f", shards: {shards:,}" if shards else "") + f", rows read: {self.num_bytes / 1e6:,.1f} MB")
        if not self.findings:
            return f"{self.store} is whole ({read})"
        clips = {finding.clip for finding in self.findings if finding.place >= 0}
        return f"{self.store} is not whole: findings: {len(self.findings):,}, clips concerned: {len(clips):,} ({read})"

    def to_json(self) -> dict[str, Any]:
        """For programs, in JSON's types: ``{"store", "whole": bool, "bytes", "files": [{"path", "clips", "cells":
        {feature: {"done", "empty", "failed", "missing"}}}], "findings": [{"file", "kind", "clip", "feature",
        "message"}], "notes": [text]}``; ``clip`` and ``feature`` are "" where a finding is not about one, ``clips`` is
        null where a file cannot be read."""
        return {
            "store": str(self.store), "whole": not self.findings, "bytes": self.num_bytes,
            "files": [{"path": str(file.path), "clips": file.contents.num_clips if file.contents else None,
                       "cells": {name: _counts(part) for name, part in file.contents.features.items()} if file.contents
                       else {}} for file in self.files],
            "findings": [{"file": str(finding.file), "kind": finding.kind, "clip": finding.clip,
                          "feature": finding.feature, "message": finding.message} for finding in self.findings],
            "notes": self.notes,
        }


def _counts(part: FeaturePart) -> dict[str, int]:
    return dict(zip(STATUSES, np.bincount(part.table.array("status"), minlength=len(STATUSES)).tolist()))


def store_files(store: Path) -> list[Path]:
    """The packed file and the finished shards beside it, as far as they are there.

    Raises:
        StoreError: there are none.
    """
    found = [*([store] if store.is_file() else []), *finished_shards(shard_folder(store))]
    if not found:
        raise StoreError(f"there is no store {store} and no shard beside it; make one with: python -m pipeline extract"
                         f" --dataset NAME --out {store}")
    return found


def verify(store: Path, *, jobs: int = 0, progress: Callable[[int, int], None] = lambda done, total: None
           ) -> Verification:
    """Read every row of a store and of its shards against its digest, and every table against its check values.

    Args:
        store: the packed file; its shards lie in ``STORE.shards``.
        jobs: threads; 0 means one for each core.
        progress: told how many bytes of rows are read, and of how many.

    Returns:
        What was found; a store that nothing is wrong with has no findings.

    Raises:
        StoreError: there is neither the store nor a shard.
    """
    files = [_check_head(path) for path in store_files(store)]
    work = [task for file in files for task in _tasks(file)]
    total, done = sum(task.num_bytes for task in work), 0
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1, thread_name_prefix="verify") as pool:
        for task, found in zip(work, pool.map(_check_rows, work)):
            done += task.num_bytes
            progress(done, total)
            task.file.findings.extend(found)
    for file in files:
        file.findings.sort(key=lambda finding: (finding.feature, finding.place))
    return Verification(store, tuple(files), total)


def _check_head(path: Path) -> FileCheck:
    try:
        contents = read_contents(path)
    except StoreError as error:
        return FileCheck(path, None, not isinstance(error, OtherFormatError), [Finding(path, "file", str(error))])
    findings = list(check_clips(contents))
    bad_clips = {finding.place for finding in findings}
    findings += [Finding(path, "feature", f"cannot be read: {why}", feature=name)
                 for name, why in contents.unreadable.items()]
    cells = [finding for name in sorted(contents.features) for finding in check_notes(contents, name)]
    unexplained = [finding for finding in cells if finding.message == NO_REASON]
    if not unexplained:  # otherwise these are the two sides of one damage
        findings += [Finding(path, "failures", what) for what in contents.stray]
    cells = [finding for finding in cells if finding not in unexplained or finding.place not in bad_clips]
    return FileCheck(path, contents, findings=findings + cells)


def read_whole(path: Path) -> StoreContents:
    """The contents of a packed store whose tables nothing is wrong with; rows are not looked at.

    Raises:
        StoreError: something is wrong, the store is not there, or finished shards beside it are not packed.
    """
    FeatureStore(path)  # says what is wrong at large
    if shards := finished_shards(shard_folder(path)):
        raise StoreError(f"{path} has {len(shards)} finished shards beside it that are not packed; join them first:"
                         f" python -m pipeline pack {path}")
    found = _check_head(path)
    wrong = [finding for finding in found.findings if finding.kind != "label"]
    if wrong or found.contents is None:
        about = " ".join(part for part in (wrong[0].clip, wrong[0].feature) if part)
        raise StoreError(f"{path} is damaged ({about}: {wrong[0].message}; findings: {len(wrong):,}); see all:"
                         f" python -m pipeline verify {path}")
    return found.contents


@dataclass(frozen=True)
class _Task:
    """Some clips of one feature of one file, whose rows one thread checks."""

    file: FileCheck
    contents: StoreContents
    feature: str
    places: np.ndarray
    num_bytes: int


def _tasks(file: FileCheck) -> Iterator[_Task]:
    """Cells with a digest that nothing is known against, in pieces of about :data:`TASK_BYTES`."""
    if file.contents is None:
        return
    known: dict[str, set[int]] = {}
    for finding in file.findings:
        if finding.kind == "cell":
            known.setdefault(finding.feature, set()).add(finding.place)
    for name, part in sorted(file.contents.features.items()):
        there = np.flatnonzero(np.isin(part.table.array("status"), (DONE, EMPTY)))
        places = there[~np.isin(there, list(known.get(name, ())))]
        sizes = part.counts[places] * (part.row_bytes + 8)
        edges = np.flatnonzero(np.diff(np.cumsum(sizes) // TASK_BYTES)) + 1
        for some, amount in zip(np.split(places, edges), np.split(sizes, edges), strict=True):
            if len(some):
                yield _Task(file, file.contents, name, some, int(amount.sum()))


def _check_rows(task: _Task) -> list[Finding]:
    part, path = task.contents.features[task.feature], task.contents.path
    digests, found = part.table.array("digest"), []
    with path.open("rb", buffering=0) as file:
        for place in task.places.tolist():
            try:
                problem = _cell_problem(file, part, place, digests[place].decode("ascii", "replace"))
            except OSError as error:
                problem = f"its rows cannot be read ({error.strerror or first_line(error)})"
            if problem:
                found.append(Finding(path, "cell", problem, task.contents.clip_name(place), task.feature, place))
    return found


def _cell_problem(file: BinaryIO, part: FeaturePart, place: int, digest: str) -> str:
    """What is wrong with the rows of one clip; "" for nothing.

    The digest is that of :func:`pipeline.storage.packing.rows_digest`, worked out block by block and also of rows that
    no reader would take.
    """
    start, stop = part.table.array("offsets")[place:place + 2].tolist()
    kind, shape = TIMES_KINDS[part.table.array("times_kind")[place]], (stop - start, *part.values.shape[1:])
    state = hashlib.sha256(f"{part.values.dtype}{shape}{kind}".encode())
    all_times, num_wrong = [np.zeros((0, 2), np.float32)], 0
    for values, times in read_rows(file, part, start, stop):
        state.update(values.data)
        all_times.append(times)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            num_wrong += int((~np.isfinite(values).reshape(len(values), -1).all(axis=1)).sum())
    times = np.concatenate(all_times)
    state.update(times.data)
    if state.hexdigest()[:32] != digest:
        return "rows or times differ from their digest"
    if num_wrong:
        return f"{num_wrong} of {stop - start} rows hold NaN or infinity, as they were made"
    return _times_problem(times, kind)


def _times_problem(times: np.ndarray, kind: str) -> str:
    if kind == "none":
        return "" if np.isnan(times).all() else "there are times where it says that there are none, as it was made"
    with np.errstate(invalid="ignore"):
        right = np.isfinite(times).all(axis=1) & (times[:, 0] >= 0) & (times[:, 0] <= times[:, 1])
    return "" if right.all() else (f"{int((~right).sum())} of {len(times)} rows have times that are not finite, start"
                                   " before 0 or stop before they start, as they were made")
