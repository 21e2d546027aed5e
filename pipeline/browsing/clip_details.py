"""All that a page shows of one clip, and of each clip in a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.browsing.opened_store import OpenedStore
from pipeline.browsing.row_pictures import has_pictures, is_scaled_alone, is_spectrogram, time_ticks
from pipeline.clip import Clip
from pipeline.curation.inspection import FRAME_LABELS
from pipeline.faces import COLUMNS
from pipeline.speaking.tracks import Track, face_features, read_faces, summarise_tracks
from pipeline.store import STATUSES, TIMES_KINDS


@dataclass(frozen=True)
class Line:
    """One clip in a list.

    Args:
        clip: the clip.
        seconds: its length; None where it is not known.
        labels: by task, in words; "" without one.
        cells: of each feature status and number of rows.
    """

    clip: Clip
    seconds: float | None
    labels: Mapping[str, str]
    cells: Mapping[str, tuple[str, int]]


def describe_lines(opened: OpenedStore, places: Sequence[int]) -> list[Line]:
    """Clips as a list shows them.

    Raises:
        StoreError: the store is damaged.
    """
    store = opened.store
    lines = []
    for place in places:
        seconds = float(opened.lengths[place])
        cells = {name: (STATUSES[store.status_codes(name)[place]], int(store.offsets(name)[place + 1]
                        - store.offsets(name)[place])) for name in store.features}
        lines.append(Line(opened.clips[place], None if np.isnan(seconds) else seconds, labels_of(opened, place), cells))
    return lines


def labels_of(opened: OpenedStore, place: int) -> dict[str, str]:
    """A clip's labels in words, by task; of labelled frames the share of each class."""
    found = {}
    for task in opened.store.corpus.tasks:
        label = opened.clips[place].labels.get(task.name)
        if task.name in opened.frame_tasks:
            found[task.name] = _shares(task.classes, opened.frame_labels(place, task.name)[0], task.positive)
        else:
            found[task.name] = "" if label is None else f"{label:g}" if isinstance(label, float) else label
    return found


def _shares(classes: Sequence[str], labels: np.ndarray, positive: str) -> str:
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    if not counts.sum():
        return ""
    best = classes.index(positive) if positive else int(counts.argmax())
    return f"{classes[best]}\u00a0{100 * counts[best] / counts.sum():.0f}\u00a0%"


@dataclass(frozen=True)
class Lane:
    """Labels of a clip's frames as stretches.

    Args:
        task: its name.
        classes: that occur, with their places in the task's classes.
        stretches: from, to (as shares of the shown time, 0 to 1), place of the class, and what it says.
        seconds: the shown time.
    """

    task: str
    classes: Sequence[tuple[int, str]]
    stretches: Sequence[tuple[float, float, int, str]]
    seconds: float


def lanes(opened: OpenedStore, place: int) -> list[Lane]:
    """What is known of a clip's frames, a lane for each task."""
    found = []
    for name in opened.frame_tasks:
        labels, times = opened.frame_labels(place, name)
        classes = opened.store.corpus.task(name).classes
        if not len(labels) or not np.isfinite(times).all():
            continue
        edges = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1, append=labels[-1] - 1))
        end = max(float(times.max()), 1e-6)
        stretches = [(float(times[start, 0]) / end, float(times[stop - 1, 1]) / end, int(labels[start]),
                      f"{(*classes, 'unknown')[labels[start]]}, {times[start, 0]:.2f}–{times[stop - 1, 1]:.2f} s")
                     for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
        found.append(Lane(name, [(place, classes[place]) for place in np.unique(labels[labels >= 0]).tolist()],
                          stretches, end))
    return found


@dataclass(frozen=True)
class Rows:
    """One feature of a clip.

    Args:
        name: of the feature.
        status: of the clip in it.
        num_rows: how many there are.
        row_shape: of each.
        failures: why there are none: stage, kind, message.
        why_hidden: why the rows are not shown.
        is_spectrogram, is_pictures: how they are drawn.
        columns: their names.
        is_scaled_alone: goes each column from its least to its greatest number?
        ticks: times along the picture.
        times: how the rows' times are known.
    """

    name: str
    status: str
    num_rows: int
    row_shape: tuple[int, ...]
    failures: Sequence[tuple[str, str, str]]
    why_hidden: str
    is_spectrogram: bool
    is_pictures: bool
    columns: tuple[str, ...]
    is_scaled_alone: bool
    ticks: Sequence[tuple[float, str]]
    times: str


def features_of(opened: OpenedStore, place: int) -> list[Rows]:
    """Each feature of a clip, spectrograms first; labels of frames are shown as :func:`lanes`.

    Raises:
        StoreError: rows are damaged.
    """
    store = opened.store
    reasons = _failures(opened).get(opened.clips[place].clip_id, ())
    found = []
    for name in store.features:
        if name == FRAME_LABELS and opened.frame_tasks:
            continue
        head, why, rows = store.head(name), opened.why_hidden(name), store.cell(place, name)
        shown = len(rows.values) > 0 and not why
        found.append(Rows(
            name, STATUSES[store.status_codes(name)[place]], len(rows.values), store.row_shape(name),
            [tuple(reason[1:]) for reason in reasons if reason[0] == name], why, is_spectrogram(head),
            has_pictures(head), head["columns"], is_scaled_alone(rows, head),
            time_ticks(rows, head) if shown else (), TIMES_KINDS[store.times_kinds(name)[place]]))
    return sorted(found, key=lambda rows: not rows.is_spectrogram)


def _failures(opened: OpenedStore) -> dict[str, list[tuple[Any, ...]]]:
    """Feature, stage, kind and message of what failed, by clip id."""
    def gather() -> dict[str, list[tuple[Any, ...]]]:
        found: dict[str, list[tuple[Any, ...]]] = {}
        columns = opened.store.failure_columns()
        for clip_id, *row in zip(*(column.tolist() for column in columns.values()), strict=True):
            found.setdefault(clip_id, []).append(tuple(row))
        return found
    return opened.once("failures", gather)


def failures(opened: OpenedStore) -> list[tuple[str, ...]]:
    """Everything that failed: clip id, feature, stage, kind, message."""
    return [(clip_id, *reason) for clip_id, reasons in _failures(opened).items() for reason in reasons]


def tracks_of(opened: OpenedStore, place: int) -> list[Track] | None:
    """The faces of a clip; None where the store holds none."""
    store = opened.store
    if not any(store.head(name)["columns"] == COLUMNS for name in store.features):
        return None
    return summarise_tracks(read_faces(store, place, *face_features(store)))


def around(opened: OpenedStore, place: int, *, most: int = 4) -> list[int]:
    """Places of the clips before and after this one in its dialogue, itself among them, in the order of turns."""
    clip = opened.clips[place]
    if not clip.dialogue:
        return []
    members = opened.once("dialogues", lambda: _dialogues(opened.clips))[clip.split, clip.dialogue]
    here = members.index(place)
    return members[max(0, here - most):here + most + 1]


def _dialogues(clips: Sequence[Clip]) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for place, clip in enumerate(clips):
        found.setdefault((clip.split, clip.dialogue), []).append(place)
    return {key: sorted(members, key=lambda place: clips[place].turn) for key, members in found.items()}
