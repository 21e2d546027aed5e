"""`mmsa`: the pickle that MMSA (https://github.com/thuiar/MMSA, 2.2) reads as ``custom_feature``.

This is the only pickle that is written here, and none is ever read. It names one function, ``numpy.ndarray``, so that
every version of numpy reads it; but a pickle runs code when it is loaded: load only those that you made.
"""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clip import Task
from pipeline.errors import StoreError, UsageError
from pipeline.exporting.records import write_clips
from pipeline.exporting.selection import Selection, choose_clips, choose_features, printable
from pipeline.joined import MODALITY_GROUPS, JoinedStores, choose_inputs, is_labelled
from pipeline.store import FeatureStore

SPLITS = {"train": "train", "dev": "valid", "test": "test"}     # ours: theirs; MMSA reads all three
INPUTS = ("text", "audio", "vision")                            # MMSA's names, in the order of MODALITY_GROUPS
FILE_NAME = "features.pkl"


class _Late:
    """An array that is made when the pickle reaches it and comes back as a plain ``numpy.ndarray``."""

    def __init__(self, make: Callable[[], np.ndarray]) -> None:
        self._make = make

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        array: Any = np.ascontiguousarray(self._make())
        return np.ndarray, (array.shape, array.dtype.str, pickle.PickleBuffer(array))


def narrow_features(store: FeatureStore, names: Sequence[str] | None, *, share: bool) -> tuple[str, str, str]:
    """The features that become MMSA's text, audio and vision: those named, or what training would choose.

    Raises:
        StoreError: a modality has no feature.
        UsageError: two are named for one modality, or one must not be passed on.
    """
    joined = JoinedStores([store])
    chosen, _ = choose_features(store, choose_inputs(joined, names), share=share)
    found: dict[str, str] = {}
    for name in chosen:
        place = next((index for index, group in enumerate(MODALITY_GROUPS) if store.modality(name) in group), None)
        if place is None:
            raise UsageError(f"{name} is of modality {store.modality(name)!r}; MMSA reads text, audio and video")
        if INPUTS[place] in found:
            raise UsageError(f"{found[INPUTS[place]]} and {name} would both be MMSA's {INPUTS[place]}; name one of them"
                             " in --features")
        found[INPUTS[place]] = name
    if missing := [name for name in INPUTS if name not in found]:
        raise StoreError(f"MMSA reads text, audio and vision, but {store.path} gives no {' and no '.join(missing)}; add"
                         " it with `extract --extractors`, name it in --features, or use another --format")
    return found["text"], found["audio"], found["vision"]


def choose_task(store: FeatureStore, name: str | None) -> Task:
    """The task whose labels are written: the one named, or the only one.

    Raises:
        StoreError: there is no task, or none of that name.
        UsageError: there are several and none is named.
    """
    tasks = {task.name: task for task in store.corpus.tasks}
    if name is None and len(tasks) > 1:
        raise UsageError(f"MMSA learns one task, and {store.path} has {', '.join(tasks)}; choose one with --task")
    if name is None and not tasks:
        raise StoreError(f"{store.path} has no labels; MMSA reads labelled clips only, use another --format")
    wanted = name if name is not None else next(iter(tasks))
    store.labels(wanted)
    return tasks[wanted]


def choose_labelled_clips(store: FeatureStore, splits: Sequence[str] | None,
                          task: Task) -> tuple[np.ndarray, tuple[str, ...]]:
    """Places of the clips that MMSA can use, int64, and notes on those that are left out.

    Raises:
        StoreError: train, dev or test has no labelled clip.
    """
    chosen = choose_clips(store, splits)
    split = store.column("split")[chosen].astype(str)
    labelled = is_labelled(store.labels(task.name)[chosen])
    known = np.isin(split, list(SPLITS))
    if missing := [name for name in SPLITS if not (labelled & (split == name)).any()]:
        raise StoreError(f"MMSA reads the splits train, dev and test, but no clip of {' or '.join(missing)} has a label"
                         f" of {task.name}; give the clips those splits, or use another --format")
    notes = []
    if (~labelled & known).any():
        notes.append(f"{int((~labelled & known).sum())} clips without a label of {task.name} are left out")
    if (~known).any():
        notes.append(f"{int((~known).sum())} clips of {', '.join(sorted(set(split[~known])))} are left out: MMSA reads"
                     " train, dev and test")
    return chosen[labelled & known], tuple(notes)


def num_steps(selection: Selection, feature: str) -> int:
    """Rows that every clip gets: mean + 3 standard deviations over the training clips, as MMSA's own files are cut."""
    train = selection.store.column("split")[selection.places] == "train"
    lengths = np.maximum(1, selection.lengths(feature))
    return int(min(lengths.max(), np.ceil(lengths[train].mean() + 3 * lengths[train].std())))


def with_notes(selection: Selection) -> Selection:
    """The selection with notes on clips that are cut or lack a modality."""
    notes = list(selection.notes)
    for name, feature in zip(INPUTS, selection.features, strict=True):
        lengths, steps = selection.lengths(feature), num_steps(selection, feature)
        notes.append(f"{name} is {feature}, {steps} rows a clip: {int((lengths > steps).sum())} clips are cut,"
                     f" {int((lengths == 0).sum())} have none and get one row of zeros")
    return dataclasses.replace(selection, notes=tuple(notes))


def write(selection: Selection, folder: Path) -> None:
    """``features.pkl``: ``{"train" | "valid" | "test": {key: values}}``, and the clip table.

    Keys are MMSA's: raw_text, id, text, audio and vision (N, T, D), audio_lengths, vision_lengths, annotations,
    regression_labels (the class index, in a classification) and, of classes, classification_labels. Ours are
    text_lengths, and text_present, audio_present and vision_present: whether a clip has rows of its own.

    Args:
        selection: of three features, for text, audio and vision, and one task.
        folder: an empty one.
    """
    write_clips(folder, selection)
    steps = {name: num_steps(selection, feature) for name, feature in zip(INPUTS, selection.features, strict=True)}
    split = selection.store.column("split")[selection.places]
    content = {theirs: _split(dataclasses.replace(selection, places=selection.places[split == ours]), steps)
               for ours, theirs in SPLITS.items()}
    with (folder / FILE_NAME).open("wb") as file:
        pickler = pickle.Pickler(file, protocol=5)
        pickler.fast = True     # no memo, which would keep every array until the end
        pickler.dump(content)


def _split(part: Selection, steps: Mapping[str, int]) -> dict[str, Any]:
    task = part.task
    assert task is not None
    labels = part.store.labels(task.name)[part.places]
    texts = [""] * len(part) if part.share else map(printable, part.store.column("text")[part.places].tolist())
    found: dict[str, Any] = {
        "raw_text": list(texts), "id": part.clip_ids(),
        "annotations": [str(label) for label in part.labels(task).tolist()],
        "regression_labels": _Late(lambda: labels.astype(np.float32)),
    }
    if task.classes:
        found["classification_labels"] = _Late(lambda: labels.astype(np.int64))
    for name, feature in zip(INPUTS, part.features, strict=True):
        lengths = part.lengths(feature)
        # One row of zeros where a clip has none: MMSA's recurrent networks refuse a length of 0.
        found[f"{name}_lengths"] = np.clip(lengths, 1, steps[name]).tolist()
        found[f"{name}_present"] = (lengths > 0).tolist()
        found[name] = _Late(functools.partial(_padded, part, feature, steps[name]))
    return found


def _padded(part: Selection, feature: str, steps: int) -> np.ndarray:
    """Rows of all clips, cut and padded with zeros, (N, T, D)."""
    padded = np.zeros((len(part), steps, int(np.prod(part.row_shape(feature)))), part.dtype(feature))
    for first, stop in part.ranges(feature):
        rows = part.values(feature, first, stop).reshape(-1, padded.shape[2])
        lengths = part.lengths(feature, first, stop)
        starts = np.cumsum(lengths) - lengths
        for place, start, length in zip(range(first, stop), starts, np.minimum(lengths, steps), strict=True):
            padded[place, :length] = rows[start:start + length]
        part.advance(len(rows))
    return padded
