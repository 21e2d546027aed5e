"""Writing feature files: clips and cells become one packed store; several stores become one."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import pipeline
from pipeline.clip import Clip, Corpus, Label
from pipeline.config import digest, to_json
from pipeline.durable import replacing
from pipeline.errors import StoreError
from pipeline.media import FeatureSequence, TimesKind
from pipeline.store import (
    CLIP_COLUMNS, FAILURE_COLUMNS, FORMAT, FORMAT_VERSION, NUMBER_COLUMNS, STATUSES, TEXT_COLUMNS, TIMES_KINDS,
    FeatureStore,
)

BLOCK_BYTES = 32 << 20  # rows are written in blocks of about this size, so that packing stays flat in memory


@dataclass(frozen=True)
class SourceRecord:
    """What a clip's source file was when its features were made.

    Args:
        size: bytes.
        mtime_ns: time of the last change, to see cheaply that nothing changed.
        digest: SHA-256 (first 32 hex digits) of the bytes; "" where there is no file.
    """

    size: int = 0
    mtime_ns: int = 0
    digest: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a clip has no rows of a feature."""

    stage: str
    kind: str
    message: str


@dataclass(frozen=True)
class Cell:
    """One clip's part of one feature.

    Args:
        status: one of :data:`pipeline.store.STATUSES`.
        num_rows: length T of the sequence.
        load: gives the sequence when it is written, so that packing holds few of them; None for no rows.
        digest: of the rows.
        input: digest of what the rows were made from.
        times_kind: of the sequence.
        failure: why there are no rows.
    """

    status: str = "missing"
    num_rows: int = 0
    load: Callable[[], FeatureSequence] | None = None
    digest: str = ""
    input: str = ""
    times_kind: TimesKind = "measured"
    failure: Failure | None = None

    @classmethod
    def of(cls, sequence: FeatureSequence, *, input: str = "") -> Cell:
        """The cell of a finished sequence: done, or empty when it has no rows."""
        return cls("done" if len(sequence.values) else "empty", len(sequence.values), lambda: sequence,
                   rows_digest(sequence), input, sequence.times_kind)

    @classmethod
    def failed(cls, failure: Failure, *, input: str = "") -> Cell:
        """The cell of a clip that could not be used."""
        return cls("failed", input=input, failure=failure)


@dataclass(frozen=True)
class FeatureData:
    """One feature over some clips.

    Args:
        modality: what the rows describe.
        row_shape: shape of one row.
        recipe: how it was made, JSON types; its ``"fingerprint"`` is taken from it or worked out.
        sequences: finished rows by clip id.
        cells: as ``sequences``, for cells that are loaded late or that failed.
        dtype: ``"float32"`` or ``"uint8"``.
        columns: names of mixed columns.
        is_input: is it meant for models?
    """

    modality: str
    row_shape: tuple[int, ...]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    sequences: Mapping[str, FeatureSequence] = field(default_factory=dict)
    cells: Mapping[str, Cell] = field(default_factory=dict)
    dtype: str = "float32"
    columns: tuple[str, ...] = ()
    is_input: bool = True

    def cell(self, clip_id: str) -> Cell:
        """The cell of a clip; "missing" where there is none."""
        if clip_id in self.sequences:
            return Cell.of(self.sequences[clip_id])
        return self.cells.get(clip_id, Cell())


def rows_digest(sequence: FeatureSequence) -> str:
    """SHA-256 (first 32 hex digits) of a sequence's shape, values and times."""
    state = hashlib.sha256(f"{sequence.values.dtype}{sequence.values.shape}{sequence.times_kind}".encode())
    state.update(np.ascontiguousarray(sequence.values).data)
    state.update(np.ascontiguousarray(sequence.times).data)
    return state.hexdigest()[:32]


def write_store(path: Path, *, corpus: Corpus, clips: Sequence[Clip], features: Mapping[str, FeatureData],
                sources: Mapping[str, SourceRecord] | None = None, attributes: Mapping[str, Any] | None = None) -> Path:
    """Write a packed store; the file appears whole or not at all.

    Args:
        path: the file to make or replace.
        corpus: what is known of the corpus; its tasks name the label columns.
        clips: the clip table, in this order.
        features: by name.
        sources: what each clip's file was, by clip id.
        attributes: further values for the head of the file.

    Returns:
        ``path``.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
        ValueError: two clips have one id, a label is not one of its task's classes, a name of a feature has a slash in
            it, or rows are not of the feature's shape and type.
    """
    ids = [clip.clip_id for clip in clips]
    if len(set(ids)) != len(ids):
        raise ValueError("two clips have the same id")
    if wrong := [name for name in features if not name or "/" in name or name.startswith(".")]:
        raise ValueError(f"a feature's name is not empty, has no '/' and no '.' in front, found {wrong[0]!r}")
    try:
        with replacing(path) as output:
            with h5py.File(output, "w", libver="v110", alignment_threshold=1, alignment_interval=4096) as file:
                file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION, "dataset": corpus.name,
                                   "corpus": json.dumps(to_json(corpus), ensure_ascii=False),
                                   "pipeline_version": pipeline.__version__,
                                   "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                                   **(attributes or {})})
                _write_clips(file.create_group("clips"), clips, corpus, sources or {})
                failures: list[dict[str, str]] = []
                group = file.create_group("features")
                for name in sorted(features):
                    cells = {clip_id: features[name].cell(clip_id) for clip_id in ids}
                    _write_feature(group.create_group(name), features[name], cells, check=output.check)
                    failures += [{"clip_id": clip_id, "feature": name, **dataclasses.asdict(cell.failure)}
                                 for clip_id, cell in cells.items() if cell.failure is not None]
                table = file.create_group("failures")
                for column in FAILURE_COLUMNS:
                    write_column(table, column, [failure[column] for failure in failures])
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; what was there before is unchanged. Check"
                         " free space and permissions, then run the same command again") from error
    return path


def _write_clips(group: h5py.Group, clips: Sequence[Clip], corpus: Corpus,
                 sources: Mapping[str, SourceRecord]) -> None:
    records = [sources.get(clip.clip_id, SourceRecord()) for clip in clips]
    columns: dict[str, list[Any]] = {
        "source": ["" if clip.source is None else str(clip.source) for clip in clips],
        "stop_seconds": [np.nan if clip.stop_seconds is None else clip.stop_seconds for clip in clips],
        "source_size": [record.size for record in records],
        "source_mtime_ns": [record.mtime_ns for record in records],
        "source_digest": [record.digest for record in records],
    }
    for name in CLIP_COLUMNS:
        write_column(group, name, columns[name] if name in columns else [getattr(clip, name) for clip in clips])
    labels = group.create_group("labels")
    for task in corpus.tasks:
        found = [clip.labels.get(task.name) for clip in clips]
        if task.classes:
            places: dict[Label, int] = {label: index for index, label in enumerate(task.classes)}
            unknown = {label for label in found if label is not None} - places.keys()
            if unknown:
                raise ValueError(f"task {task.name!r} has no class {sorted(map(str, unknown))[0]!r}")
            labels.create_dataset(task.name, data=np.asarray([-1 if label is None else places[label]
                                                              for label in found], np.int64))
        else:
            labels.create_dataset(task.name, data=np.asarray([np.nan if label is None else label
                                                              for label in found], np.float32))


def write_column(group: h5py.Group, name: str, values: list[Any]) -> None:
    """Write one column: text as one run of bytes with offsets, names as fixed-length bytes, numbers as they are.

    File names that are not UTF-8 stand in Python's text as lone surrogates; they come back as they were.
    """
    if name in NUMBER_COLUMNS:
        group.create_dataset(name, data=np.asarray(values, NUMBER_COLUMNS[name]))
        return
    encoded = [value.encode("utf-8", "surrogatepass") for value in values]
    if name in TEXT_COLUMNS or name == "message":
        group.create_dataset(name, data=np.frombuffer(b"".join(encoded), np.uint8))
        group.create_dataset(f"{name}_offsets", data=np.cumsum([0, *map(len, encoded)], dtype=np.int64))
    else:
        width = max([1, *map(len, encoded)])
        group.create_dataset(name, data=np.asarray(encoded, f"S{width}"))


def _write_feature(group: h5py.Group, feature: FeatureData, cells: Mapping[str, Cell], *,
                   check: Callable[[], None]) -> None:
    recipe = to_json(feature.recipe)
    group.attrs.update({"recipe": json.dumps(recipe, ensure_ascii=False), "modality": feature.modality,
                        "fingerprint": recipe.get("fingerprint") or digest(recipe), "is_input": feature.is_input,
                        "row_shape": np.asarray(feature.row_shape, np.int64)})
    if feature.columns:
        group.attrs["columns"] = np.asarray(feature.columns, h5py.string_dtype())
    in_order = list(cells.values())
    offsets = np.cumsum([0, *(cell.num_rows for cell in in_order)], dtype=np.int64)
    group.create_dataset("offsets", data=offsets)
    codes = {"status": [STATUSES.index(cell.status) for cell in in_order],
             "times_kind": [TIMES_KINDS.index(cell.times_kind) for cell in in_order]}
    for name, numbers in codes.items():
        group.create_dataset(name, data=np.asarray(numbers, np.uint8))
    group.create_dataset("digest", data=np.asarray([cell.digest.encode() for cell in in_order], "S32"))
    group.create_dataset("input", data=np.asarray([cell.input.encode() for cell in in_order], "S32"))
    num_rows = int(offsets[-1])
    values = group.create_dataset("values", (num_rows, *feature.row_shape), feature.dtype)
    times = group.create_dataset("times", (num_rows, 2), np.float32)
    row = 0
    for block in iter_blocks(_load(feature, clip_id, cell) for clip_id, cell in cells.items()):
        stop = row + sum(len(sequence.values) for sequence in block)
        values[row:stop] = np.concatenate([sequence.values for sequence in block])
        times[row:stop] = np.concatenate([sequence.times for sequence in block])
        row = stop
        check()


def _load(feature: FeatureData, clip_id: str, cell: Cell) -> FeatureSequence:
    """The rows of a cell, which are what the cell and the feature say; HDF5 would stretch a wrong shape to fit."""
    if cell.load is None or not cell.num_rows:
        return FeatureSequence.empty(feature.row_shape, feature.dtype)
    rows = cell.load()
    expected = (cell.num_rows, *feature.row_shape)
    if rows.values.shape != expected or rows.values.dtype != feature.dtype:
        raise ValueError(f"rows of {clip_id} are {rows.values.dtype} {rows.values.shape}, expected {feature.dtype}"
                         f" {expected}")
    return rows


def iter_blocks(sequences: Iterable[FeatureSequence], *,
                block_bytes: int = BLOCK_BYTES) -> Iterator[list[FeatureSequence]]:
    """Gather sequences, in order, into lists of about ``block_bytes``; those without rows are left out."""
    waiting: list[FeatureSequence] = []
    size = 0
    for sequence in sequences:
        if not len(sequence.values):
            continue
        waiting.append(sequence)
        size += sequence.values.nbytes
        if size >= block_bytes:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def stored_clips(store: FeatureStore) -> list[Clip]:
    """The clip table of a store as clips again, labels included.

    Raises:
        StoreError: the table is damaged.
    """
    tasks = {task.name: (task, store.labels(task.name)) for task in store.corpus.tasks}
    columns = {name: store.column(name).tolist() for name in CLIP_COLUMNS}
    clips = []
    for index in range(store.num_clips):
        labels: dict[str, Any] = {}
        for name, (task, values) in tasks.items():
            if task.classes and values[index] >= 0:
                labels[name] = task.classes[values[index]]
            elif not task.classes and not np.isnan(values[index]):
                labels[name] = float(values[index])
        stop = columns["stop_seconds"][index]
        try:
            clips.append(Clip(
                clip_id=columns["clip_id"][index], labels=labels, stop_seconds=None if np.isnan(stop) else stop,
                source=Path(columns["source"][index]) if columns["source"][index] else None,
                **{name: columns[name][index] for name in ("start_seconds", "text", "speaker", "dialogue", "turn",
                                                           "split", "group")}))
        except ValueError as error:
            raise StoreError(f"{store.path}: row {index} of the clip table is damaged ({error})") from error
    return clips


def stored_cells(store: FeatureStore, feature: str) -> dict[str, Cell]:
    """The cells of one feature of a store by clip id; rows stay in the file until they are wanted."""
    statuses = store.status(feature)
    counts = np.diff(store.offsets(feature))
    digests, inputs, kinds = store.cell_digests(feature), store.input_digests(feature), store.times_kinds(feature)
    failures = {row["clip_id"]: Failure(row["stage"], row["kind"], row["message"])
                for row in store.failures.to_dict("records") if row["feature"] == feature}
    cells = {}
    for index, clip_id in enumerate(store.column("clip_id").tolist()):
        if statuses[index] == "missing":
            continue
        cells[clip_id] = Cell(
            str(statuses[index]), int(counts[index]),
            functools.partial(store.cell, index, feature) if counts[index] else None,
            digests[index].decode(), inputs[index].decode(), TIMES_KINDS[kinds[index]], failures.get(clip_id))
    return cells


def stored_sources(store: FeatureStore) -> dict[str, SourceRecord]:
    """What each clip's source was when the store was made, by clip id."""
    return {clip_id: SourceRecord(int(size), int(mtime), digest) for clip_id, size, mtime, digest in zip(
        store.column("clip_id").tolist(), store.column("source_size").tolist(),
        store.column("source_mtime_ns").tolist(), store.column("source_digest").tolist(), strict=True)}
