"""A trained active-speaker network on face tracks that were found in a video: how sure it is that each face speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.config import digest
from pipeline.errors import TrainingError, UsageError
from pipeline.media import FeatureSequence
from pipeline.runs import Checkpoint, seed_folders
from pipeline.weights import file_digest

# What a run of face tracks may have learnt from, and the settings that must be the same here as there.
INPUTS: Mapping[str, tuple[str, ...]] = {"asd_faces": ("part",), "asd_audio": ("spectra",)}


@dataclass(frozen=True)
class SpeakerRun:
    """The networks of a run, one for each seed.

    Args:
        path: folder of the run.
        checkpoints: by seed.
        positive: place of the class that is looked for among those that the networks answer.
    """

    path: Path
    checkpoints: tuple[Checkpoint, ...]
    positive: int

    @classmethod
    def open(cls, path: Path) -> SpeakerRun:
        """A run that tells who speaks.

        Raises:
            TrainingError: no run, or a damaged one.
            UsageError: a run of something else, or a start for one.
        """
        if (path / "start.pt").is_file() and not list(path.glob("seed*")):
            raise UsageError(f"{path} holds a part of a network, a start for training; train it first: python -m"
                             f" pipeline train --init {path}")
        checkpoints = tuple(Checkpoint.load(folder / "best.pt") for folder in seed_folders(path))
        for checkpoint in checkpoints:
            tasks = [task for task in checkpoint.tasks if task.level == "frame" and task.positive]
            if not tasks or not checkpoint.inputs.keys() <= INPUTS.keys():
                raise UsageError(f"{path} is no run of an active-speaker network: it answers"
                                 f" {', '.join(task.name for task in checkpoint.tasks)} from"
                                 f" {', '.join(checkpoint.inputs)}; expected a task of frames with a class that is"
                                 f" looked for, from {' and '.join(INPUTS)}; train one with: python -m pipeline train"
                                 " --model active_speaker")
        return cls(path, checkpoints, tasks[0].classes.index(tasks[0].positive))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Features that the networks look at, of ``asd_faces`` and ``asd_audio``."""
        return tuple(name for name in INPUTS if name in self.checkpoints[0].inputs)

    @property
    def digest(self) -> str:
        """Digest of the networks' files."""
        return digest([file_digest(folder / "best.pt") for folder in seed_folders(self.path)])

    def check_recipes(self, recipes: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse features that are made otherwise than those the networks learnt from.

        Pictures may come from face tracks or from videos; what is cut out and how sound is described must be the same.

        Args:
            recipes: of the run's inputs, by feature.

        Raises:
            UsageError: they are.
        """
        for name in self.inputs:
            learnt, found = self.checkpoints[0].inputs[name]["recipe"], recipes[name]
            there, here = ({"version": recipe.get("version"), **{
                key: recipe.get("settings", {}).get(key) for key in INPUTS[name]}} for recipe in (learnt, found))
            if there != here:
                changed = ", ".join(f"{key} was {there[key]} and is {here[key]}" for key in there
                                    if there[key] != here[key])
                raise UsageError(f"{self.path} learnt from another {name}: {changed}; say --set"
                                 f" {name}.{INPUTS[name][0]}={there[INPUTS[name][0]]}, or name another run")

    def scorer(self, device: torch.device) -> SpeakerScorer:
        """The networks, ready on a device.

        Raises:
            TrainingError: one does not fit its model.
        """
        return SpeakerScorer(self, device)


class SpeakerScorer:
    """Networks of a run in memory.

    Args:
        run: whose.
        device: where they are.
    """

    def __init__(self, run: SpeakerRun, device: torch.device) -> None:
        self.run, self.device = run, device
        self._networks = [checkpoint.network().to(device) for checkpoint in run.checkpoints]

    def scores(self, features: Mapping[str, FeatureSequence], spans: Sequence[slice] | None = None) -> np.ndarray:
        """How sure it is that each face speaks, every track for itself; the mean over the run's networks.

        Args:
            features: ``asd_faces``, whose rows are tracks one after the other, each in order of time; and, if the run
                hears, ``asd_audio`` with the same rows, or none where there is no sound.
            spans: rows of each track; by default :func:`spans_of` the times.

        Returns:
            float32 (rows of ``asd_faces``,) in [0, 1].

        Raises:
            TrainingError: rows of another shape than the networks learnt from.
        """
        faces = features["asd_faces"]
        found = np.zeros(len(faces.values), np.float32)
        for span in spans_of(faces.times) if spans is None else spans:
            outputs = [self._probability(checkpoint, place, features, span)
                       for place, checkpoint in enumerate(self.run.checkpoints)]
            found[span] = np.mean(outputs, axis=0)
        return found

    def _probability(self, checkpoint: Checkpoint, place: int, features: Mapping[str, FeatureSequence],
                     span: slice) -> np.ndarray:
        """What one network says of one track, (T,)."""
        rows, mask = {}, {}
        for name in checkpoint.inputs:
            values, shape = features[name].values, checkpoint.row_shapes[name]
            if values.shape[1:] != shape:
                raise TrainingError(f"{self.run.path} learnt from rows of {name} of shape {shape}, found"
                                    f" {values.shape[1:]}; extract it as for the run")
            there = len(values) > 0
            own = torch.from_numpy(values[span].astype(np.float32)) if there else torch.zeros(
                span.stop - span.start, *shape)
            scaler = checkpoint.scaler[name]
            rows[name] = ((own - scaler["mean"]) / scaler["sd"]).unsqueeze(0).to(self.device)
            mask[name] = torch.full(rows[name].shape[:2], there, device=self.device)
        task = next(task for task in checkpoint.tasks if task.level == "frame" and task.positive)
        with torch.inference_mode():
            outputs: Tensor = self._networks[place](rows, mask)[task.name][0]
        return np.asarray(outputs.float().softmax(1)[:, self.run.positive].cpu())


def score_tracks(run: SpeakerRun, faces: FeatureSequence, sound: FeatureSequence,
                 device: torch.device | str = "cpu") -> np.ndarray:
    """:meth:`SpeakerScorer.scores` of a run, for one video."""
    return run.scorer(torch.device(device)).scores({"asd_faces": faces, "asd_audio": sound})


def spans_of(times: np.ndarray) -> list[slice]:
    """Tracks among rows that are one track after the other: a new one begins where a row does not follow the last.

    Args:
        times: start and stop of each row, seconds, (R, 2).

    >>> spans_of(np.array([[0.0, 0.04], [0.04, 0.08], [0.04, 0.08], [0.2, 0.24]]))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    apart = np.abs(times[1:, 0] - times[:-1, 1]) > (times[1:, 1] - times[1:, 0]) / 2
    edges = [0, *(np.flatnonzero(apart) + 1).tolist(), len(times)]
    return [slice(start, stop) for start, stop in zip(edges, edges[1:]) if stop > start]
