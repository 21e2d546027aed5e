"""What leaves a store in an export: some clips and features, read in blocks so that memory stays flat."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.clip import Task
from pipeline.errors import StoreError, UsageError
from pipeline.store import CLIP_COLUMNS, TIMES_KINDS, FeatureStore

BLOCK_BYTES = 32 << 20      # rows are read in blocks of about this size
CLIP_BYTES = 256            # what a clip without rows counts in a block
SHARED_COLUMNS = tuple(name for name in CLIP_COLUMNS if name not in ("text", "source", "source_mtime_ns"))

# What never leaves with --share, by the extractor that makes it; features of pixels are known by their type.
PRIVATE_EXTRACTORS = {"face_identity": "identities", "audio_windows": "waveforms"}


@dataclass(frozen=True)
class Selection:
    """Some clips and features of a store, as they are to be written.

    Args:
        store: where they are.
        places: rows of the clip table, rising, int64 (N,).
        features: names, each usable as a file's name.
        float16: are floats written with half the bytes?
        share: is everything left out that must not be passed on?
        permission: to pass on what the corpus's terms do not allow, in the user's words.
        task: the one task that is written, for formats that know only one; None for all.
        notes: what was left out and why, a line each.
        advance: told how many rows were written.
    """

    store: FeatureStore
    places: np.ndarray
    features: tuple[str, ...]
    float16: bool = False
    share: bool = False
    permission: str | None = None
    task: Task | None = None
    notes: tuple[str, ...] = ()
    advance: Callable[[int], None] = lambda rows: None

    def __len__(self) -> int:
        return len(self.places)

    def clip_ids(self, first: int = 0, stop: int | None = None) -> list[str]:
        """Ids of the clips ``[first, stop)``."""
        return [printable(name) for name in self.store.column("clip_id")[self.places[first:stop]].tolist()]

    @property
    def num_rows(self) -> int:
        """Rows of all features together."""
        return sum(int(self.lengths(feature).sum()) for feature in self.features)

    def lengths(self, feature: str, first: int = 0, stop: int | None = None) -> np.ndarray:
        """Number of rows of each of the clips ``[first, stop)``, int64."""
        offsets, clips = self.store.offsets(feature), self.places[first:stop]
        return np.asarray(offsets[clips + 1] - offsets[clips])

    def offsets(self, feature: str) -> np.ndarray:
        """Clip ``i`` of the selection has rows ``offsets[i]:offsets[i + 1]`` of what is written; int64 (N + 1,)."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths(feature))])

    def row_shape(self, feature: str) -> tuple[int, ...]:
        """Shape of one row."""
        return self.store.row_shape(feature)

    def dtype(self, feature: str) -> np.dtype:
        """Type of the numbers as written."""
        found = np.dtype(self.store.head(feature)["dtype"])
        return np.dtype(np.float16) if self.float16 and found == np.float32 else found

    def ranges(self, *features: str, num_bytes: int | None = None) -> list[tuple[int, int]]:
        """The clips cut into runs ``[first, stop)`` whose rows of these features take about ``num_bytes``.

        A clip is never cut; by default a run takes about :data:`BLOCK_BYTES`.
        """
        sizes = np.full(len(self), CLIP_BYTES, np.int64)
        for feature in features:
            sizes += self.lengths(feature) * (self.dtype(feature).itemsize * int(np.prod(self.row_shape(feature))) + 8)
        edges = np.flatnonzero(np.diff(np.cumsum(sizes) // (num_bytes or BLOCK_BYTES))) + 1
        bounds = [0, *edges.tolist(), len(self)]
        return list(zip(bounds[:-1], bounds[1:], strict=True))

    def values(self, feature: str, first: int, stop: int) -> np.ndarray:
        """Rows of the clips ``[first, stop)``, one clip after the other, in the type that is written."""
        return self._gather(feature, self.store.array(feature), first, stop).astype(self.dtype(feature), copy=False)

    def times(self, feature: str, first: int, stop: int) -> np.ndarray:
        """Start and stop in seconds of those rows, float32 (R, 2)."""
        return self._gather(feature, self.store.times(feature), first, stop)

    def value_blocks(self, feature: str) -> Iterator[np.ndarray]:
        """All rows of a feature, in blocks; tells ``advance``."""
        for first, stop in self.ranges(feature):
            block = self.values(feature, first, stop)
            yield block
            self.advance(len(block))

    def time_blocks(self, feature: str) -> Iterator[np.ndarray]:
        """The times of all rows, in blocks."""
        return (self.times(feature, first, stop) for first, stop in self.ranges(feature))

    def _gather(self, feature: str, rows: np.ndarray, first: int, stop: int) -> np.ndarray:
        clips, offsets = self.places[first:stop], self.store.offsets(feature)
        neighbours = np.split(clips, np.flatnonzero(np.diff(clips) != 1) + 1)
        parts = [rows[offsets[run[0]]:offsets[run[-1] + 1]] for run in neighbours if len(run)]
        return np.concatenate(parts) if parts else rows[:0]

    def table(self) -> pd.DataFrame:
        """The clip table: its columns, labels by name, and of each feature its status and kind of times.

        A missing label is None, or NaN in a regression.

        Raises:
            StoreError: two columns would have one name.
        """
        columns: dict[str, object] = {name: self._column(name)
                                      for name in (SHARED_COLUMNS if self.share else CLIP_COLUMNS)}
        tasks = self.store.corpus.tasks if self.task is None else (self.task,)
        added: list[tuple[str, object]] = [(task.name, self.labels(task)) for task in tasks]
        for feature in self.features:
            kinds = np.take(np.asarray(TIMES_KINDS, object), self.store.times_kinds(feature)[self.places])
            added += [(f"{feature}.status", self.store.status(feature)[self.places].astype(object)),
                      (f"{feature}.times_kind", kinds)]
        for name, values in added:
            if name in columns:
                raise StoreError(f"{self.store.path} has a task named {name!r}, as another column of the clip table is;"
                                 " name the label otherwise and extract again")
            columns[name] = values
        table: pd.DataFrame = pd.DataFrame(columns)
        return table

    def _column(self, name: str) -> np.ndarray:
        values: np.ndarray = self.store.column(name)[self.places]
        if values.dtype != object:
            return values
        cleaned = np.empty(len(values), object)
        cleaned[:] = [printable(value) for value in values.tolist()]
        return cleaned

    def labels(self, task: Task) -> np.ndarray:
        """Labels of one task: class names with None missing, object (N,); or float32 (N,) with NaN missing."""
        found: np.ndarray = self.store.labels(task.name)[self.places]
        return np.asarray((*task.classes, None), object)[found] if task.classes else found

    def count_overflow(self, feature: str) -> int:
        """How many finite numbers of a feature are too large for float16."""
        total = 0
        for first, stop in self.ranges(feature):
            values = self._gather(feature, self.store.array(feature), first, stop)
            with np.errstate(over="ignore"):
                total += int((np.isinf(values.astype(np.float16)) & np.isfinite(values)).sum())
        return total


def printable(text: str) -> str:
    r"""Text that is valid UTF-8: what of a file's name is not stands as ``\udcXX``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def choose_clips(store: FeatureStore, splits: Sequence[str] | None) -> np.ndarray:
    """Places of the clips of some splits, or of all; int64 (N,), rising.

    Raises:
        StoreError: a split is not there, or there are no clips.
    """
    found = store.column("split")
    known = sorted(set(found.tolist()))
    for split in splits or ():
        if split not in known:
            raise StoreError(f"{store.path} has no clip of split {split!r}, only of {', '.join(known) or 'none'}")
    if not len(found):
        raise StoreError(f"{store.path} has no clips; there is nothing to export")
    return np.flatnonzero(np.isin(found.astype(str), splits) if splits else np.ones(len(found), bool))


def choose_features(store: FeatureStore, names: Sequence[str] | None, *,
                    share: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The features to write and notes on those that are left out.

    Args:
        store: where they are.
        names: those the user wants; None for all that may leave.
        share: leave out what must not be passed on.

    Raises:
        StoreError: a feature is not there, cannot be a file's name, or none is left.
        UsageError: one that the user names must not be passed on.
    """
    chosen, notes = [], []
    for name in dict.fromkeys(names or store.features):
        head = store.head(name)
        if not re.fullmatch(r"[\w@+-][\w@.+-]*", name):
            raise StoreError(f"feature {name!r} of {store.path} cannot be the name of a file; expected letters, digits,"
                             " '@', '_', '.', '+' and '-', and no '.' in front")
        if not head["row_shape"] or 0 in head["row_shape"]:
            raise StoreError(f"feature {name!r} of {store.path} has rows of shape {head['row_shape']}, which hold no"
                             " numbers; leave it out with --features")
        private = private_kind(store, name) if share else ""
        if private and names:
            raise UsageError(f"--share passes on no {private}, and {name} holds them; leave it out of --features, or"
                             " export without --share")
        if private:
            notes.append(f"{name} is left out: it holds {private}, which --share does not pass on")
        else:
            chosen.append(name)
    if not chosen:
        raise StoreError(f"{store.path} has no feature to export"
                         + (f" ({'; '.join(notes)})" if notes else "; add one with: python -m pipeline extract"))
    return tuple(chosen), tuple(notes)


def private_kind(store: FeatureStore, feature: str) -> str:
    """What of people a feature holds that is not passed on: ``"pixels"``, ``"waveforms"``, ``"identities"`` or ""."""
    if store.head(feature)["dtype"] == "uint8":
        return "pixels"
    makers = {feature.partition("@")[0], str(store.recipe(feature).get("extractor", ""))}
    return next((kind for maker, kind in PRIVATE_EXTRACTORS.items() if maker in makers), "")
