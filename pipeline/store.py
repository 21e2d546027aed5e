"""The feature file: one packed HDF5 file that any HDF5 tool can browse and that is read at memory speed.

Every feature is one flat, contiguous, uncompressed dataset over all clips, with offsets that say which rows are whose,
so that a reader maps it into memory and gathers rows. A file is written once, to a temporary name, synced and renamed;
it is never changed in place. ``docs/format.md`` describes the layout.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import StoreError
from pipeline.media import FeatureSequence
from pipeline.storage.columns import Column, decode
from pipeline.storage.hdf5 import DAMAGE, Extent, Group, damaged, first_line, identity, opened, reading
from pipeline.storage.layout import (CLIP_COLUMNS, FAILURE_COLUMNS, FEATURE_TYPES, FORMAT, FORMAT_VERSION, NAME_COLUMNS,
                                     NUMBER_COLUMNS, STATUSES, TEXT_COLUMNS, TIMES_KINDS, corpus_from_json,
                                     feature_head, parse_json, read_column, requests_from, table_extents)

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.clip_dataset import ClipDataset

__all__ = ["CLIP_COLUMNS", "FAILURE_COLUMNS", "FEATURE_TYPES", "FORMAT", "FORMAT_VERSION", "NAME_COLUMNS",
           "NUMBER_COLUMNS", "STATUSES", "TEXT_COLUMNS", "TIMES_KINDS", "FeatureStore"]


class FeatureStore:
    """A packed feature file, opened for reading.

    Opening reads the head of the file only. No handle stays open: an object may be pickled, forked and shared by
    threads, and several processes may read one file. An object whose file is replaced says so rather than mix the two.

    Args:
        path: the ``.h5`` file.

    Raises:
        StoreError: no such file, not one of ours, damaged, or of a newer format; damage may also show later.

    >>> store = FeatureStore("cache/meld.h5")                        # doctest: +SKIP
    >>> store.read("train/dia0_utt0", "text_bert")                   # doctest: +SKIP
    FeatureSequence(values=float32(17, 768), times=proportional)
    """

    num_shards = 0  #: finished shards beside the file, not packed yet; see :func:`pipeline.storage.shards.open_store`

    def __init__(self, path: str | Path) -> None:
        self.path, self.identity = Path(path), identity(Path(path))
        self._begin()
        with opened(self.path) as root:
            try:
                self.attributes |= root.attributes()
                self._check_format()
                self.corpus = corpus_from_json(parse_json(self.attributes["corpus"]))
                self.created = str(self.attributes["created"])
                self.requests = requests_from(self.attributes)
                clips = root.group("clips")
                self._table = table_extents(clips, self._column_names())
                self.num_clips = self._table["clip_id"].shape[0]
                features = root.group("features")
                for name in features.names():
                    self._add_feature(name, features.group(name))
                self._failures = table_extents(root.group("failures"), FAILURE_COLUMNS)
            except DAMAGE as error:
                raise self._damaged(f"its head: {first_line(error)}") from error

    def _begin(self) -> None:
        self.attributes: dict[str, Any] = {}
        self._features: dict[str, dict[str, Any]] = {}
        self._extents: dict[tuple[str, str], Extent] = {}
        self._columns: dict[str, np.ndarray] = {}
        self._maps: dict[tuple[str, str], np.ndarray] = {}
        self._places: dict[str, int] | None = None
        self._order: tuple[np.ndarray, bytes] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return FeatureStore, (self.path,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {self.num_clips} clips, features:" \
               f" {', '.join(self.features)})"

    def _check_format(self) -> None:
        version = self.attributes.get("format_version")
        if self.attributes.get("format") != FORMAT and version != 1:  # whose text attributes are not read
            raise StoreError(f"{self.path} is an HDF5 file but not a feature store (no attribute format={FORMAT!r});"
                             " expected a file made by: python -m pipeline extract")
        if version != FORMAT_VERSION:
            newer = isinstance(version, int) and version > FORMAT_VERSION
            raise StoreError(f"{self.path} has format version {version}, this program reads {FORMAT_VERSION}; "
                             + ("update this program" if newer else "an older one made it: extract again"))

    def _column_names(self) -> tuple[str, ...]:
        return (*CLIP_COLUMNS, *(f"labels/{task.name}" for task in self.corpus.tasks))

    def _add_feature(self, name: str, group: Group) -> None:
        if not name.isprintable():
            raise ValueError(f"a feature is named {name!r}")
        extents = {part: group.extent(part) for part in FEATURE_TYPES}
        self._features[name] = feature_head(name, group.attributes(), extents, self.num_clips)
        self._extents |= {(name, part): extent for part, extent in extents.items()}

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the stored features, sorted."""
        return tuple(sorted(self._features))

    def head(self, feature: str) -> dict[str, Any]:
        """What is written on a feature: recipe, fingerprint, modality, row_shape, dtype, columns, is_input.

        Raises:
            StoreError: the store has no such feature; those it has are named.
        """
        if feature not in self._features:
            raise StoreError(f"{self.path} has no feature {feature!r}, only {', '.join(self.features) or 'none'}; add"
                             f" it with: python -m pipeline extract --dataset {self.corpus.name} --extractors {feature}"
                             f" --out {self.path}")
        return self._features[feature]

    def recipe(self, feature: str) -> dict[str, Any]:
        """How a feature was made: extractor, version, settings, weights, upstream features, libraries."""
        return dict(self.head(feature)["recipe"])

    def fingerprint(self, feature: str) -> str:
        """Digest of everything in the recipe that changes results."""
        return str(self.head(feature)["fingerprint"])

    def modality(self, feature: str) -> str:
        """``"text"``, ``"audio"``, ``"video"`` or ``"face"``."""
        return str(self.head(feature)["modality"])

    def is_input(self, feature: str) -> bool:
        """Is the feature meant for models (True) or for other extractors (face boxes)?"""
        return bool(self.head(feature)["is_input"])

    def row_shape(self, feature: str) -> tuple[int, ...]:
        """Shape of one row."""
        return tuple(self.head(feature)["row_shape"])

    def array(self, feature: str) -> np.ndarray:
        """Rows of all clips, (R, *row_shape), mapped from the file: nothing is read until it is used."""
        return self._map(feature, "values")

    def times(self, feature: str) -> np.ndarray:
        """Start and stop of every row in seconds from its clip's start, float32 (R, 2)."""
        return self._map(feature, "times")

    def offsets(self, feature: str) -> np.ndarray:
        """Clip ``i`` has rows ``offsets[i]:offsets[i + 1]``; int64 (N + 1,)."""
        return self._map(feature, "offsets")

    def status(self, feature: str) -> np.ndarray:
        """Per clip ``"done"``, ``"empty"`` (nothing to describe), ``"failed"`` or ``"missing"``; (N,)."""
        return np.take(np.asarray(STATUSES), self._map(feature, "status"))

    def status_codes(self, feature: str) -> np.ndarray:
        """Per clip, place of its status in :data:`STATUSES`; uint8 (N,)."""
        return self._map(feature, "status")

    def times_kinds(self, feature: str) -> np.ndarray:
        """Per clip, place of its rows' kind of times in :data:`TIMES_KINDS`; uint8 (N,)."""
        return self._map(feature, "times_kind")

    def cell_digests(self, feature: str) -> np.ndarray:
        """Digest of every clip's rows, bytes (N,); empty where there are none."""
        return self._map(feature, "digest")

    def input_digests(self, feature: str) -> np.ndarray:
        """Digest of what every clip's rows were made from, bytes (N,)."""
        return self._map(feature, "input")

    def digest(self, feature: str) -> str:
        """One digest over all clips' rows, the same for any order of clips."""
        if self._order is None:
            ids = np.asarray(self.encoded("clip_id"))
            order = np.argsort(ids, kind="stable")
            self._order = order, hashlib.sha256(ids.dtype.str.encode() + ids[order].tobytes()).digest()
        order, begun = self._order
        return hashlib.sha256(begun + self.cell_digests(feature)[order].tobytes()).hexdigest()[:32]

    def encoded(self, name: str) -> Column:
        """One column of the clip table as it is stored: bytes (N,), texts or numbers.

        Raises:
            StoreError: no such column, or it is damaged.
        """
        if name not in self._table:
            raise StoreError(f"{self.path} has no column {name!r}, only {', '.join(self._column_names())}")
        with reading(self.path, self.identity, f"column {name!r}") as file:
            return read_column(file, self._table, name)

    def column(self, name: str) -> np.ndarray:
        """One column of the clip table, (N,): text as str, numbers as stored.

        Raises:
            StoreError: no such column, or it is damaged.
        """
        if name not in self._columns:
            try:
                found = decode(self.encoded(name))
            except ValueError as error:
                raise self._damaged(f"column {name!r}: {error}") from error
            if name == "clip_id":
                self._check_ids(found)
            self._columns[name] = found
        return self._columns[name]

    def _check_ids(self, ids: np.ndarray) -> None:
        wrong = next((clip_id for clip_id in ids if not clip_id or not clip_id.isprintable()), None)
        if wrong is not None:
            raise self._damaged(f"column 'clip_id': a clip id is printable text that is not empty, found {wrong!r}")
        if len(set(ids)) != len(ids):
            raise self._damaged("column 'clip_id': two clips have one id")

    @property
    def clips(self) -> pd.DataFrame:
        """The clip table, one row a clip in the store's order."""
        return _table({name: self.column(name) for name in CLIP_COLUMNS})

    def labels(self, task: str) -> np.ndarray:
        """Labels of one task, (N,): class index int64 with −1 missing, or float32 with NaN missing.

        Raises:
            StoreError: the store has no such task; those it has are named.
        """
        classes = {known.name: known.classes for known in self.corpus.tasks}
        if task not in classes:
            raise StoreError(f"{self.path} has no task {task!r}, only {', '.join(classes) or 'none'}")
        found = self.column(f"labels/{task}")
        if classes[task] and not ((found >= -1) & (found < len(classes[task]))).all():
            raise self._damaged(f"labels of {task} are no places in its {len(classes[task])} classes")
        return found

    def dataset(self, features: str | Sequence[str], task: str, split: str | None = None) -> ClipDataset:
        """Labelled clips for a ``torch.utils.data.DataLoader``; see :class:`pipeline.clip_dataset.ClipDataset`."""
        found: ClipDataset = importlib.import_module("pipeline.clip_dataset").ClipDataset(self, features, task, split)
        return found

    @property
    def failures(self) -> pd.DataFrame:
        """What went wrong: clip_id, feature, stage, kind, message."""
        return _table(self.failure_columns())

    def failure_columns(self) -> dict[str, np.ndarray]:
        """What went wrong, column by column: clip_id, feature, stage, kind, message."""
        with reading(self.path, self.identity, "failures") as file:
            return {name: decode(read_column(file, self._failures, name)) for name in FAILURE_COLUMNS}

    def find(self, clip_id: str) -> int | None:
        """Row of a clip in the clip table; None where it is not."""
        if self._places is None:
            self._places = {name: index for index, name in enumerate(self.column("clip_id").tolist())}
        return self._places.get(clip_id)

    def place(self, clip_id: str) -> int:
        """Row of a clip in the clip table.

        Raises:
            StoreError: no such clip.
        """
        place = self.find(clip_id)
        if place is None:
            some = ", ".join(self.column("clip_id")[:3]) or "(it is empty)"
            raise StoreError(f"{self.path} has no clip {clip_id!r}; ids look like {some}")
        return place

    def cell(self, index: int, feature: str) -> FeatureSequence:
        """Rows of the clip at a place of the clip table; zero rows where nothing is stored."""
        start, stop = self.offsets(feature)[index:index + 2]
        kind = TIMES_KINDS[self.times_kinds(feature)[index]]
        try:
            return FeatureSequence(self.array(feature)[start:stop], self.times(feature)[start:stop], kind)
        except ValueError as error:
            raise self._damaged(f"rows of clip {index} of {feature}: {error}") from error

    def read(self, clip_id: str, feature: str) -> FeatureSequence:
        """Rows of one clip.

        Raises:
            StoreError: no such clip or feature.
        """
        self.head(feature)
        return self.cell(self.place(clip_id), feature)

    def place_in_file(self, feature: str, name: str) -> int:
        """Place of the first byte of a feature's ``"values"`` or ``"times"`` in the file."""
        self.head(feature)
        return self._extents[feature, name].offset

    def _map(self, feature: str, name: str) -> np.ndarray:
        if (feature, name) not in self._maps:
            num_rows = self.head(feature)["num_rows"]
            with reading(self.path, self.identity, f"{name} of {feature}") as file:
                found = self._extents[feature, name].read(file)
            self._check_range(feature, name, found, num_rows)
            self._maps[feature, name] = found
        return self._maps[feature, name]

    def _check_range(self, feature: str, name: str, found: np.ndarray, num_rows: int) -> None:
        most = {"status": len(STATUSES) - 1, "times_kind": len(TIMES_KINDS) - 1, "offsets": num_rows}.get(name)
        too_large = most is not None and found.size and found.max() > most
        if too_large or name == "offsets" and (found[0] or found[-1] != num_rows or (np.diff(found) < 0).any()):
            raise self._damaged(f"{name} of {feature} do not fit its {num_rows} rows")

    def _damaged(self, what: str) -> StoreError:
        return damaged(self.path, what)


def _table(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Text stays Python's own: pandas' strings cannot hold the lone surrogates of file names that are not UTF-8."""
    import pandas as pd
    table: pd.DataFrame = pd.DataFrame({name: pd.Series(values, dtype=values.dtype)
                                        for name, values in columns.items()})
    return table
