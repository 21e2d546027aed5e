"""A store while it is looked at: opened once, with what was worked out of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipeline.clip import Clip
from pipeline.curation.inspection import FRAME_LABELS
from pipeline.storage.layout import TIMES_KINDS, holds_identities
from pipeline.storage.packing import stored_clips
from pipeline.storage.shards import finished_shards, open_store, shard_folder
from pipeline.store import FeatureStore

T = TypeVar("T")


class OpenedStore:
    """A store, and what is worked out of it at most once. Threads may share it.

    Args:
        path: the store; finished shards beside it count.
        thumbnails: show faces although the corpus forbids passing them on.

    Raises:
        StoreError: there is none, or it cannot be read.
    """

    def __init__(self, path: Path, *, thumbnails: bool = False) -> None:
        self.thumbnails = thumbnails
        self.stamp = stamp(path)
        self.store: FeatureStore = open_store(path)
        self._lock = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._kept: dict[Hashable, Any] = {}
        self.clips: list[Clip] = stored_clips(self.store)  #: all clips, in the store's order

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` gives, worked out by whoever asks first; others that ask wait for it."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._kept:
                self._kept[key] = make()
            found: T = self._kept[key]
            return found

    @property
    def lengths(self) -> np.ndarray:
        """Seconds of each clip, float64 (N,); NaN where neither the corpus nor a row's time says."""
        return self.once("lengths", lambda: _lengths(self.store))

    @property
    def shows_faces(self) -> bool:
        """May pictures of people be shown?"""
        return self.thumbnails or self.store.corpus.redistribute != "no"

    def why_hidden(self, feature: str) -> str:
        """Why the rows of a feature are not shown; "" where they are."""
        head = self.store.head(feature)
        if holds_identities(head):
            return "Its rows tell who people are. They are never shown."
        if head["dtype"] == "uint8" and not self.shows_faces:
            return (f"Its rows are pictures of people, and the terms of {self.store.corpus.name} do not allow passing"
                    " such pictures on. For your own eyes: python -m pipeline browse … --thumbnails")
        return ""

    @property
    def inputs(self) -> list[str]:
        """Features that clips can be compared by: those meant for models, but for who people are."""
        return [name for name in self.store.features
                if self.store.is_input(name) and not holds_identities(self.store.head(name))]

    @property
    def frame_tasks(self) -> list[str]:
        """Tasks whose labels stand in the rows of ``frame_labels``."""
        if FRAME_LABELS not in self.store.features:
            return []
        columns = self.store.head(FRAME_LABELS)["columns"]
        return [task.name for task in self.store.corpus.tasks
                if task.level == "frame" and task.classes and task.name in columns]

    def frame_labels(self, place: int, task: str) -> tuple[np.ndarray, np.ndarray]:
        """Classes of a clip's frames, int64 (T,) with −1 unknown, and their times in seconds, float32 (T, 2)."""
        rows = self.store.cell(place, FRAME_LABELS)
        values = rows.values[:, self.store.head(FRAME_LABELS)["columns"].index(task)]
        num_classes = len(self.store.corpus.task(task).classes)
        known = (values >= 0) & (values < num_classes)
        return np.where(known, values, -1).astype(np.int64), rows.times


def stamp(path: Path) -> tuple[tuple[object, ...], ...]:
    """What tells a store and its shards from those that take their place; empty where there is none."""
    found = []
    for part in (path, *finished_shards(shard_folder(path))):
        if part.is_file():
            status = part.stat()
            found.append((part.name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _lengths(store: FeatureStore) -> np.ndarray:
    """As long as the corpus says, or else as far as the rows with measured times reach."""
    known = np.asarray(store.column("stop_seconds") - store.column("start_seconds"), np.float64)
    if not np.isnan(known).any():
        return known
    reach = np.full(store.num_clips, np.nan)
    for name in store.features:
        offsets, measured = store.offsets(name), store.times_kinds(name) == TIMES_KINDS.index("measured")
        there = np.flatnonzero((np.diff(offsets) > 0) & measured)
        if len(there):
            edges = np.stack([offsets[there], offsets[there + 1]], 1).ravel()
            stops = np.append(np.asarray(store.times(name)[:, 1]), -np.inf)  # so that the last edge lies inside
            reach[there] = np.fmax(reach[there], np.maximum.reduceat(stops, edges)[::2])
    return np.where(np.isnan(known), reach, known)
