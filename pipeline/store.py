"""The feature file: one packed HDF5 file that any HDF5 tool can browse and that is read at memory speed.

Every feature is one flat, contiguous, uncompressed dataset over all clips, with offsets that say which rows are whose,
so that a reader maps it into memory and gathers rows. A file is written once, to a temporary name, synced and renamed;
it is never changed in place. ``docs/format.md`` describes the layout.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from pipeline.clip import Corpus, Task
from pipeline.errors import StoreError
from pipeline.media import FeatureSequence, TimesKind

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "affect feature store"
FORMAT_VERSION = 1
STATUSES = ("missing", "done", "empty", "failed")
TIMES_KINDS: tuple[TimesKind, ...] = ("measured", "proportional", "none")
TEXT_COLUMNS = ("text", "source")
NAME_COLUMNS = ("clip_id", "split", "group", "speaker", "dialogue")
NUMBER_COLUMNS = {"turn": "int64", "start_seconds": "float64", "stop_seconds": "float64", "source_size": "int64",
                  "source_mtime_ns": "int64"}
CLIP_COLUMNS = (*NAME_COLUMNS, *TEXT_COLUMNS, *NUMBER_COLUMNS, "source_digest")
FAILURE_COLUMNS = ("clip_id", "feature", "stage", "kind", "message")
FEATURE_TYPES = {"values": ("float32", "uint8"), "times": ("float32",), "offsets": ("int64",), "status": ("uint8",),
                 "times_kind": ("uint8",), "digest": ("S32",), "input": ("S32",)}


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

    def __init__(self, path: str | Path) -> None:
        self.path, self._identity = Path(path), _identity(Path(path))
        with self._open() as file:
            try:
                self.attributes: dict[str, Any] = {key: _plain(value) for key, value in file.attrs.items()}
                self._check_format()
                self.corpus = _corpus_from_json(json.loads(self.attributes["corpus"]))
                self.num_clips = int(_dataset(file, "clips/clip_id").shape[0])
                features = _group(file, "features")
                self._features = {name: _feature_head(_group(features, name), self.num_clips) for name in features}
                self.created = str(self.attributes["created"])
            except (KeyError, ValueError, TypeError, OSError, RuntimeError) as error:
                raise self._damaged(f"its head: {_first_line(error)}") from error
        self._columns: dict[str, np.ndarray] = {}
        self._maps: dict[tuple[str, str], np.ndarray] = {}
        self._places: dict[str, int] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return FeatureStore, (self.path,)

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.path)!r}, {self.num_clips} clips, features: {', '.join(self.features)})"

    def _open(self) -> h5py.File:
        if _identity(self.path) != self._identity:
            raise StoreError(f"{self.path} was replaced after it was opened; open it again")
        try:
            return h5py.File(self.path, "r", locking=False)
        except (OSError, RuntimeError) as error:
            raise StoreError(f"{self.path} is not a readable HDF5 file ({_first_line(error)}); expected a store made"
                             " by: python -m pipeline extract") from error

    def _check_format(self) -> None:
        if self.attributes.get("format") != FORMAT:
            raise StoreError(f"{self.path} is an HDF5 file but not a feature store (no attribute format={FORMAT!r});"
                             " expected a file made by: python -m pipeline extract")
        version = self.attributes.get("format_version")
        if version != FORMAT_VERSION:
            hint = "update this program" if isinstance(version, int) and version > FORMAT_VERSION else "extract again"
            raise StoreError(f"{self.path} has format version {version}, this program reads {FORMAT_VERSION}; {hint}")

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
        pairs = sorted(zip(self.column("clip_id").tolist(), self.cell_digests(feature).tolist(), strict=True))
        return hashlib.sha256(repr(pairs).encode()).hexdigest()[:32]

    def column(self, name: str) -> np.ndarray:
        """One column of the clip table, (N,): text as str, numbers as stored."""
        if name not in self._columns:
            with self._open() as file:
                found = _read_column(_group(file, "clips"), name)
            if len(found) != self.num_clips:
                raise self._damaged(f"column {name!r} has {len(found)} rows for {self.num_clips} clips")
            self._columns[name] = found
        return self._columns[name]

    @property
    def clips(self) -> pd.DataFrame:
        """The clip table, one row a clip in the store's order."""
        import pandas as pd
        table: pd.DataFrame = pd.DataFrame({name: self.column(name) for name in CLIP_COLUMNS})
        return table

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

    @property
    def failures(self) -> pd.DataFrame:
        """What went wrong: clip_id, feature, stage, kind, message."""
        import pandas as pd
        with self._open() as file:
            group = _group(file, "failures")
            table: pd.DataFrame = pd.DataFrame({name: _read_column(group, name) for name in FAILURE_COLUMNS})
        return table

    def place(self, clip_id: str) -> int:
        """Row of a clip in the clip table.

        Raises:
            StoreError: no such clip.
        """
        if self._places is None:
            self._places = {name: index for index, name in enumerate(self.column("clip_id").tolist())}
        if clip_id not in self._places:
            some = ", ".join(list(self._places)[:3]) or "(it is empty)"
            raise StoreError(f"{self.path} has no clip {clip_id!r}; ids look like {some}")
        return self._places[clip_id]

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

    def _map(self, feature: str, name: str) -> np.ndarray:
        if (feature, name) not in self._maps:
            num_rows = self.head(feature)["num_rows"]
            most = {"status": len(STATUSES) - 1, "times_kind": len(TIMES_KINDS) - 1, "offsets": num_rows}.get(name)
            with self._open() as file:
                try:
                    found = _mapped(self.path, _dataset(file, f"features/{feature}/{name}"))
                except (ValueError, OSError) as error:
                    raise self._damaged(f"{name} of {feature}: {_first_line(error)}") from error
            too_large = most is not None and found.size and found.max() > most
            if too_large or name == "offsets" and (found[0] or found[-1] != num_rows or (np.diff(found) < 0).any()):
                raise self._damaged(f"{name} of {feature} do not fit its {num_rows} rows")
            self._maps[feature, name] = found
        return self._maps[feature, name]

    def _damaged(self, what: str) -> StoreError:
        return StoreError(f"{self.path} is damaged ({what}); restore the file from a copy or extract it again")


def _identity(path: Path) -> tuple[int, int]:
    if not path.is_file():
        raise StoreError(f"there is no store {path}; make one with: python -m pipeline extract --dataset NAME --out"
                         f" {path}")
    status = path.stat()
    return status.st_ino, status.st_size


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _mapped(path: Path, dataset: h5py.Dataset) -> np.ndarray:
    """A copy-on-write map of a contiguous dataset: torch takes it without a warning and the file stays as it is."""
    offset = dataset.id.get_offset()
    if offset is None or dataset.size == 0:
        return np.asarray(dataset[()])
    return np.asarray(np.memmap(path, dataset.dtype, "c", offset, dataset.shape))


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    found = _linked(parent, name)
    if not isinstance(found, h5py.Group):
        raise StoreError(f"{parent.file.filename}: {name!r} is not a group; the store is damaged")
    return found


def _dataset(parent: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset that lies in the file itself, in one piece."""
    found = _linked(parent, name)
    if not isinstance(found, h5py.Dataset) or found.chunks is not None or found.external or found.is_virtual:
        raise StoreError(f"{parent.file.filename}: {name!r} is not a contiguous dataset inside the file; it was not"
                         " written by this program and is refused")
    return found


def _linked(parent: h5py.Group, name: str) -> Any:
    file = parent.file.filename
    for part in name.split("/"):
        try:
            link = parent.get(part, getlink=True) if isinstance(parent, h5py.Group) else None
            parent = parent[part] if isinstance(link, h5py.HardLink) else None
        except (KeyError, OSError, RuntimeError) as error:
            raise StoreError(f"{file}: {name!r} is damaged ({_first_line(error)})") from error
        if parent is None:
            raise StoreError(f"{file}: {name!r} is missing or leads out of the file; it is damaged or not ours")
    return parent


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _feature_head(group: h5py.Group, num_clips: int) -> dict[str, Any]:
    attributes = group.attrs
    row_shape = tuple(int(size) for size in attributes["row_shape"])
    datasets = {name: _dataset(group, name) for name in FEATURE_TYPES}
    num_rows = int(datasets["values"].shape[0])
    shapes = {"values": (num_rows, *row_shape), "times": (num_rows, 2), "offsets": (num_clips + 1,)}
    for name, types in FEATURE_TYPES.items():
        found, shape = datasets[name], shapes.get(name, (num_clips,))
        if found.dtype not in map(np.dtype, types) or found.shape != shape:
            raise ValueError(f"{found.name} is {found.dtype} {found.shape}, expected {' or '.join(types)} {shape}")
    return {
        "recipe": json.loads(attributes["recipe"]), "fingerprint": str(attributes["fingerprint"]),
        "modality": str(attributes["modality"]), "is_input": bool(attributes["is_input"]), "row_shape": row_shape,
        "dtype": str(datasets["values"].dtype), "num_rows": num_rows,
        "columns": tuple(str(name) for name in attributes.get("columns", ())),
    }


def _read_column(group: h5py.Group, name: str) -> np.ndarray:
    try:
        values = _dataset(group, name)[()]
        if name in TEXT_COLUMNS or name == "message":
            offsets = _dataset(group, f"{name}_offsets")[()]
            blob = values.tobytes()
            texts = np.empty(len(offsets) - 1, object)
            texts[:] = [blob[start:stop].decode("utf-8", "surrogatepass")
                        for start, stop in zip(offsets[:-1], offsets[1:], strict=True)]
            return texts
        if values.dtype.kind == "S":
            return np.char.decode(values, "utf-8", "surrogatepass").astype(object)
        return np.asarray(values)
    except (ValueError, TypeError, OSError) as error:
        raise StoreError(f"{group.file.filename}: column {name!r} is damaged ({error})") from error


def _corpus_from_json(values: Mapping[str, Any]) -> Corpus:
    tasks = tuple(Task(task["name"], tuple(task["classes"]),
                       tuple(task["value_range"]) if task["value_range"] is not None else None)
                  for task in values["tasks"])
    return Corpus(**{**values, "tasks": tasks})
