"""Scoring trained networks: on the splits they were made for, or on any store with the same features.

``metrics.json`` is what a script reads::

    {SPLIT: {TASK: {METRIC: {"mean": 0.61, "sd": 0.004, "seeds": [0.61, 0.606]}}},      fractions 0–1
     "baselines": {"majority" | "logistic_regression" | "tfidf" …: {SPLIT: {TASK: {METRIC: …}}}},
     "intervals": {SPLIT: {TASK: {"metric", "low", "high", "level", "over", "num_groups",
                                  "by_metric": {METRIC: {"low", "high"}}}}},
     "ensemble": {SPLIT: {TASK: {METRIC: …}}},      of several seeds, by the mean of their probabilities or values
     "calibration": {SPLIT: {TASK: {"error": …}}},  expected calibration error
     "num_clips": {SPLIT: {"scored": {TASK: n}, "without_inputs": n}},
     "missing_modalities": {SPLIT: {FEATURE: n}},
     "test_reads": {STORE: n}, …}

Every labelled clip of a split is scored, those without any input too (the network then gives its base rates), so that
figures for one split always speak of the same clips, whatever failed in extraction. Where rows of clips are answered
for (``"level": "frame"``) these figures count rows, and ``"utterances"`` has those of whole clips whose rows share a
label: by the ``"majority"`` of their rows' answers and by their rows' ``"mean_probability"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clip import Task
from pipeline.devices import usable_device
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.joined import JoinedStores, is_labelled, open_stores
from pipeline.label_maps import MappedStores, find_map
from pipeline.learning.examples import Examples, lay_out
from pipeline.learning.scaling import SPEAKER_NOTE, Scaler
from pipeline.recipes import recipe_differences
from pipeline.runs import Checkpoint, count_read, seed_folders
from pipeline.scores.answers import is_by_folds, learnt_from_rendered, read_folds_plan, unseen
from pipeline.scores.scoring import Scored, in_units, outputs_of

TEST_SPLIT = "test"


def evaluate(run: Path, features: Path | Sequence[Path], *, split: str | None = None,
             device: str = "auto", map_labels: str | None = None) -> dict[str, Any]:
    """Score a run on a store.

    The networks of a run by folds answer together, by the mean of their probabilities or values; but a clip of the
    run's own corpus is answered by the folds alone that did not learn from its group, and left out where all did.

    Args:
        run: folder of a run; all its seeds are scored.
        features: the store, or several that are joined by clip id.
        split: only this split; by default every clip, under ``"all"``.
        device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``.
        map_labels: what the stores' labels are called by the run, where they are another corpus's: the name of a
            shipped map, or a CSV file; see :mod:`pipeline.label_maps`.

    Returns:
        In the shape of ``metrics.json``, without baselines.

    Raises:
        TrainingError: the folder holds no trained network, or the run's speakers count and some are unknown here.
        StoreError: the store lacks a feature, made it by another recipe, has none of the tasks, other classes, or no
            labelled clip there that may be scored.
        UsageError: no such split, device or label map.
    """
    run = Path(run)
    plan = read_folds_plan(run) if is_by_folds(run) else None
    folders = [run / fold["folder"] for fold in plan["folds"]] if plan else [run]
    networks = [[Checkpoint.load(folder / "best.pt") for folder in seed_folders(folder)] for folder in folders]
    stores, first = open_stores(features), networks[0][0]
    check_features(first, stores)
    mapped = MappedStores(stores, find_map(map_labels), first.tasks) if map_labels else None
    stores = mapped or stores
    tasks = shared_tasks(first, stores)
    asked = _places(stores, split)
    may_clips = unseen(run, plan, stores) if plan else np.ones((1, len(stores)), bool)
    places = asked[np.any(may_clips[:, asked], axis=0)]
    network = first.network()
    examples = lay_out(stores, list(first.inputs), tasks, kind=type(network), pools=network.config.pools,
                       level=first.training.get("level", "auto"), clock=first.training.get("clock", ""),
                       context=network.context, device=usable_device(device))
    places, may = examples.clips_of(places), may_clips[:, examples.owner]
    asked_units = examples.units.of(places)
    if not any(is_labelled(examples.units.labels[task.name][asked_units]).any() for task in tasks):
        raise StoreError(f"no clip of {' and '.join(map(str, stores.paths))} in {split or 'any split'} is labelled for"
                         f" {' or '.join(task.name for task in tasks)}{' and unseen by a fold' if plan else ''}; there"
                         " is nothing to score")
    by_speaker = first.training.get("normalise") == "speaker"
    if by_speaker:
        examples.batches.use_scaler(examples.batches.fit_speakers(examples.stores.clips["speaker"].to_numpy()))
    scored = Scored.of(_joint_outputs(networks, may, examples, tasks, by_speaker=by_speaker), {split or "all": places},
                       examples.units, examples.stores, examples.batches.has, tasks)
    notes = [*(examples.stores.notices or learnt_from_rendered(run)), *([SPEAKER_NOTE] if by_speaker else []),
             *([mapped.note] if mapped else [])]
    if (num_places := int(np.any(may_clips[:, asked], axis=0).sum())) < len(asked):
        notes.append(f"{len(asked) - num_places} of {len(asked)} clips are left out: every fold learnt from them or"
                     " their groups")
    metrics = {**scored.metrics(), "normalise": "speaker" if by_speaker else "train", "notes": notes}
    if (examples.stores.clips["split"].to_numpy()[places] == TEST_SPLIT).any() or not may.all():
        metrics["test_reads"] = count_read(stores.paths, split=TEST_SPLIT, run=run, by="evaluate")
    return metrics


def _places(stores: JoinedStores, split: str | None) -> np.ndarray:
    """Places of the clips of a split, or of all.

    Raises:
        UsageError: no such split.
    """
    names = stores.clips["split"].to_numpy()
    if split is None:
        return np.arange(len(stores))
    if split not in names:
        raise UsageError(f"{' and '.join(map(str, stores.paths))} has no split {split!r}, only"
                         f" {', '.join(sorted(set(names))) or 'no clips'}")
    return np.flatnonzero(names == split)


def _joint_outputs(networks: Sequence[Sequence[Checkpoint]], may: np.ndarray, examples: Examples,
                   tasks: Sequence[Task], *, by_speaker: bool) -> dict[int, dict[str, np.ndarray]]:
    """Outputs of each seed for all units, the mean over the folds that may answer; where none may, 0.

    Raises:
        TrainingError: folds have other seeds.
    """
    sums: dict[int, dict[str, np.ndarray]] = {}
    batches, owner = examples.batches, examples.units.owner
    for fold, checkpoints in zip(may, networks, strict=True):
        if [checkpoint.seed for checkpoint in checkpoints] != [checkpoint.seed for checkpoint in networks[0]]:
            raise TrainingError("the folds of the run have different seeds; carry it on: python -m pipeline train"
                                " --resume RUN")
        for checkpoint in checkpoints:
            if not by_speaker:
                batches.use_scaler(Scaler.from_state(checkpoint.scaler))
            raw = outputs_of(checkpoint.network().to(batches.device), batches, np.arange(len(fold)))
            for task in tasks:
                values = in_units(task, raw[task.name], checkpoint.value_scale[task.name]) * fold[owner, None]
                part = sums.setdefault(checkpoint.seed, {})
                part[task.name] = part[task.name] + values if task.name in part else values
    number = np.maximum(may.sum(0), 1)[owner, None].astype(np.float32)
    return {seed: {task: values / number for task, values in part.items()} for seed, part in sums.items()}


def check_features(checkpoint: Checkpoint, stores: JoinedStores) -> None:
    """Are the stores' features made as those that the network learnt from?

    Raises:
        StoreError: one is absent, or made otherwise; the settings that differ are named.
    """
    different = []
    for name, learnt in checkpoint.inputs.items():
        found = stores.describe(name)
        if found["fingerprint"] != learnt["fingerprint"] or found["row_shape"] != list(learnt["row_shape"]):
            changes = [f"{key}: {old!r} became {new!r}" for key, old, new in recipe_differences(
                learnt["recipe"], found["recipe"])] or ["rows of another shape or weights"]
            different.append(f"{name} ({'; '.join(changes[:4])})")
    if different:
        raise StoreError(f"{' and '.join(map(str, stores.paths))} was made by another recipe than the network learnt"
                         f" from: {', '.join(different)}; extract those features again with the settings of the run")


def shared_tasks(checkpoint: Checkpoint, stores: JoinedStores) -> list[Task]:
    """The tasks of a network that the stores are labelled for.

    Raises:
        StoreError: there is none, or one with other classes.
    """
    for task in checkpoint.tasks:
        known = stores.tasks.get(task.name, task)
        if known.classes != task.classes:
            raise StoreError(f"task {task.name!r} has the classes {', '.join(known.classes) or 'none'} in the store and"
                             f" {', '.join(task.classes) or 'none'} in the run; they must be the same, in this order")
    shared = [task for task in checkpoint.tasks if task.name in stores.tasks]
    if not shared:
        raise StoreError(f"{' and '.join(map(str, stores.paths))} is labelled for"
                         f" {', '.join(stores.tasks) or 'nothing'}, the run answers"
                         f" {', '.join(task.name for task in checkpoint.tasks)}")
    return shared
