"""All networks of a run answering together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.batch import Batches
from pipeline.clip import Task
from pipeline.devices import usable_device
from pipeline.errors import TrainingError, UsageError
from pipeline.evaluation import check_features
from pipeline.joined import JoinedStores
from pipeline.learning.examples import lay_out
from pipeline.learning.scaling import Scaler
from pipeline.runs import Checkpoint, model_class, read_json, seed_folders
from pipeline.scores.answers import is_by_folds, learnt_from_rendered, read_folds_plan
from pipeline.scores.scoring import in_units, outputs_of

SMOKE = "the run is a smoke test of one batch: its answers mean nothing"


@dataclass(frozen=True)
class Answers:
    """What the networks say of N clips.

    Args:
        mean: by task, float32 (N, C): probabilities, or values (N, 1); the mean over all networks.
        spread: by task, float32 (N, C): standard deviation over seeds, each the mean over its folds; None for one seed.
        has: by input, whether a clip has any row of it, bool (N,).
    """

    mean: Mapping[str, np.ndarray]
    spread: Mapping[str, np.ndarray | None]
    has: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Networks:
    """The trained networks of a run: one for each seed, and in a run by folds for each seed of each fold.

    Args:
        run: the run's folder.
        checkpoints: by fold (one without folds), by seed.
        config: the run's ``config.json``.
    """

    run: Path
    checkpoints: tuple[tuple[Checkpoint, ...], ...]
    config: Mapping[str, Any]

    @classmethod
    def load(cls, run: Path) -> Networks:
        """Read the networks of a run and see whether they can answer for a new recording.

        Raises:
            TrainingError: the folder holds no trained network, or networks that do not belong together.
            UsageError: the networks cannot answer for a recording alone; the message says why.
        """
        run = Path(run)
        folders = [run / fold["folder"] for fold in read_folds_plan(run)["folds"]] if is_by_folds(run) else [run]
        found = cls(run, tuple(tuple(Checkpoint.load(folder / "best.pt") for folder in seed_folders(folder))
                               for folder in folders), read_json(folders[0] / "config.json"))
        found._check()
        return found

    def _check(self) -> None:
        for fold in self.checkpoints:
            for checkpoint in fold:
                if _learnt_from(checkpoint) != _learnt_from(self.first) or checkpoint.tasks != self.first.tasks \
                        or [one.seed for one in fold] != [one.seed for one in self.checkpoints[0]]:
                    raise TrainingError(f"the networks of {self.run} were not trained alike (other features, tasks or"
                                        " seeds); carry the run on: python -m pipeline train --resume RUN")
        if model_class(self.first.model).level != "clip" or self.first.training.get("level") == "frame" \
                or any(task.level == "frame" for task in self.tasks):
            raise UsageError(f"{self.run} answers for every row of a clip and not for clips ({self.first.model}, level"
                             " frame); predict needs a run that answers for clips")
        if self.first.training.get("normalise") == "speaker":
            raise UsageError(f"{self.run} was trained with --normalise speaker: each person is standardised by many"
                             " clips of their own, which a new recording does not have; train with --normalise train")

    @property
    def first(self) -> Checkpoint:
        """One of them; all have its inputs and tasks."""
        return self.checkpoints[0][0]

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.first.tasks

    @property
    def num_networks(self) -> int:
        return sum(map(len, self.checkpoints))

    @property
    def stamps(self) -> tuple[str, ...]:
        """What must stand beside every answer."""
        random = [name for name, part in self.first.inputs.items()
                  if any(record.get("source") == "random" for record in records_of(part["recipe"]))]
        stamps = [f"random weights, for trying things out only: {', '.join(random)}"
                  f" {'was' if len(random) == 1 else 'were'} made by networks that never learnt"] if random else []
        return (*learnt_from_rendered(self.run), *stamps, *([SMOKE] if self.first.training.get("smoke") else []))

    def answer(self, stores: JoinedStores, *, device: str = "auto") -> Answers:
        """What all networks say of the clips of some stores.

        Raises:
            StoreError: the features were made by another recipe.
            UsageError: no such device.
        """
        check_features(self.first, stores)
        network = self.first.network()
        batches = lay_out(stores, list(self.first.inputs), (), kind=type(network), pools=network.config.pools,
                          level="utterance", device=usable_device(device)).batches
        by_seed = [self._seed_answers(place, batches, len(stores)) for place in range(len(self.checkpoints[0]))]
        mean, spread = {}, {}
        for task in self.tasks:
            values = np.stack([answers[task.name] for answers in by_seed])                     # (seeds, N, C)
            mean[task.name] = values.mean(0)
            spread[task.name] = values.std(0, ddof=1) if len(values) > 1 else None
        return Answers(mean, spread, batches.has)

    def _seed_answers(self, place: int, batches: Batches, num_clips: int) -> dict[str, np.ndarray]:
        """Of one seed, by task, float32 (N, C): the mean over folds."""
        found: dict[str, list[np.ndarray]] = {task.name: [] for task in self.tasks}
        for fold in self.checkpoints:
            checkpoint = fold[place]
            batches.use_scaler(Scaler.from_state(checkpoint.scaler))
            raw = outputs_of(checkpoint.network().to(batches.device), batches, np.arange(num_clips))
            for task in self.tasks:
                found[task.name].append(in_units(task, raw[task.name], checkpoint.value_scale[task.name]))
        return {name: np.mean(values, axis=0) for name, values in found.items()}


def _learnt_from(checkpoint: Checkpoint) -> list[tuple[str, object]]:
    return [(name, part["fingerprint"]) for name, part in checkpoint.inputs.items()]


def records_of(recipe: object) -> Sequence[Mapping[str, Any]]:
    """The records of weights in a recipe of a checkpoint from anywhere; what is none is left out."""
    found = recipe.get("weights", []) if isinstance(recipe, dict) else []
    return [record for record in found if isinstance(record, dict)] if isinstance(found, list) else []
