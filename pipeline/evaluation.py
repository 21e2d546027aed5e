"""Scoring trained networks: on the splits they were made for, or on any store with the same features.

``metrics.json`` is what a script reads::

    {SPLIT: {TASK: {METRIC: {"mean": 0.61, "sd": 0.004, "seeds": [0.61, 0.606]}}},      fractions 0–1
     "baselines": {"majority" | "logistic_regression" | "tfidf" …: {SPLIT: {TASK: {METRIC: …}}}},
     "intervals": {SPLIT: {TASK: {"metric", "low", "high", "level", "over", "num_groups",
                                  "by_metric": {METRIC: {"low", "high"}}}}},
     "num_clips": {SPLIT: {"scored": {TASK: n}, "without_inputs": n}},
     "missing_modalities": {SPLIT: {FEATURE: n}},
     "test_reads": {STORE: n}, …}

Every labelled clip of a split is scored, those without any input too (the network then gives its base rates), so that
figures for one split always speak of the same clips, whatever failed in extraction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from models import Model
from pipeline.answers import is_by_folds, read_folds_plan, unseen
from pipeline.batch import SPEAKER_NOTE, Batches, Scaler
from pipeline.clip import Task
from pipeline.devices import usable_device
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.joined import JoinedStores, is_labelled, open_stores
from pipeline.metrics import confidence_intervals, main_metric, mean_and_sd, score
from pipeline.runs import Checkpoint, count_read, seed_folders

SCORING_BATCH = 256             # clips at a time; memory only, as no result depends on it
TEST_SPLIT = "test"


@dataclass(frozen=True)
class Scored:
    """What networks of several seeds say about clips that are grouped in splits.

    Args:
        outputs: by seed and task: probabilities (N, C) for classes, else values (N, 1); float32, for all N clips given.
        places: by split name, rows of ``outputs``.
        labels: by task (N,).
        groups: (N,).
        clip_ids: (N,).
        has: by input whether a clip has it, bool (N,).
        tasks: what was answered.
    """

    outputs: Mapping[int, Mapping[str, np.ndarray]]
    places: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    groups: np.ndarray
    clip_ids: np.ndarray
    has: Mapping[str, np.ndarray]
    tasks: Sequence[Task]

    def predictions(self, task: Task) -> dict[int, np.ndarray]:
        """Class index or value of every clip, (N,), by seed."""
        return {seed: decide(task, outputs[task.name]) for seed, outputs in self.outputs.items()}

    def labelled(self, split: str, task: Task) -> np.ndarray:
        """Places of a split's clips that have a label."""
        places = self.places[split]
        return np.asarray(places[is_labelled(self.labels[task.name][places])])

    def metrics(self, *, bootstrap_seed: int = 0, chosen_by: str | None = None) -> dict[str, Any]:
        """The part of ``metrics.json`` that speaks of the networks.

        Args:
            bootstrap_seed: of the resampling for the intervals.
            chosen_by: the metric of the first task that gets an interval; by default each task's own main metric.
        """
        scores: dict[str, Any] = {}
        intervals: dict[str, Any] = {}
        for split in self.places:
            for index, task in enumerate(self.tasks):
                places = self.labelled(split, task)
                if not len(places):
                    continue
                labels = self.labels[task.name][places]
                predicted = [values[places] for values in self.predictions(task).values()]
                scores.setdefault(split, {})[task.name] = summarise([score(task, labels, part) for part in predicted])
                metric = chosen_by if chosen_by and index == 0 else main_metric(task)
                intervals.setdefault(split, {})[task.name] = interval(task, metric, labels, predicted,
                                                                      self.groups[places], seed=bootstrap_seed)
        return {**scores, "intervals": intervals, **self.counts()}

    def counts(self) -> dict[str, Any]:
        """How many clips were scored, and how many lack which input."""
        any_input = np.any(list(self.has.values()), axis=0)
        return {
            "num_clips": {split: {
                "scored": {task.name: len(self.labelled(split, task)) for task in self.tasks},
                "without_inputs": int((~any_input[places]).sum())} for split, places in self.places.items()},
            "missing_modalities": {split: {name: int((~has[places]).sum()) for name, has in self.has.items()}
                                   for split, places in self.places.items()}}

    def table(self) -> pd.DataFrame:
        """One row for each clip, seed and task: clip_id, split, seed, task, label, prediction, probability_CLASS."""
        parts = []
        for split, places in self.places.items():
            for seed, outputs in self.outputs.items():
                for task in self.tasks:
                    values = outputs[task.name][places]
                    part = pd.DataFrame({"clip_id": self.clip_ids[places], "split": split, "seed": seed,
                                         "task": task.name})
                    part["label"] = named(task, self.labels[task.name][places])
                    part["prediction"] = named(task, decide(task, values))
                    for place, name in enumerate(task.classes):
                        part[f"probability_{name}"] = np.round(values[:, place].astype(np.float64), 6)
                    parts.append(part)
        joined: pd.DataFrame = pd.concat(parts, ignore_index=True)
        return joined


def named(task: Task, values: np.ndarray) -> np.ndarray:
    """Class names of class indices ("" where there is none), or the values as numbers; (N,)."""
    if not task.classes:
        return values.astype(np.float64)
    names = dict(enumerate(task.classes))
    return np.asarray([names.get(int(value), "") for value in values], object)


def decide(task: Task, outputs: np.ndarray) -> np.ndarray:
    """The likeliest class, int64 (N,), or the value, float32 (N,), from outputs (N, C)."""
    return outputs.argmax(1) if task.classes else outputs[:, 0]


def summarise(scores: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Scores of several seeds as ``{metric: {"mean", "sd", "seeds"}}``; sd over N − 1, 0 for one seed."""
    summary = {}
    for metric in scores[0]:
        values = [float(part[metric]) for part in scores]
        mean, sd = mean_and_sd(values)
        summary[metric] = {"mean": mean, "sd": sd, "seeds": values}
    return summary


def interval(task: Task, metric: str, labels: np.ndarray, predictions: Sequence[np.ndarray], groups: np.ndarray, *,
             seed: int = 0) -> dict[str, Any]:
    """Confidence intervals over groups as ``metrics.json`` has them, the one of ``metric`` first."""
    found = confidence_intervals(task, labels, predictions, groups, seed=seed)
    low, high = found[metric]
    return {"metric": metric, "low": low, "high": high, "level": 0.95, "over": "groups",
            "num_groups": num_groups(groups),
            "by_metric": {name: {"low": low, "high": high} for name, (low, high) in found.items()}}


def num_groups(groups: np.ndarray) -> int:
    """Distinct groups, each clip without one counting by itself."""
    return len(set(groups[groups != ""])) + int((groups == "").sum())


def outputs_of(network: Model, batches: Batches, places: np.ndarray) -> dict[str, Tensor]:
    """Raw outputs of a network for some clips.

    Args:
        network: in any mode; it is left in evaluation mode.
        batches: the clips, standardised as the network was trained.
        places: which of them, int64 (n,), at least one.

    Returns:
        By task, float32 (n, C), on the device of ``batches``.
    """
    network.eval()
    with torch.inference_mode():
        parts = [network(batch.features, batch.mask) for batch in batches.epoch(places, SCORING_BATCH)]
        return {task: torch.cat([part[task] for part in parts]) for task in parts[0]}


def in_units(task: Task, outputs: Tensor, value_scale: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Raw outputs (n, C) as probabilities, or as values by the mean and sd of the training values; float32 (n, C)."""
    mean, sd = value_scale
    values = outputs.float().softmax(1) if task.classes else outputs.float() * sd + mean
    return np.asarray(values.cpu())


def evaluate(run: Path, features: Path | Sequence[Path], *, split: str | None = None,
             device: str = "auto") -> dict[str, Any]:
    """Score a run on a store.

    The networks of a run by folds answer together, by the mean of their probabilities or values; but a clip of the
    run's own corpus is answered by the folds alone that did not learn from its group, and left out where all did.

    Args:
        run: folder of a run; all its seeds are scored.
        features: the store, or several that are joined by clip id.
        split: only this split; by default every clip, under ``"all"``.
        device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``.

    Returns:
        In the shape of ``metrics.json``, without baselines.

    Raises:
        TrainingError: the folder holds no trained network, or the run's speakers count and some are unknown here.
        StoreError: the store lacks a feature, made it by another recipe, has none of the tasks, other classes, or no
            labelled clip there that may be scored.
        UsageError: no such split or device.
    """
    run = Path(run)
    plan = read_folds_plan(run) if is_by_folds(run) else None
    folders = [run / fold["folder"] for fold in plan["folds"]] if plan else [run]
    networks = [[Checkpoint.load(folder / "best.pt") for folder in seed_folders(folder)] for folder in folders]
    stores, first = open_stores(features), networks[0][0]
    check_features(first, stores)
    tasks = shared_tasks(first, stores)
    asked = _places(stores, split)
    may = unseen(run, plan, stores) if plan else np.ones((1, len(stores)), bool)
    places = asked[np.any(may[:, asked], axis=0)]
    labels = {task.name: stores.labels(task.name) for task in tasks}
    if not any(is_labelled(values[places]).any() for values in labels.values()):
        raise StoreError(f"no clip of {' and '.join(map(str, stores.paths))} in {split or 'any split'} is labelled for"
                         f" {' or '.join(labels)}{' and unseen by a fold' if plan else ''}; there is nothing to score")
    batches = Batches({name: stores.rows(name) for name in first.inputs}, labels,
                      stores.clips["clip_id"].to_numpy(), pools=first.network().config.pools,
                      device=usable_device(device))
    by_speaker = first.training.get("normalise") == "speaker"
    if by_speaker:
        batches.use_scaler(batches.fit_speakers(stores.clips["speaker"].to_numpy()))
    scored = Scored(_joint_outputs(networks, may, batches, tasks, by_speaker=by_speaker), {split or "all": places},
                    labels, stores.clips["group"].to_numpy(), batches.clip_ids, batches.has, tasks)
    notes = [SPEAKER_NOTE] if by_speaker else []
    if len(places) < len(asked):
        notes.append(f"{len(asked) - len(places)} of {len(asked)} clips are left out: every fold learnt from them or"
                     " their groups")
    metrics = {**scored.metrics(), "normalise": "speaker" if by_speaker else "train", "notes": notes}
    if (stores.clips["split"].to_numpy()[places] == TEST_SPLIT).any() or not may.all():
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


def _joint_outputs(networks: Sequence[Sequence[Checkpoint]], may: np.ndarray, batches: Batches,
                   tasks: Sequence[Task], *, by_speaker: bool) -> dict[int, dict[str, np.ndarray]]:
    """Outputs of each seed, the mean over the folds that may answer; where none may, 0.

    Raises:
        TrainingError: folds have other seeds.
    """
    sums: dict[int, dict[str, np.ndarray]] = {}
    for fold, checkpoints in zip(may, networks, strict=True):
        if [checkpoint.seed for checkpoint in checkpoints] != [checkpoint.seed for checkpoint in networks[0]]:
            raise TrainingError("the folds of the run have different seeds; carry it on: python -m pipeline train"
                                " --resume RUN")
        for checkpoint in checkpoints:
            if not by_speaker:
                batches.use_scaler(Scaler.from_state(checkpoint.scaler))
            raw = outputs_of(checkpoint.network().to(batches.device), batches, np.arange(len(fold)))
            for task in tasks:
                values = in_units(task, raw[task.name], checkpoint.value_scale[task.name]) * fold[:, None]
                part = sums.setdefault(checkpoint.seed, {})
                part[task.name] = part[task.name] + values if task.name in part else values
    number = np.maximum(may.sum(0), 1)[:, None].astype(np.float32)
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
            changes = _differences(learnt["recipe"], found["recipe"]) or ["rows of another shape or weights"]
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


def _differences(learnt: Any, found: Any, name: str = "") -> list[str]:
    """Where two recipes differ, as ``settings.layer: -1 became -2``."""
    if isinstance(learnt, Mapping) and isinstance(found, Mapping):
        return [line for key in sorted({*learnt, *found}) if key not in ("fingerprint", "libraries")
                for line in _differences(learnt.get(key), found.get(key), f"{name}.{key}".lstrip("."))]
    return [] if learnt == found else [f"{name}: {learnt!r} became {found!r}"]
