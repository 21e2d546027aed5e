"""What a store file holds, part by part and unchecked, and the one way in which cells go from files to a new file.

A reader refuses a store whose numbers make no sense; whoever looks for damage, or saves what is whole beside it, has to
see them. Rows are read through a buffer and not mapped, so that a disk's error is an error and memory stays flat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from pipeline.clip import Corpus
from pipeline.errors import StoreError
from pipeline.storage.columns import Column, Texts
from pipeline.storage.hdf5 import DAMAGE, Extent, Group, first_line, opened, read_into
from pipeline.storage.layout import (CLIP_COLUMNS, FAILURE_COLUMNS, FEATURE_TYPES, FORMAT, FORMAT_VERSION,
                                     HEAD_ATTRIBUTES, corpus_from_json, feature_head, parse_json, requests_from,
                                     table_extents)
from pipeline.storage.seals import CHECKS, row_checks
from pipeline.storage.writing import Block, FeatureRows
from pipeline.store import FeatureStore

BLOCK_BYTES = 8 << 20  # of rows that are held at a time
NO_FILE = -1           # owner of a cell that no file gives

T = TypeVar("T")


@dataclass(frozen=True)
class RawTexts:
    """Texts as they stand in a file: :class:`pipeline.storage.columns.Texts`, but the offsets may be anything."""

    blob: np.ndarray
    offsets: np.ndarray

    def encoded(self, place: int) -> bytes:
        """One text; what a wrong offset leaves of it."""
        first, last = self.offsets[place:place + 2].tolist()
        return self.blob[max(0, first):max(0, last)].tobytes()


RawColumn = np.ndarray | RawTexts


@dataclass(frozen=True)
class Table:
    """The columns of a table.

    Args:
        columns: by name, all of one length.
        checks: of each row, as written with it; None where the file has none.
    """

    columns: Mapping[str, RawColumn]
    checks: np.ndarray | None

    def array(self, name: str) -> np.ndarray:
        """A column of numbers or bytes."""
        found = self.columns[name]
        assert isinstance(found, np.ndarray)
        return found

    def intact(self, num_rows: int) -> np.ndarray:
        """Which rows are as they were written, bool (N,); all of them where nobody can tell."""
        if self.checks is None:
            return np.ones(num_rows, bool)
        return np.asarray(row_checks(self.columns) == self.checks)

    def encoded(self, name: str, place: int) -> bytes:
        """One text as its bytes."""
        column = self.columns[name]
        return column.encoded(place) if isinstance(column, RawTexts) else bytes(column[place])

    def text(self, name: str, place: int) -> str:
        """One text; bytes that are not UTF-8 are shown as such."""
        return self.encoded(name, place).decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class FeaturePart:
    """One feature of one file.

    Args:
        head: see :meth:`pipeline.store.FeatureStore.head`.
        values, times: where the rows lie.
        table: offsets, status, times_kind, digest and input of each clip.
        failures: stage, kind and message by a clip's place.
    """

    head: Mapping[str, Any]
    values: Extent
    times: Extent
    table: Table
    failures: dict[int, tuple[str, str, str]] = field(default_factory=dict)

    @property
    def counts(self) -> np.ndarray:
        """Rows of each clip, int64 (N,)."""
        return np.diff(self.table.array("offsets"))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, without its times."""
        return self.values.num_bytes // max(1, self.values.shape[0])


@dataclass(frozen=True)
class StoreContents:
    """Everything in a file.

    Args:
        path: the file.
        attributes, corpus, requests: of its head.
        clips: the clip table, ``labels/TASK`` among its columns.
        features: by name, each with its failures.
        unreadable: why a feature cannot be read, by its name.
        stray: what is wrong with the table of failures, a line each.
    """

    path: Path
    attributes: Mapping[str, Any]
    corpus: Corpus
    requests: Sequence[Mapping[str, Any]]
    clips: Table
    features: Mapping[str, FeaturePart]
    unreadable: Mapping[str, str]
    stray: Sequence[str]

    @property
    def num_clips(self) -> int:
        """Rows of the clip table."""
        return len(self.clips.array("clip_id"))

    def clip_name(self, place: int) -> str:
        """Id of a clip, fit to be shown: what does not print stands as an escape."""
        return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode()
                       for sign in self.clips.text("clip_id", place))

    @property
    def extra_attributes(self) -> dict[str, Any]:
        """Attributes of the head beside those of the format."""
        return {name: value for name, value in self.attributes.items() if name not in HEAD_ATTRIBUTES}


class OtherFormatError(StoreError):
    """A file that is no store, or one of another version: not damage, and none of our business."""


def read_contents(path: Path) -> StoreContents:
    """Read the tables of a file, without a look at what they say; rows stay where they are.

    Raises:
        OtherFormatError: the file is whole, but not of this program or of another version of it.
        StoreError: the file, its head or its clip table cannot be read at all.
    """
    with opened(path) as root:
        attributes = _guarded(path, "its head", root.attributes)
        if (attributes.get("format"), attributes.get("format_version")) != (FORMAT, FORMAT_VERSION):
            _refuse_format(path)
        corpus = _guarded(path, "what it says of its corpus",
                          lambda: corpus_from_json(parse_json(attributes["corpus"])))
        requests = _guarded(path, "its list of runs", lambda: requests_from(attributes))
        names = (*CLIP_COLUMNS, *(f"labels/{task.name}" for task in corpus.tasks))
        clips = _guarded(path, "its clip table", lambda: _read_table(path, root.group("clips"), names))
        features: dict[str, FeaturePart] = {}
        unreadable: dict[str, str] = {}
        group = _guarded(path, "its list of features", lambda: root.group("features"))
        for name in _guarded(path, "its list of features", group.names):
            try:
                features[name] = _read_feature(path, name, group.group(name), len(clips.array("clip_id")))
            except (StoreError, *DAMAGE) as error:
                unreadable[name] = first_line(error)
        try:
            failures = _read_table(path, root.group("failures"), FAILURE_COLUMNS)
            stray = _add_failures(features, unreadable, clips, failures)
        except (StoreError, *DAMAGE) as error:
            stray = [f"the table of failures cannot be read ({first_line(error)})"]
    return StoreContents(path, attributes, corpus, requests, clips, features, unreadable, stray)


def _refuse_format(path: Path) -> None:
    try:
        FeatureStore(path)
    except StoreError as error:
        raise OtherFormatError(str(error)) from error


def _guarded(path: Path, what: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except (StoreError, *DAMAGE) as error:
        raise StoreError(f"{path} is damaged ({what}: {first_line(error)})") from error


def _read_checks(path: Path, group: Group, num_rows: int) -> np.ndarray | None:
    if CHECKS not in group.names():
        return None
    extent = group.extent(CHECKS)
    if extent.dtype != np.uint32 or extent.shape != (num_rows,):
        raise ValueError(f"{CHECKS} is {extent.dtype} {extent.shape}, expected uint32 ({num_rows},)")
    with path.open("rb", buffering=0) as file:
        return extent.read(file)


def _read_table(path: Path, group: Group, names: tuple[str, ...]) -> Table:
    extents = table_extents(group, names)
    columns: dict[str, RawColumn] = {}
    with path.open("rb", buffering=0) as file:
        for name in names:
            found, offsets = extents[name].read(file), extents.get(f"{name}_offsets")
            columns[name] = found if offsets is None else RawTexts(found, offsets.read(file))
    return Table(columns, _read_checks(path, group, extents[names[0]].shape[0]))


def _read_feature(path: Path, name: str, group: Group, num_clips: int) -> FeaturePart:
    extents = {part: group.extent(part) for part in FEATURE_TYPES}
    head = feature_head(name, group.attributes(), extents, num_clips)
    with path.open("rb", buffering=0) as file:
        columns = {part: extents[part].read(file) for part in FEATURE_TYPES if part not in ("values", "times")}
    return FeaturePart(head, extents["values"], extents["times"], Table(columns, _read_checks(path, group, num_clips)))


def _add_failures(features: Mapping[str, FeaturePart], lost: Mapping[str, str], clips: Table,
                  failures: Table) -> list[str]:
    """Hand each feature its failures; what is wrong with the others."""
    length = len(failures.array("clip_id"))
    places = {clip_id: place for place, clip_id in enumerate(clips.array("clip_id").tolist())} if length else {}
    stray = []
    for row, intact in enumerate(failures.intact(length).tolist()):
        clip_id, name = failures.encoded("clip_id", row), failures.text("feature", row)
        if not intact:
            stray.append(f"row {row} of the table of failures has changed since it was written")
        elif name in features and clip_id in places:
            stage, kind, message = (failures.encoded(column, row).decode("utf-8", "surrogatepass")
                                    for column in ("stage", "kind", "message"))
            features[name].failures[places[clip_id]] = stage, kind, message
        elif name not in lost:
            stray.append(f"row {row} of the table of failures is about {failures.text('clip_id', row)}, {name}, which"
                         " is not in the store")
    return stray


@dataclass(frozen=True)
class Choice:
    """Which row of which file becomes that of each clip of a new file.

    Args:
        owner: place of the file, int64 (N,); :data:`NO_FILE` for a cell that stays missing.
        place: row of that file's clip table, int64 (N,).
    """

    owner: np.ndarray
    place: np.ndarray


def gather_column(columns: Sequence[RawColumn | None], choice: Choice) -> Column:
    """One column of a new clip table, from those of other files; nothing stands where no file gives a value.

    Args:
        columns: of each file; None for one that has no such column.
        choice: whose value each clip gets.
    """
    if any(isinstance(column, RawTexts) for column in columns):
        texts = [column.encoded(place) if owner >= 0 and isinstance(column := columns[owner], RawTexts) else b""
                 for owner, place in zip(choice.owner.tolist(), choice.place.tolist(), strict=True)]
        return Texts(np.frombuffer(b"".join(texts), np.uint8), np.cumsum([0, *map(len, texts)], dtype=np.int64))
    arrays = [column for column in columns if isinstance(column, np.ndarray)]
    absent = np.nan if arrays[0].dtype.kind == "f" else b"" if arrays[0].dtype.kind == "S" else -1
    found = np.full(len(choice.owner), absent, max((array.dtype for array in arrays), key=lambda kind: kind.itemsize))
    for number, column in enumerate(columns):
        if isinstance(column, np.ndarray):
            rows = np.flatnonzero(choice.owner == number)
            found[rows] = column[choice.place[rows]]
    if found.dtype.kind == "S":  # as wide as these need, so that the file does not tell what it was cut from
        found = found.astype(f"S{max(1, int(np.char.str_len(found).max(initial=0)))}")
    return found


def gather_feature(name: str, ids: Sequence[str], files: Sequence[tuple[Path, FeaturePart]],
                   choice: Choice) -> FeatureRows:
    """One feature of a new file, from cells of others; rows are read while they are written.

    Args:
        name: of the feature.
        ids: of the new file's clips.
        files: each with the feature, made in one way; at least one.
        choice: whose cell each clip gets.
    """
    length = len(ids)
    found: dict[str, np.ndarray] = {
        "counts": np.zeros(length, np.int64), "status": np.zeros(length, np.uint8),
        "times_kind": np.zeros(length, np.uint8), "digest": np.zeros(length, "S32"), "input": np.zeros(length, "S32")}
    failures: dict[int, tuple[str, str, str]] = {}
    for number, (_, part) in enumerate(files):
        rows = np.flatnonzero(choice.owner == number)
        places = choice.place[rows]
        found["counts"][rows] = part.counts[places]
        for column in ("status", "times_kind", "digest", "input"):
            found[column][rows] = part.table.array(column)[places]
        if part.failures:
            failures |= {row: part.failures[place] for row, place in zip(rows.tolist(), places.tolist(), strict=True)
                         if place in part.failures}
    return FeatureRows(files[0][1].head, **found, blocks=_blocks(files, choice, found["counts"]),
                       failures=[(ids[row], name, *failures[row]) for row in sorted(failures)])


def _blocks(files: Sequence[tuple[Path, FeaturePart]], choice: Choice, counts: np.ndarray) -> Iterator[Block]:
    """Rows in the order of the clips; those that lie together in a file are read together."""
    rows = np.flatnonzero(counts)
    owners, places = choice.owner[rows], choice.place[rows]
    starts = np.zeros(len(rows), np.int64)
    for number, (_, part) in enumerate(files):
        mine = owners == number
        starts[mine] = part.table.array("offsets")[places[mine]]
    stops = starts + counts[rows]
    breaks = np.flatnonzero((owners[1:] != owners[:-1]) | (starts[1:] != stops[:-1]))
    firsts, lasts = np.append(0, breaks + 1), np.append(breaks, len(rows) - 1)
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        if len(rows):
            path, part = files[owners[first]]
            with path.open("rb", buffering=0) as file:
                yield from read_rows(file, part, int(starts[first]), int(stops[last]))


def read_rows(file: BinaryIO, part: FeaturePart, start: int, stop: int) -> Iterator[Block]:
    """The rows ``[start, stop)`` of a feature with their times, some at a time.

    Raises:
        OSError: they cannot be read.
    """
    size = max(1, BLOCK_BYTES // max(1, part.row_bytes))
    for first in range(start, stop, size):
        last = min(stop, first + size)
        yield _read_span(file, part.values, first, last), _read_span(file, part.times, first, last)


def _read_span(file: BinaryIO, extent: Extent, start: int, stop: int) -> np.ndarray:
    rows = np.empty((stop - start, *extent.shape[1:]), extent.dtype)
    read_into(file, rows, extent.offset + start * (extent.num_bytes // max(1, extent.shape[0])))
    return rows
