"""Clips and cells become a store, and come back from one."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clip import Clip, Corpus, Label, Task
from pipeline.errors import StoreError
from pipeline.media import FeatureSequence, TimesKind
from pipeline.storage.columns import Column, encode_names, encode_texts
from pipeline.storage.writing import FeatureRows, write_file
from pipeline.store import (CLIP_COLUMNS, FAILURE_COLUMNS, NUMBER_COLUMNS, STATUSES, TEXT_COLUMNS, TIMES_KINDS,
                            FeatureStore)

_FRAGMENT = re.compile(r"(.+)#xywh=percent:" + ",".join([r"(\d+\.?\d*(?:e-\d+)?)"] * 4), re.DOTALL)
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
                sources: Mapping[str, SourceRecord] | None = None, attributes: Mapping[str, Any] | None = None,
                requests: Sequence[Mapping[str, Any]] = ()) -> Path:
    """Write a packed store; the file appears whole or not at all.

    Args:
        path: the file to make or replace.
        corpus: what is known of the corpus; its tasks name the label columns.
        clips: the clip table, in this order.
        features: by name.
        sources: what each clip's file was, by clip id.
        attributes: further text and numbers for the head of the file.
        requests: the runs that made the store, oldest first, JSON types; see ``docs/format.md``.

    Returns:
        ``path``.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
        ValueError: two clips have one id, a label is not one of its task's classes, a name of a feature is empty, not
            printable, has a slash in it or begins with a dot, or rows are not of the feature's shape and type.
    """
    ids = [clip.clip_id for clip in clips]
    if len(set(ids)) != len(ids):
        raise ValueError("two clips have the same id")
    if wrong := [name for name in features if not name or "/" in name or name[0] == "." or not name.isprintable()]:
        raise ValueError("a feature's name is printable, not empty, has no '/' and no '.' in front, found"
                         f" {wrong[0]!r}")
    return write_file(path, corpus=corpus, clips=clip_columns(clips, corpus, sources or {}), requests=requests,
                      features=((name, _feature_rows(name, features[name], ids)) for name in sorted(features)),
                      attributes=attributes)


def clip_columns(clips: Sequence[Clip], corpus: Corpus, sources: Mapping[str, SourceRecord]) -> dict[str, Column]:
    """The clip table as its columns are stored, ``labels/TASK`` among them.

    Raises:
        ValueError: a label is not one of its task's classes.
    """
    records = [sources.get(clip.clip_id, SourceRecord()) for clip in clips]
    lists: dict[str, list[Any]] = {
        "source": [_source_text(clip) for clip in clips],
        "stop_seconds": [np.nan if clip.stop_seconds is None else clip.stop_seconds for clip in clips],
        "source_size": [record.size for record in records],
        "source_mtime_ns": [record.mtime_ns for record in records],
        "source_digest": [record.digest for record in records],
    }
    columns: dict[str, Column] = {}
    for name in CLIP_COLUMNS:
        values = lists[name] if name in lists else [getattr(clip, name) for clip in clips]
        if name in NUMBER_COLUMNS:
            columns[name] = np.asarray(values, NUMBER_COLUMNS[name])
        else:
            columns[name] = encode_texts(values) if name in TEXT_COLUMNS else encode_names(values)
    for task in corpus.tasks:
        columns[f"labels/{task.name}"] = _label_column(task, [clip.labels.get(task.name) for clip in clips])
    return columns


def _source_text(clip: Clip) -> str:
    """The file, and the part of its picture as a media fragment (W3C 2012): ``a.avi#xywh=percent:50,0,50,100``."""
    if clip.source is None or clip.view is None:
        return "" if clip.source is None else str(clip.source)
    left, top, right, bottom = (100 * share for share in clip.view)
    return f"{clip.source}#xywh=percent:{left!r},{top!r},{right - left!r},{bottom - top!r}"


def _read_source(text: str) -> tuple[Path | None, tuple[float, float, float, float] | None]:
    match = _FRAGMENT.fullmatch(text)
    if match is None:
        return Path(text) if text else None, None
    left, top, width, height = (float(match[place]) / 100 for place in range(2, 6))
    return Path(match[1]), (left, top, min(1.0, left + width), min(1.0, top + height))


def _label_column(task: Task, labels: list[Label | None]) -> np.ndarray:
    if not task.classes:
        return np.asarray([np.nan if label is None else label for label in labels], np.float32)
    places: dict[Label, int] = {label: index for index, label in enumerate(task.classes)}
    if unknown := {label for label in labels if label is not None} - places.keys():
        raise ValueError(f"task {task.name!r} has no class {sorted(map(str, unknown))[0]!r}")
    return np.asarray([-1 if label is None else places[label] for label in labels], np.int64)


def _feature_rows(name: str, feature: FeatureData, ids: Sequence[str]) -> FeatureRows:
    """A feature's cells as the arrays that are written; only one feature's are held at a time."""
    counts, codes = np.zeros(len(ids), np.int64), np.zeros((2, len(ids)), np.uint8)
    digests, inputs = np.zeros(len(ids), "S32"), np.zeros(len(ids), "S32")
    failures: list[tuple[str, ...]] = []
    for place, clip_id in enumerate(ids):
        cell = feature.cell(clip_id)
        counts[place] = cell.num_rows
        codes[:, place] = STATUSES.index(cell.status), TIMES_KINDS.index(cell.times_kind)
        digests[place], inputs[place] = cell.digest.encode(), cell.input.encode()
        if cell.failure is not None:
            failures.append((clip_id, name, *dataclasses.astuple(cell.failure)))
    head = {"modality": feature.modality, "row_shape": feature.row_shape, "recipe": feature.recipe,
            "dtype": feature.dtype, "columns": feature.columns, "is_input": feature.is_input}
    blocks = iter_blocks(_load(feature, ids[place], int(counts[place])) for place in np.flatnonzero(counts).tolist())
    return FeatureRows(head, counts, codes[0], codes[1], digests, inputs, (
        (np.concatenate([sequence.values for sequence in block]),
         np.concatenate([sequence.times for sequence in block])) for block in blocks), failures)


def _load(feature: FeatureData, clip_id: str, num_rows: int) -> FeatureSequence:
    """The rows of a cell, which are what the cell and the feature say; HDF5 would stretch a wrong shape to fit."""
    rows = feature.sequences.get(clip_id)
    if rows is None:
        load = feature.cells[clip_id].load
        rows = load() if load is not None else FeatureSequence.empty(feature.row_shape, feature.dtype)
    expected = (num_rows, *feature.row_shape)
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
        stop, (source, view) = columns["stop_seconds"][index], _read_source(columns["source"][index])
        try:
            clips.append(Clip(
                clip_id=columns["clip_id"][index], labels=labels, stop_seconds=None if np.isnan(stop) else stop,
                source=source, view=view,
                **{name: columns[name][index] for name in ("start_seconds", "text", "speaker", "dialogue", "turn",
                                                           "split", "group")}))
        except ValueError as error:
            raise StoreError(f"{store.path}: row {index} of the clip table is damaged ({error})") from error
    return clips


class StoredCells(Mapping[str, Cell]):
    """The cells of one feature of a store by clip id, each made when it is asked for; rows stay in the file.

    Args:
        store: the store.
        feature: the feature.

    Raises:
        StoreError: no such feature, or it is damaged.
    """

    def __init__(self, store: FeatureStore, feature: str) -> None:
        self._store, self._feature = store, feature
        self._there = store.status_codes(feature) != STATUSES.index("missing")
        columns = store.failure_columns()
        self._failures = {clip_id: Failure(*why) for clip_id, name, *why in zip(
            *(columns[name].tolist() for name in FAILURE_COLUMNS), strict=True) if name == feature}

    def __len__(self) -> int:
        return int(self._there.sum())

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.column("clip_id")[self._there].tolist())

    def __getitem__(self, clip_id: str) -> Cell:
        place = self._store.find(clip_id)
        if place is None or not self._there[place]:
            raise KeyError(clip_id)
        store, feature = self._store, self._feature
        start, stop = store.offsets(feature)[place:place + 2].tolist()
        return Cell(STATUSES[store.status_codes(feature)[place]], stop - start,
                    functools.partial(store.cell, place, feature) if stop > start else None,
                    store.cell_digests(feature)[place].decode(), store.input_digests(feature)[place].decode(),
                    TIMES_KINDS[store.times_kinds(feature)[place]], self._failures.get(clip_id))


def stored_cells(store: FeatureStore, feature: str) -> Mapping[str, Cell]:
    """The cells of one feature of a store by clip id; rows stay in the file until they are wanted."""
    return StoredCells(store, feature)


def stored_sources(store: FeatureStore) -> dict[str, SourceRecord]:
    """What each clip's source was when the store was made, by clip id."""
    return {clip_id: SourceRecord(int(size), int(mtime), digest) for clip_id, size, mtime, digest in zip(
        store.column("clip_id").tolist(), store.column("source_size").tolist(),
        store.column("source_mtime_ns").tolist(), store.column("source_digest").tolist(), strict=True)}
