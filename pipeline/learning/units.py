"""What a run answers for, one by one: whole clips, or the rows of one feature, with all others found by their times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.clip import Task
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.joined import JoinedStores, Rows, is_labelled, row_index

Level = Literal["auto", "utterance", "frame"]
FRAME_LABELS = "frame_labels"   # the feature that holds the labels of frames; its columns are the tasks
CLOSE_SECONDS = 1e-3            # rows whose times differ by less are the same


@dataclass(frozen=True)
class Units:
    """What is answered for: clips, or the rows of a feature (the clock) of all clips, one clip after the other.

    Args:
        clock: name of the feature; "" where the units are clips.
        owner: place of each unit's clip, int64 (U,), rising.
        starts, lengths: units of each clip, int64 (N,).
        labels: by task (U,): int64 with −1 missing, or float32 with NaN missing.
        times: start and stop of each in seconds from its clip's start, float32 (U, 2); None where the units are clips.
    """

    clock: str
    owner: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    labels: Mapping[str, np.ndarray]
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.owner)

    @property
    def level(self) -> Literal["utterance", "frame"]:
        return "frame" if self.clock else "utterance"

    def of(self, clips: np.ndarray) -> np.ndarray:
        """Places of the units of some clips, clip after clip, int64."""
        return row_index(self.starts[clips], self.lengths[clips]) if self.clock else clips

    def rows(self) -> pd.DataFrame | None:
        """``row``, counted from 0 in its clip, and ``start_seconds`` of each unit; None where they are clips."""
        if self.times is None:
            return None
        table: pd.DataFrame = pd.DataFrame({"row": np.arange(len(self)) - self.starts[self.owner],
                                            "start_seconds": np.round(self.times[:, 0].astype(np.float64), 4)})
        return table

    def clip_labels(self, task: Task, num_clips: int) -> np.ndarray:
        """One label for each clip, (N,), by which clips are divided: the class looked for where a unit has it, else the
        commonest; the mean of values; missing where no unit is labelled."""
        labels = self.labels[task.name]
        if not self.clock:
            return labels
        known = is_labelled(labels)
        if not task.classes:
            sums = np.bincount(self.owner[known], labels[known], num_clips)
            counts = np.bincount(self.owner[known], minlength=num_clips)
            return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)
        counts = np.zeros((num_clips, len(task.classes)), np.int64)
        np.add.at(counts, (self.owner[known], labels[known]), 1)
        found = np.where(counts.any(1), counts.argmax(1), -1)
        if task.positive:
            place = task.classes.index(task.positive)
            found[counts[:, place] > 0] = place
        return found


def clip_units(labels: Mapping[str, np.ndarray], num_clips: int) -> Units:
    """Every clip is a unit."""
    places = np.arange(num_clips)
    return Units("", places, places, np.ones(num_clips, np.int64), labels)


def frame_units(stores: JoinedStores, tasks: Sequence[Task], clock: str) -> Units:
    """Every row of a feature is a unit; what is labelled by the clip gives its label to all of the clip's rows.

    Args:
        stores: whose clips.
        tasks: what is answered.
        clock: the feature.

    Raises:
        StoreError: no such feature, or the labels of frames are not stored.
        TrainingError: the feature has no times, or no rows.
    """
    rows = stores.rows(clock)
    index = row_index(rows.starts, rows.lengths)
    times = np.asarray(stores.times(clock)[index])
    if not len(index) or np.isnan(times).any():
        raise TrainingError(f"rows of {clock} cannot be answered for one by one: it has"
                            f" {'rows without times' if len(index) else 'no rows'}; name another with --set"
                            " clock=FEATURE")
    owner = np.repeat(np.arange(len(rows.lengths)), rows.lengths)
    units = Units(clock, owner, np.cumsum(rows.lengths) - rows.lengths, rows.lengths, {}, times)
    labels = {task.name: _frame_labels(stores, task, units) if task.level == "frame"
              else stores.labels(task.name)[owner] for task in tasks}
    return Units(clock, owner, units.starts, units.lengths, labels, times)


def _frame_labels(stores: JoinedStores, task: Task, units: Units) -> np.ndarray:
    """Class index of each unit, int64 (U,), −1 missing."""
    if FRAME_LABELS not in stores.features or task.name not in (columns := stores.columns(FRAME_LABELS)):
        raise StoreError(f"{' and '.join(map(str, stores.paths))} has no labels of frames for {task.name!r}; add them"
                         f" with: python -m pipeline extract --extractors {FRAME_LABELS}")
    if not task.classes:
        raise StoreError(f"task {task.name!r} has values for frames; only classes are known there")
    index = align(stores, FRAME_LABELS, units)
    values = np.asarray(stores.rows(FRAME_LABELS).values[:, columns.index(task.name)])
    found = np.where(index >= 0, values[np.maximum(index, 0)], -1).astype(np.int64)
    if (found >= len(task.classes)).any():
        raise StoreError(f"{FRAME_LABELS} has a label {found.max()} for {task.name!r}, which has {len(task.classes)}"
                         " classes; extract it again")
    return found


def align(stores: JoinedStores, feature: str, units: Units) -> np.ndarray:
    """The row of a feature that belongs to each unit: of those that span its middle the one centred nearest to it.

    Args:
        stores: that hold the feature.
        feature: its name.
        units: rows of the clock.

    Returns:
        Places in the feature's rows, int64 (U,); −1 where no row spans the unit's middle.

    Raises:
        TrainingError: the feature's rows have no times.
    """
    rows, times = stores.rows(feature), stores.times(feature)
    found = np.full(len(units), -1, np.int64)
    assert units.times is not None, "units with times"
    same = np.flatnonzero((rows.lengths == units.lengths) & (rows.lengths > 0))
    index, places = row_index(rows.starts[same], rows.lengths[same]), units.of(same)
    near = (np.abs(times[index] - units.times[places]) < CLOSE_SECONDS).all(1)
    found[places] = np.where(near, index, -1)
    moved = np.setdiff1d(np.flatnonzero(rows.lengths), same[np.isin(same, units.owner[places[~near]], invert=True)])
    for clip in moved.tolist():
        own = slice(units.starts[clip], units.starts[clip] + units.lengths[clip])
        span = np.asarray(times[rows.starts[clip]:rows.starts[clip] + rows.lengths[clip]])
        if np.isnan(span).any():
            raise TrainingError(f"rows of {feature} have no times, so none can be told to belong to a row of"
                                f" {units.clock}; leave it out with --inputs, or train with --level utterance")
        nearest = _spanning(span, units.times[own].mean(1))
        found[own] = np.where(nearest >= 0, rows.starts[clip] + nearest, -1)
    return found


def _spanning(spans: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """For each middle (U,) the span (T, 2) around it whose centre is nearest, int64 (U,); −1 where none is around."""
    order = np.argsort(spans.mean(1), kind="stable")
    centres = spans[order].mean(1)
    right = np.searchsorted(centres, middles).clip(0, len(centres) - 1)
    left = np.maximum(right - 1, 0)
    best = order[np.where(np.abs(centres[left] - middles) <= np.abs(centres[right] - middles), left, right)]
    inside = (spans[best, 0] <= middles + CLOSE_SECONDS) & (middles < spans[best, 1] + CLOSE_SECONDS)
    return np.where(inside, best, -1)


class RowsAsClips(JoinedStores):
    """Stores whose units stand as clips of one row each, for models that answer once for each clip.

    Args:
        stores: the stores.
        units: rows of a feature of theirs.
    """

    def __init__(self, stores: JoinedStores, units: Units) -> None:
        super().__init__(stores.stores)
        self._whole, self._units = stores, units
        self.clips = stores.clips.iloc[units.owner].reset_index(drop=True)
        self.clips["text"] = ""         # words of the whole clip say nothing of one of its rows

    @property
    def unit_rows(self) -> pd.DataFrame | None:
        return self._units.rows()

    def rows(self, feature: str) -> Rows:
        index = align(self._whole, feature, self._units)
        return replace(self._whole.rows(feature), starts=np.maximum(index, 0), lengths=(index >= 0).astype(np.int64))

    def labels(self, task: str) -> np.ndarray:
        return self._units.labels[task]


def settle_level(level: Level, clock: str, *, model_level: str, tasks: Sequence[Task], stores: JoinedStores,
                 inputs: Sequence[str]) -> tuple[Level, str]:
    """Whether clips or rows are answered for, and which feature's rows.

    Args:
        level, clock: as asked for; ``"auto"`` and "" leave it to the model, the tasks and the stores.
        model_level: ``"clip"``, or ``"frame"`` for a model that answers for every row of a clip.
        tasks: what is answered.
        stores: which may hold the labels of frames, whose rows are then the clock.
        inputs: what is learnt from; the first is the clock where no frames are labelled.

    Raises:
        UsageError: they do not go together.
    """
    by_frame = [task.name for task in tasks if task.level == "frame"]
    if level == "auto":
        level = "frame" if by_frame or model_level == "frame" else "utterance"
    if level == "utterance":
        if by_frame or model_level == "frame":
            what = f"frames are labelled for {' and '.join(by_frame)}" if by_frame else "the model answers for rows"
            raise UsageError(f"level=utterance: {what}; leave --level out, or name other tasks or another model")
        if clock:
            raise UsageError(f"clock={clock}: only level=frame has a clock")
        return level, ""
    return level, clock or (FRAME_LABELS if by_frame and FRAME_LABELS in stores.features else inputs[0])
