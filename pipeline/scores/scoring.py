"""What networks say about clips or their rows, in units that people read, and how well that fits the labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from models import Model
from pipeline.batch import Batches
from pipeline.clip import Task
from pipeline.joined import JoinedStores, is_labelled
from pipeline.learning.units import Units
from pipeline.metrics import main_metric, mean_and_sd, positive_scores, score
from pipeline.scores.resampling import confidence_intervals

SCORING_BATCH = 256             # clips at a time; memory only, as no result depends on it
CALIBRATION_BINS = 15
SCORING_ROWS = 8192             # rows at a time of a frame model, padding included


@dataclass(frozen=True)
class Scored:
    """What networks of several seeds say about clips, or rows of clips, that are grouped in splits.

    Args:
        outputs: by seed and task: probabilities (N, C) for classes, else values (N, 1); float32, for all N clips given.
        places: by split name, rows of ``outputs``.
        labels: by task (N,).
        groups: (N,).
        clip_ids: (N,).
        has: by input whether a clip has it, bool (N,).
        tasks: what was answered.
        rows: row and start_seconds where rows of clips were answered for, else None.
    """

    outputs: Mapping[int, Mapping[str, np.ndarray]]
    places: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    groups: np.ndarray
    clip_ids: np.ndarray
    has: Mapping[str, np.ndarray]
    tasks: Sequence[Task]
    rows: pd.DataFrame | None = None

    @classmethod
    def of(cls, outputs: Mapping[int, Mapping[str, np.ndarray]], places: Mapping[str, np.ndarray], units: Units,
           stores: JoinedStores, has: Mapping[str, np.ndarray], tasks: Sequence[Task]) -> Scored:
        """What was said about the units of some stores' clips.

        Args:
            outputs: for all units.
            places: of clips, by split name.
            units: clips, or rows of them.
            stores: whose clips.
            has: by input whether a clip has it, bool (N,).
            tasks: what was answered.
        """
        clips = stores.clips.iloc[units.owner] if units.clock else stores.clips
        rows = units.rows() if units.clock else stores.unit_rows
        return cls(outputs, {split: units.of(clips_of) for split, clips_of in places.items()}, units.labels,
                   clips["group"].to_numpy(), clips["clip_id"].to_numpy(),
                   {name: part[units.owner] for name, part in has.items()}, tasks, rows)

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
        together: dict[str, Any] = {}
        calibration: dict[str, Any] = {}
        for split in self.places:
            for index, task in enumerate(self.tasks):
                places = self.labelled(split, task)
                if not len(places):
                    continue
                labels = self.labels[task.name][places]
                outputs = [values[task.name][places] for values in self.outputs.values()]
                predicted = [decide(task, values) for values in outputs]
                certain = [positive_scores(task, values) for values in outputs]
                scores.setdefault(split, {})[task.name] = summarise(
                    [score(task, labels, *pair) for pair in zip(predicted, certain, strict=True)])
                metric = chosen_by if chosen_by and index == 0 else main_metric(task)
                intervals.setdefault(split, {})[task.name] = interval(
                    task, metric, labels, predicted, self.groups[places], scores=certain, seed=bootstrap_seed)
                mean = np.mean(outputs, axis=0)
                together.setdefault(split, {})[task.name] = summarise(
                    [score(task, labels, decide(task, mean), positive_scores(task, mean))])
                if task.classes:
                    calibration.setdefault(split, {})[task.name] = summarise(
                        [{"error": calibration_error(labels, values)} for values in outputs])
        return {**scores, "intervals": intervals, "level": "utterance" if self.rows is None else "frame",
                **({"ensemble": together} if len(self.outputs) > 1 else {}), "calibration": calibration,
                **self.counts(), **({"utterances": self.utterances()} if self.rows is not None else {})}

    def utterances(self) -> dict[str, Any]:
        """Scores of whole clips, where their rows were answered for and share a label.

        Returns:
            ``{"majority" | "mean_probability": {split: {task: {metric: {"mean", "sd", "seeds"}}}}}``; values are means
            of the rows' under ``"mean_probability"``.
        """
        found: dict[str, Any] = {}
        for split in self.places:
            for task in self.tasks:
                places = self.labelled(split, task)
                _, first, clip = np.unique(self.clip_ids[places].astype(str), return_index=True, return_inverse=True)
                labels = self.labels[task.name][places]
                if task.level == "frame" or not len(places):
                    continue
                means = [_mean_by(values[task.name][places], clip) for values in self.outputs.values()]
                ways = {"mean_probability": means}
                if task.classes:
                    ways["majority"] = [_mean_by(np.eye(len(task.classes), dtype=np.float32)[
                        decide(task, values[task.name][places])], clip) for values in self.outputs.values()]
                for way, several in ways.items():
                    found.setdefault(way, {}).setdefault(split, {})[task.name] = summarise(
                        [score(task, labels[first], decide(task, part), positive_scores(task, part))
                         for part in several])
        return found

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
        """One row for each clip, seed and task: clip_id, split, seed, task, label, prediction, probability_CLASS.

        Where rows of clips were answered for there is one for each of these, and ``row`` and ``start_seconds``.
        """
        parts = []
        for split, places in self.places.items():
            for seed, outputs in self.outputs.items():
                for task in self.tasks:
                    values = outputs[task.name][places]
                    part = pd.DataFrame({"clip_id": self.clip_ids[places], "split": split, "seed": seed,
                                         "task": task.name})
                    if self.rows is not None:
                        part[self.rows.columns] = self.rows.iloc[places].to_numpy()
                        part["row"] = part["row"].astype(int)
                    part["label"] = named(task, self.labels[task.name][places])
                    part["prediction"] = named(task, decide(task, values))
                    for place, name in enumerate(task.classes):
                        part[f"probability_{name}"] = np.round(values[:, place].astype(np.float64), 6)
                    parts.append(part)
        joined: pd.DataFrame = pd.concat(parts, ignore_index=True)
        return joined


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): how far the probability of what is predicted is from how often that
    is right, the mean over clips in :data:`CALIBRATION_BINS` equally wide bins of that probability.

    Args:
        labels: (N,) class indices.
        probabilities: (N, C).

    >>> calibration_error(np.array([0, 0, 1, 1]), np.array([[0.75, 0.25]] * 4))
    0.25
    """
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.minimum((sure * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    apart = np.bincount(place, right - sure, CALIBRATION_BINS)
    return float(np.abs(apart).sum() / len(labels))


def _mean_by(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Means of values (n, C) over those of each group (n,), float32 (groups, C)."""
    sums = np.zeros((int(group.max()) + 1, values.shape[1]))
    np.add.at(sums, group, values)
    return (sums / np.bincount(group)[:, None]).astype(np.float32)


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
             scores: Sequence[np.ndarray | None] = (), seed: int = 0) -> dict[str, Any]:
    """Confidence intervals over groups as ``metrics.json`` has them, the one of ``metric`` first."""
    found = confidence_intervals(task, labels, predictions, groups, scores=scores, seed=seed)
    metric = metric if metric in found else next(iter(found))  # no precision where nothing is to be found
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
        places: which of them, int64 (n,), at least one. A network that looks at conversations sees these alone.

    Returns:
        By task, float32 (n, C), on the device of ``batches``; of a frame model (rows of these clips, C).
    """
    network.eval()
    with torch.inference_mode():
        parts, seen = [], []
        for some in batches.places(places, SCORING_BATCH, batch_rows=SCORING_ROWS):
            batch = batches.take(some)
            answers, steps = batch.answers(network), batch.steps
            parts.append(answers if steps is None else {task: values[steps] for task, values in answers.items()})
            seen.append(batches.units_of(some))
        joined = {task: torch.cat([part[task] for part in parts]) for task in parts[0]}
        came, wanted = np.concatenate(seen), batches.units_of(places)
        if np.array_equal(came, wanted):
            return joined
        order = torch.from_numpy(np.argsort(came)[np.searchsorted(np.sort(came), wanted)]).to(batches.device)
        return {task: values[order] for task, values in joined.items()}


def split_outputs(network: Model, batches: Batches, splits: Iterable[np.ndarray], num_units: int,
                  tasks: Sequence[Task]) -> dict[str, Tensor]:
    """Raw outputs of a network for the clips of each split by themselves, laid out over all units; 0 elsewhere.

    Args:
        network, batches: as for :func:`outputs_of`.
        splits: places of clips.
        num_units: of all clips.
        tasks: what is answered.

    Returns:
        By task, float32 (num_units, C).
    """
    found: dict[str, Tensor] = {}
    for places in splits:
        for name, values in outputs_of(network, batches, places).items() if len(places) else ():
            whole = found.setdefault(name, values.new_zeros(num_units, values.shape[1]))
            whole[torch.from_numpy(batches.units_of(places)).to(whole.device)] = values
    return {task.name: found[task.name] for task in tasks}


def in_units(task: Task, outputs: Tensor, value_scale: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Raw outputs (n, C) as probabilities, or as values by the mean and sd of the training values; float32 (n, C)."""
    mean, sd = value_scale
    values = outputs.float().softmax(1) if task.classes else outputs.float() * sd + mean
    return np.asarray(values.cpu())
