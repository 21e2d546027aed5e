"""Several files of one corpus read as one store: the one place that says whose rows count.

Parts are read in their order. A cell (one clip's part of one feature) comes from the last part that has it, whether it
has rows, is empty or failed. When a later part holds a feature with another fingerprint, the earlier parts' cells of
that feature no longer count. What is known of a clip comes from the last part that has the clip, what its file was from
the last part that looked at the file. Clips stand in the order in which they first come.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clip import Corpus, Task
from pipeline.errors import StoreError
from pipeline.media import FeatureSequence
from pipeline.storage.columns import Column, Texts, concatenate, take
from pipeline.storage.hdf5 import damaged, read_into, reading
from pipeline.storage.layout import FAILURE_COLUMNS, HEAD_ATTRIBUTES, STATUSES, TIMES_KINDS
from pipeline.storage.writing import Block, FeatureRows, unique_requests
from pipeline.store import FeatureStore

BLOCK_BYTES = 2 << 20    # rows are copied in blocks that stay in a processor's cache between reading and writing
GATHER = 256             # arrays of so many parts are joined at a time, so that small parts cost no object each
FAILED = STATUSES.index("failed")
LOST = -2                # a label that the corpus does not know
CELL = np.dtype([("row", "i8"), ("part", "i4"), ("status", "u1"), ("times_kind", "u1"), ("count", "i8"),
                 ("values_at", "i8"), ("times_at", "i8"), ("digest", "S32"), ("input", "S32")])


class _Pieces:
    """Arrays of many parts, joined as they come."""

    def __init__(self) -> None:
        self._joined: list[Column] = []
        self._waiting: list[Column] = []

    def append(self, column: Column) -> None:
        self._waiting.append(column)
        if len(self._waiting) == GATHER:
            self._joined, self._waiting = [*self._joined, concatenate(self._waiting)], []

    def join(self) -> Column:
        return concatenate(self._joined + self._waiting)


class PartsStore(FeatureStore):
    """Several files of one corpus as one store, with the same interface.

    Rows stay in their files. :meth:`array` and :meth:`times` copy all rows of a feature into memory, where a packed
    store maps them; :meth:`cell` and :meth:`blocks` read what is asked for.

    Args:
        path: the store's name.
        parts: the files, oldest first.
        corpus: what is known of the corpus now; by default what the last part says.
        clips: columns of clips that come first, and are as they stand here whatever the parts say.
        drop: fingerprints by feature; rows of these features that were made in another way are left out.

    Raises:
        StoreError: a part cannot be read, is of another corpus, or contradicts the others.
    """

    def __init__(self, path: Path, parts: Sequence[Path], *, corpus: Corpus | None = None,
                 clips: Mapping[str, Column] | None = None, drop: Mapping[str, str] | None = None) -> None:
        self.path, self.parts, self.num_shards = path, tuple(parts), sum(part != path for part in parts)
        self._begin()
        self.requests, self._drop = [], drop or {}
        self.corpus = corpus or _open_part(self.parts[-1]).corpus
        self._identities: list[tuple[int, ...]] = []
        self._found_failures: list[tuple[int, tuple[str, ...]]] = []
        self._pieces: dict[str, _Pieces] = defaultdict(_Pieces)
        self._cell_pieces: dict[str, _Pieces] = {}
        self._num_seen = self._num_given = len(clips["clip_id"]) if clips is not None else 0
        for name, column in (clips or {}).items():
            self._pieces[name].append(column)
        for part in self.parts:
            self._add(_open_part(part))
        self._columns_seen = {name: self._pieces.pop(name).join() for name in self._column_names()}
        self._settle()

    def __reduce__(self) -> tuple[object, ...]:
        return PartsStore, (self.path, self.parts)

    def _add(self, part: FeatureStore) -> None:
        if part.corpus.name != self.corpus.name:
            raise StoreError(f"{part.path} holds features of {part.corpus.name!r}, not of {self.corpus.name!r} like the"
                             f" rest of {self.path}; move it elsewhere")
        part.column("clip_id")  # checks the ids
        few = len(self.parts) < GATHER
        for name in self._column_names():
            column = _labels(part, self.corpus.task(name[7:])) if name.startswith("labels/") else part.encoded(name)
            self._pieces[name].append(column if few else _copy(column))
        for name in part.features:
            if self._drop.get(name, part.fingerprint(name)) == part.fingerprint(name):
                self._add_cells(part, name)
        failures = part.failure_columns()
        number = len(self._identities)
        self._found_failures += [(number, row) for row in zip(
            *(failures[name].tolist() for name in FAILURE_COLUMNS), strict=True)]
        self.requests = unique_requests([*self.requests, *part.requests])
        self.attributes |= part.attributes
        self.created = part.created
        self._identities.append(part.identity)
        self._num_seen += part.num_clips

    def _add_cells(self, part: FeatureStore, name: str) -> None:
        head, before = part.head(name), self._features.get(name)
        if before is None or before["fingerprint"] != head["fingerprint"]:
            self._cell_pieces[name] = _Pieces()
        elif (before["row_shape"], before["dtype"]) != (head["row_shape"], head["dtype"]):
            raise damaged(part.path, f"rows of {name} are {head['dtype']} {head['row_shape']} and elsewhere"
                                     f" {before['dtype']} {before['row_shape']}")
        self._features[name] = dict(head)
        there = np.flatnonzero(part.status_codes(name))
        starts = part.offsets(name)[there]
        cells = np.empty(len(there), CELL)
        cells["row"], cells["part"] = self._num_seen + there, len(self._identities)
        cells["count"] = part.offsets(name)[there + 1] - starts
        cells["values_at"] = part.place_in_file(name, "values") + starts * _row_bytes(head)
        cells["times_at"] = part.place_in_file(name, "times") + starts * 8
        for field, values in (("status", part.status_codes(name)), ("times_kind", part.times_kinds(name)),
                              ("digest", part.cell_digests(name)), ("input", part.input_digests(name))):
            cells[field] = values[there]
        self._cell_pieces[name].append(cells)

    def _settle(self) -> None:
        """Decide for every clip, and every feature of it, where it comes from."""
        ids = np.asarray(self._columns_seen["clip_id"])
        _, first, same = np.unique(ids, return_index=True, return_inverse=True)
        self.num_clips = len(first)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        clip_of = rank[same]
        self._rows = np.empty(len(first), np.int64)  # row of each clip among all that were seen: the last one wins …
        self._rows[clip_of] = np.arange(len(ids))
        self._rows[:self._num_given] = np.arange(self._num_given)  # … and those that were given always do
        self._source_rows = self._rows.copy()
        looked = np.flatnonzero(np.asarray(self._columns_seen["source_digest"]) != b"")
        self._source_rows[clip_of[looked]] = looked
        self._cells: dict[str, np.ndarray] = {}
        for name in list(self._cell_pieces):
            found = np.asarray(self._cell_pieces.pop(name).join())
            self._cells[name] = cells = np.zeros(self.num_clips, CELL)
            winner = np.full(self.num_clips, -1, np.int64)
            winner[clip_of[found["row"]]] = np.arange(len(found))
            cells[winner >= 0] = found[winner[winner >= 0]]
            self._features[name]["num_rows"] = int(cells["count"].sum())

    def encoded(self, name: str) -> Column:
        if name not in self._columns_seen:
            raise StoreError(f"{self.path} has no column {name!r}, only {', '.join(self._column_names())}")
        found = take(self._columns_seen[name], self._source_rows if name.startswith("source_") else self._rows)
        if name.startswith("labels/") and not isinstance(found, Texts) and (found == LOST).any():
            raise StoreError(f"a clip of {self.path} has a label of {name[7:]!r} that the corpus no longer knows;"
                             " extract into another --out")
        return found

    def failure_columns(self) -> dict[str, np.ndarray]:
        rows = [row for name in self.features for row in self._failures_of(name)]
        columns = zip(*rows, strict=True) if rows else [()] * len(FAILURE_COLUMNS)
        return {name: np.asarray(values, object) for name, values in zip(FAILURE_COLUMNS, columns, strict=True)}

    def _failures_of(self, feature: str) -> list[tuple[str, ...]]:
        cells = self._cells[feature]
        found = {}
        for number, row in self._found_failures:
            place = self.find(row[0]) if row[1] == feature else None
            if place is not None and cells["status"][place] == FAILED and cells["part"][place] == number:
                found[place] = row
        return [found[place] for place in sorted(found)]

    def cell(self, index: int, feature: str) -> FeatureSequence:
        self.head(feature)
        cell = self._cells[feature][index]
        head = self._features[feature]
        values = np.empty((int(cell["count"]), *head["row_shape"]), head["dtype"])
        times = np.empty((len(values), 2), np.float32)
        if not len(values):
            return FeatureSequence(values, times, TIMES_KINDS[cell["times_kind"]])
        number = int(cell["part"])
        with reading(self.parts[number], self._identities[number], f"rows of clip {index} of {feature}") as file:
            read_into(file, values, int(cell["values_at"]))
            read_into(file, times, int(cell["times_at"]))
            return FeatureSequence(values, times, TIMES_KINDS[cell["times_kind"]])

    def _map(self, feature: str, name: str) -> np.ndarray:
        if (feature, name) not in self._maps:
            self.head(feature)
            cells = self._cells[feature]
            if name in ("values", "times"):
                self._maps[feature, "values"], self._maps[feature, "times"] = self._all_rows(feature)
            elif name == "offsets":
                self._maps[feature, name] = np.concatenate([[0], np.cumsum(cells["count"])])
            else:
                self._maps[feature, name] = np.ascontiguousarray(cells[name])
        return self._maps[feature, name]

    def _all_rows(self, feature: str) -> Block:
        for block in self.blocks(feature, block_bytes=None):
            return block
        head = self._features[feature]
        return np.zeros((0, *head["row_shape"]), head["dtype"]), np.zeros((0, 2), np.float32)

    def blocks(self, feature: str, *, block_bytes: int | None = BLOCK_BYTES) -> Iterator[Block]:
        """All rows of a feature in the order of the clips, some at a time.

        Args:
            feature: its name.
            block_bytes: of one block, which the next one overwrites; None for all rows at once.

        Yields:
            Values (B, *row_shape) and times (B, 2).

        Raises:
            StoreError: a part has been replaced, or is damaged.
        """
        head = self._features[feature]
        row_bytes, total = _row_bytes(head), head["num_rows"]
        size = total if block_bytes is None else min(total, max(1, block_bytes // (row_bytes + 8)))
        values, times = np.empty((size, *head["row_shape"]), head["dtype"]), np.empty((size, 2), np.float32)
        filled = 0
        for number, count, values_at, times_at in _runs(self._cells[feature]):
            with reading(self.parts[number], self._identities[number], f"rows of {feature}") as file:
                done = 0
                while done < count:
                    stop = min(size, filled + count - done)
                    read_into(file, values[filled:stop], values_at + done * row_bytes)
                    read_into(file, times[filled:stop], times_at + done * 8)
                    done, filled = done + stop - filled, stop
                    if filled == size:
                        yield values, times
                        filled = 0
        if filled:
            yield values[:filled], times[:filled]

    def feature_rows(self, feature: str) -> FeatureRows:
        """A feature as it is written into a packed file; rows are read block by block."""
        cells = self._cells[feature]
        count, *rest = (np.ascontiguousarray(cells[name])
                        for name in ("count", "status", "times_kind", "digest", "input"))
        status, times_kind, digest, given = rest
        return FeatureRows(self._features[feature], count, status, times_kind, digest, given, self.blocks(feature),
                           self._failures_of(feature))

    @property
    def extra_attributes(self) -> dict[str, Any]:
        """Attributes that the parts have beside those of the format."""
        return {name: value for name, value in self.attributes.items() if name not in HEAD_ATTRIBUTES}

    @property
    def num_row_bytes(self) -> int:
        """Bytes of all rows and their times."""
        return sum(head["num_rows"] * (_row_bytes(head) + 8) for head in self._features.values())


def _open_part(path: Path) -> FeatureStore:
    try:
        return FeatureStore(path)
    except StoreError as error:
        if not path.parent.name.endswith(".shards"):
            raise
        raise StoreError(f"{error} (it is a finished part of a store; without it, its clips are extracted again: remove"
                         f" {path})") from error


def _copy(column: Column) -> Column:
    return Texts(column.blob.copy(), column.offsets.copy()) if isinstance(column, Texts) else np.array(column)


def _labels(part: FeatureStore, task: Task) -> np.ndarray:
    """Labels of a part as places in the task's classes as they are now."""
    known = {known.name: known for known in part.corpus.tasks}.get(task.name)
    if known is None:
        return np.full(part.num_clips, -1, np.int64) if task.classes else np.full(part.num_clips, np.nan, np.float32)
    if known.kind != task.kind:
        raise StoreError(f"{part.path} has {task.name!r} as a {known.kind}, now it is a {task.kind}; extract into"
                         " another --out")
    labels = part.labels(task.name)
    if known.classes == task.classes:
        return labels
    places: list[int] = [task.classes.index(name) if name in task.classes else LOST for name in known.classes]
    return np.take(np.asarray([*places, -1], np.int64), labels)


def _row_bytes(head: Mapping[str, Any]) -> int:
    row: tuple[int, ...] = head["row_shape"]
    return math.prod(row) * np.dtype(str(head["dtype"])).itemsize


def _runs(cells: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Cells whose rows follow each other in one file, together: part, rows, place of values and of times."""
    cells = cells[cells["count"] > 0]
    before, after = cells[:-1], cells[1:]
    breaks = (before["part"] != after["part"]) | (before["times_at"] + before["count"] * 8 != after["times_at"])
    starts = np.concatenate([[0], np.flatnonzero(breaks) + 1]) if len(cells) else np.zeros(0, np.int64)
    counts = np.add.reduceat(cells["count"], starts) if len(cells) else starts
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        cell = cells[start]
        yield int(cell["part"]), count, int(cell["values_at"]), int(cell["times_at"])
