"""A trained active-speaker network on face tracks that were found in a video: how sure it is that each face speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models import Context
from pipeline.config import digest
from pipeline.errors import TrainingError, UsageError
from pipeline.media import FeatureSequence
from pipeline.runs import Checkpoint, seed_folders
from pipeline.weights import file_digest

# What a run of face tracks may have learnt from, and the settings that must be the same here as there.
INPUTS: Mapping[str, tuple[str, ...]] = {"asd_faces": ("part",), "asd_audio": ("spectra",)}
SCENE_ROWS = 4096       # in a scene at most, padding included: 210 MB of pictures, seven faces for 23 seconds


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
            check_made_alike(self.path, name, self.checkpoints[0].inputs[name]["recipe"], recipes[name])

    def scorer(self, device: torch.device) -> SpeakerScorer:
        """The networks, ready on a device.

        Raises:
            TrainingError: one does not fit its model.
        """
        return SpeakerScorer(self, device)


def check_made_alike(run: Path, name: str, learnt: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse a feature that is made otherwise than the one that a run learnt from; clips may be tracks or videos.

    Args:
        run: which learnt.
        name: of :data:`INPUTS`.
        learnt, found: recipes.

    Raises:
        UsageError: it is.
    """
    there, here = ({"version": recipe.get("version"), **{
        key: recipe.get("settings", {}).get(key) for key in INPUTS[name]}} for recipe in (learnt, found))
    if there != here:
        changed = ", ".join(f"{key} was {there[key]} and is {here[key]}" for key in there if there[key] != here[key])
        raise UsageError(f"{run} learnt from another {name}: {changed}; say --set"
                         f" {name}.{INPUTS[name][0]}={there[INPUTS[name][0]]}, or name another run")


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
        """How sure it is that each face speaks, the mean over the run's networks; every track for itself, or beside
        those that are in view with it where the run learnt so.

        Args:
            features: ``asd_faces``, whose rows are tracks one after the other, each in order of time; and, if the run
                hears, ``asd_audio`` with the same rows, or none where there is no sound.
            spans: rows of each track; by default :func:`spans_of` the times.

        Returns:
            float32 (rows of ``asd_faces``,) in [0, 1].

        Raises:
            TrainingError: rows of another shape than the networks learnt from.
        """
        times = features["asd_faces"].times
        found, tracks = np.zeros(len(times), np.float32), list(spans_of(times) if spans is None else spans)
        together = any(network.context for network in self._networks)
        for scene in scenes_of(tracks, times) if together else [[span] for span in tracks]:
            outputs = [self._probability(checkpoint, place, features, scene)
                       for place, checkpoint in enumerate(self.run.checkpoints)]
            for track, span in enumerate(scene):
                found[span] = np.mean([output[track, :span.stop - span.start] for output in outputs], axis=0)
        return found

    def _probability(self, checkpoint: Checkpoint, place: int, features: Mapping[str, FeatureSequence],
                     scene: Sequence[slice]) -> np.ndarray:
        """What one network says of some tracks, (N, T)."""
        rows, mask = {}, {}
        for name in checkpoint.inputs:
            values, shape = features[name].values, checkpoint.row_shapes[name]
            if values.shape[1:] != shape:
                raise TrainingError(f"{self.run.path} learnt from rows of {name} of shape {shape}, found"
                                    f" {values.shape[1:]}; extract it as for the run")
            scaler = checkpoint.scaler[name]
            own = [torch.from_numpy(values[span].astype(np.float32)) if len(values) else torch.zeros(
                span.stop - span.start, *shape) for span in scene]
            rows[name] = pad_sequence([(part - scaler["mean"]) / scaler["sd"] for part in own], True).to(self.device)
            mask[name] = pad_sequence([torch.full((len(part),), len(values) > 0) for part in own], True).to(self.device)
        task = next(task for task in checkpoint.tasks if task.level == "frame" and task.positive)
        context = [_one_scene(features["asd_faces"].times, scene, self.device)] if self._networks[place].context else []
        with torch.inference_mode():
            outputs: Tensor = self._networks[place](rows, mask, *context)[task.name]
        return np.asarray(outputs.float().softmax(2)[..., self.run.positive].cpu())


def _one_scene(times: np.ndarray, scene: Sequence[slice], device: torch.device) -> Context:
    """What a network is told of tracks that are in view together."""
    number = torch.arange(len(scene), device=device)
    own = [torch.from_numpy(times[span].mean(1).astype(np.float32)) for span in scene]
    middles = pad_sequence(own, batch_first=True, padding_value=torch.inf)
    return Context(torch.zeros_like(number), number, torch.full_like(number, -1),
                   torch.zeros(len(scene), device=device), middles.to(device))


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


def scenes_of(spans: Sequence[slice], times: np.ndarray, *, most_rows: int = SCENE_ROWS) -> list[list[slice]]:
    """Tracks of a video by scene: those that are in view together, directly or through others.

    A video of an hour has hundreds of tracks, which no batch could hold. Tracks are taken by when they begin; a scene
    ends where all its tracks have ended before the next begins, or where that one would make it larger than allowed.

    Args:
        spans: rows of each track, at least one.
        times: start and stop of each row, seconds, (R, 2).
        most_rows: in a scene, all its tracks as long as the longest; a longer track is a scene of its own.

    >>> scenes_of([slice(0, 1), slice(1, 2), slice(2, 3)], np.array([[5.0, 6.0], [0.0, 1.0], [0.5, 1.5]]))
    [[slice(1, 2, None), slice(2, 3, None)], [slice(0, 1, None)]]
    """
    found: list[list[slice]] = []
    longest, end = 0, -np.inf
    for span in sorted(spans, key=lambda span: float(times[span.start, 0])):
        longest = max(longest, span.stop - span.start)
        if times[span.start, 0] >= end or (len(found[-1]) + 1) * longest > most_rows:
            found.append([])
            longest, end = span.stop - span.start, -np.inf
        found[-1].append(span)
        end = max(end, float(times[span.stop - 1, 1]))
    return found
