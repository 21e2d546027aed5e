"""Several stores of one corpus become one: other clips, other features, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clip import Corpus, Protocol, Task
from pipeline.curation.contents import NO_FILE, Choice, RawColumn, StoreContents, gather_column, gather_feature
from pipeline.curation.verification import read_whole
from pipeline.errors import StoreError, UsageError
from pipeline.recipes import recipe_differences
from pipeline.storage.columns import Column
from pipeline.storage.layout import CLIP_COLUMNS, STATUSES
from pipeline.storage.lock import locked
from pipeline.storage.writing import write_file

MOST_CONFLICTS = 5  # that a message shows
SOURCE_COLUMNS = ("source", "source_size", "source_mtime_ns", "source_digest")
# Finished rows are better than a failure, a failure better than nothing.
RANK = np.asarray([{"missing": 0, "failed": 1}.get(status, 2) for status in STATUSES])
ADVICE = {
    "corpus": "stores of different corpora stay apart; `train` takes several with --features",
    "clip": "have both made from one reading of the annotations: extract into the older store again",
    "feature": "leave it out of one of them (python -m pipeline subset STORE --features …), or have one of them"
               " extracted as a variant, FEATURE@NAME",
    "cell": "one recipe gave other rows (another machine or library): keep one of them, python -m pipeline subset STORE"
            " --features … or --clips …",
}


@dataclass(frozen=True)
class Merged:
    """What came of a merge.

    Args:
        path: the new store.
        num_clips: clips in it.
        inputs: of each input its path, its number of clips and how many of them came with it first.
        features: clips that have rows or are known to have none, by feature.
    """

    path: Path
    num_clips: int
    inputs: tuple[tuple[Path, int, int], ...]
    features: Mapping[str, int]


@dataclass
class _Conflicts:
    """What cannot be joined, gathered so that a user sees more than the first."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, message: str) -> None:
        self.found.append((kind, message))

    def refuse(self) -> None:
        if not self.found:
            return
        lines = [message for _, message in self.found[:MOST_CONFLICTS]]
        if len(self.found) > MOST_CONFLICTS:
            lines.append(f"… and {len(self.found) - MOST_CONFLICTS} more")
        lines += [f"To do: {ADVICE[kind]}" for kind in dict.fromkeys(kind for kind, _ in self.found)]
        raise StoreError(f"the stores contradict each other (conflicts: {len(self.found):,}):\n  " + "\n  ".join(lines))


def merge(inputs: Sequence[Path], out: Path, *,
          progress: Callable[[int, int], None] = lambda done, total: None) -> Merged:
    """Join stores of one corpus that hold different clips, different features or both.

    Clips stand in the order in which they first come. A cell that is finished in one store and failed or missing in
    another is taken finished. Rows pass through a few megabytes of memory and keep their digests.

    Args:
        inputs: at least two stores.
        out: the new store; it may be one of the inputs, which is then replaced when all is written, and must not be
            there otherwise.
        progress: told how many bytes of rows are written, and of how many.

    Raises:
        UsageError: fewer than two inputs, one named twice, or ``out`` is there and no input.
        StoreError: an input cannot be read or is damaged; the inputs contradict each other (a clip's words, times,
            split, labels or file, a feature's recipe, a task's classes, a protocol, the corpus, finished rows of one
            cell); or ``out`` cannot be written.
    """
    if len({path.resolve() for path in inputs}) < max(2, len(inputs)):
        raise UsageError("merge joins at least two stores, each named once")
    if out.exists() and out.resolve() not in {path.resolve() for path in inputs}:
        raise UsageError(f"{out} is there already and is none of the stores to merge; name another --out, or add it to"
                         " them")
    with locked(out):
        files = [read_whole(path) for path in inputs]
        return _Merge(files).write(out, progress)


class _Merge:
    """Where everything of the new store comes from."""

    def __init__(self, files: Sequence[StoreContents]) -> None:
        self.files, self.conflicts = files, _Conflicts()
        self.corpus = self._join_corpora()
        self.conflicts.refuse()
        places: dict[bytes, int] = {}
        self.places = [np.asarray([places.setdefault(clip_id, len(places))
                                   for clip_id in file.clips.array("clip_id").tolist()], np.int64) for file in files]
        self.ids = [clip_id.decode("utf-8", "surrogatepass") for clip_id in places]
        self.clips = self._join_clips()
        self.features = {name: self._join_feature(name)
                         for name in sorted({name for file in files for name in file.features})}
        self.conflicts.refuse()

    def _join_corpora(self) -> Corpus:
        first = self.files[0]
        tasks: dict[str, tuple[StoreContents, Task]] = {}
        protocols: dict[str, tuple[StoreContents, Protocol]] = {}
        for file in self.files:
            for name in ("name", "licence", "terms_url", "redistribute", "citation"):
                one, other = getattr(first.corpus, name), getattr(file.corpus, name)
                if one != other:
                    self.conflicts.add("corpus", f"corpus: {name} is {one!r} in {first.path} and {other!r} in"
                                                 f" {file.path}")
            for task in file.corpus.tasks:
                known, before = tasks.setdefault(task.name, (file, task))
                if before != task:
                    self.conflicts.add("clip", f"task {task.name}: it is {_described(before)} in {known.path} and"
                                               f" {_described(task)} in {file.path}")
            for protocol in file.corpus.protocols:
                source, earlier = protocols.setdefault(protocol.name, (file, protocol))
                if earlier != protocol:
                    self.conflicts.add("clip", f"protocol {protocol.name}: {file.path} divides the clips otherwise than"
                                               f" {source.path}, or says something else of it")
        return replace(first.corpus, tasks=tuple(task for _, task in tasks.values()),
                       rendered=any(file.corpus.rendered for file in self.files),
                       protocols=tuple(protocol for _, protocol in protocols.values()))

    def _join_clips(self) -> dict[str, Column]:
        columns: dict[str, Column] = {}
        looked = [file.clips.array("source_digest") != b"" for file in self.files]
        source = self._first_that(looked)
        anyone = self._first_that([np.ones(file.num_clips, bool) for file in self.files])
        of_source = Choice(np.where(source.owner < 0, anyone.owner, source.owner),
                           np.where(source.owner < 0, anyone.place, source.place))
        for name in (*CLIP_COLUMNS, *(f"labels/{task.name}" for task in self.corpus.tasks)):
            values = [file.clips.columns.get(name) for file in self.files]
            if name in SOURCE_COLUMNS:
                choice = of_source
            else:
                choice = self._first_that([np.full(file.num_clips, value is not None)
                                           for file, value in zip(self.files, values, strict=True)])
            columns[name] = gather_column(values, choice)
            if name == "source_digest":
                self._compare(name, values, source, looked)
            elif name not in SOURCE_COLUMNS:
                self._compare(name, values, choice, [np.ones(file.num_clips, bool) for file in self.files])
        return columns

    def _first_that(self, rows: Sequence[np.ndarray]) -> Choice:
        """Of each clip the first file whose row counts."""
        owner = np.full(len(self.ids), NO_FILE, np.int64)
        place = np.zeros(len(self.ids), np.int64)
        for number, counts in enumerate(rows):
            mine = np.flatnonzero(counts)
            new = mine[owner[self.places[number][mine]] < 0]
            owner[self.places[number][new]], place[self.places[number][new]] = number, new
        return Choice(owner, place)

    def _compare(self, name: str, columns: Sequence[RawColumn | None], choice: Choice,
                 rows: Sequence[np.ndarray]) -> None:
        """Every file says of a clip what the file says that it is taken from."""
        for number, (file, column) in enumerate(zip(self.files, columns, strict=True)):
            clips = self.places[number]
            mine = np.flatnonzero(rows[number] & (choice.owner[clips] != number) & (choice.owner[clips] >= 0))
            for owner in np.unique(choice.owner[clips[mine]]).tolist():
                both = mine[choice.owner[clips[mine]] == owner]
                before = columns[owner]
                if column is None or before is None:
                    continue
                one = gather_column([before], Choice(np.zeros(len(both), np.int64), choice.place[clips[both]]))
                other = gather_column([column], Choice(np.zeros(len(both), np.int64), both))
                for row in _different(one, other).tolist():
                    label = name.removeprefix("labels/").replace("_", " ")
                    self.conflicts.add("clip", f"clip {self.ids[clips[both[row]]]}: {label} is"
                                               f" {self._shown(name, one, row)} in {self.files[owner].path} and"
                                               f" {self._shown(name, other, row)} in {file.path}")

    def _shown(self, name: str, column: Column, row: int) -> str:
        value = column[row] if isinstance(column, np.ndarray) else column.blob[
            column.offsets[row]:column.offsets[row + 1]].tobytes()
        if isinstance(value, bytes):
            return repr(value.decode("utf-8", "backslashreplace"))
        classes = self.corpus.task(name.removeprefix("labels/")).classes if name.startswith("labels/") else ()
        return repr(classes[value]) if classes and value >= 0 else "missing" if classes else f"{value}"

    def _join_feature(self, name: str) -> tuple[list[StoreContents], Choice]:
        """The files that have a feature, and whose cell each clip gets."""
        files = [file for file in self.files if name in file.features]
        first = files[0].features[name].head
        owner, place = np.full(len(self.ids), NO_FILE, np.int64), np.zeros(len(self.ids), np.int64)
        rank, digests = np.zeros(len(self.ids), np.int64), np.zeros(len(self.ids), "S32")
        for number, file in enumerate(files):
            part = file.features[name]
            if difference := _recipe_difference(first, part.head):
                self.conflicts.add("feature", f"{name}: made in another way in {file.path} than in {files[0].path}:"
                                              f" {difference}")
                continue
            clips = self.places[[other.path for other in self.files].index(file.path)]
            ranks, found = RANK[part.table.array("status")], part.table.array("digest")
            for row in np.flatnonzero((ranks == 2) & (rank[clips] == 2) & (digests[clips] != found)).tolist():
                clip = clips[row]
                self.conflicts.add("cell", f"{name} of {self.ids[clip]}: rows with digest {digests[clip].decode()} in"
                                           f" {files[owner[clip]].path} and {found[row].decode()} in {file.path}")
            better = np.flatnonzero(ranks > rank[clips])
            owner[clips[better]], place[clips[better]] = number, better
            rank[clips[better]], digests[clips[better]] = ranks[better], found[better]
        return files, Choice(owner, place)

    def write(self, out: Path, progress: Callable[[int, int], None]) -> Merged:
        """Write the new store."""
        features = {name: gather_feature(name, self.ids, [(file.path, file.features[name]) for file in files], choice)
                    for name, (files, choice) in self.features.items()}
        total = sum(int(rows.counts.sum()) * (8 + self.features[name][0][0].features[name].row_bytes)
                    for name, rows in features.items())
        attributes: dict[str, Any] = {}
        for file in reversed(self.files):
            attributes |= file.extra_attributes
        write_file(out, corpus=self.corpus, clips=self.clips, features=features.items(), attributes=attributes,
                   requests=[request for file in self.files for request in file.requests],
                   written=running_total(progress, total))
        first = self._first_that([np.ones(file.num_clips, bool) for file in self.files]).owner
        return Merged(out, len(self.ids), tuple((file.path, file.num_clips, int((first == number).sum()))
                                                for number, file in enumerate(self.files)),
                      {name: int((RANK[rows.status] == 2).sum()) for name, rows in features.items()})


def running_total(progress: Callable[[int, int], None], total: int) -> Callable[[int], None]:
    """``progress`` for a writer that tells the bytes of each block."""
    done = 0

    def count(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        progress(done, total)
    return count


def _described(task: Task) -> str:
    return "the classes " + ", ".join(task.classes) if task.classes else f"a number from {task.value_range}"


def _different(one: Column, other: Column) -> np.ndarray:
    """Rows in which two columns of one length differ; NaN equals NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        both_nan = (one != one) & (other != other)
        return np.flatnonzero((one != other) & ~both_nan)
    return np.asarray([row for row in range(len(one)) if _text(one, row) != _text(other, row)], np.int64)


def _text(column: Column, row: int) -> bytes:
    assert not isinstance(column, np.ndarray)
    return column.blob[column.offsets[row]:column.offsets[row + 1]].tobytes()


def _recipe_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What two features of one name do not share; "" for nothing that counts."""
    if one["fingerprint"] != other["fingerprint"]:
        found = [f"{key} {old!r} there, {new!r} here" for key, old, new in recipe_differences(
            one["recipe"], other["recipe"])]
        return "; ".join(found) or f"fingerprint {one['fingerprint']} there, {other['fingerprint']} here"
    keys = [key for key in ("dtype", "row_shape", "columns", "modality", "is_input") if one[key] != other[key]]
    return "; ".join(f"{key} {one[key]!r} there, {other[key]!r} here" for key in keys)
