"""What a training run will do, settled before it begins: settings, clips, tasks, losses; and what must stop it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import Model
from pipeline.batch import Batches
from pipeline.clip import Task
from pipeline.config import to_json
from pipeline.devices import usable_device
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.joined import JoinedStores, choose_inputs, is_labelled
from pipeline.learning.examples import lay_out
from pipeline.learning.folds import DEV, TEST, TRAIN, Folds, choose_folds
from pipeline.learning.losses import TaskLoss, class_weights
from pipeline.learning.metric_losses import metric_loss
from pipeline.learning.scaling import SPEAKER_NOTE, Scaler
from pipeline.learning.splits import Splits, choose_splits, refuse_leaks
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_hours import fewer_clips
from pipeline.learning.training_start import TrainingStart
from pipeline.learning.units import Units
from pipeline.metrics import main_metric, metric_names
from pipeline.runs import Checkpoint, build_model, model_class

MIN_BATCHES = 10                # batches in an epoch at least …
MIN_BATCH = 4                   # … unless they got smaller than this


@dataclass(frozen=True)
class Material:
    """What all networks of a run share, whichever clips they learn from."""

    model: str
    model_config: Any
    config: TrainConfig
    stores: JoinedStores
    inputs: tuple[str, ...]
    tasks: tuple[Task, ...]
    labels: Mapping[str, np.ndarray]
    units: Units
    batches: Batches
    start: TrainingStart | None

    @property
    def select_by(self) -> str:
        return main_metric(self.tasks[0]) if self.config.select_by == "auto" else self.config.select_by

    @property
    def seeds(self) -> range:
        return range(self.config.seed, self.config.seed + (1 if self.config.smoke else self.config.seeds))

    def plan(self) -> dict[str, Any]:
        """What ``config.json`` holds; the same gives the same plan."""
        return {
            "dataset": self.stores.stores[0].corpus.name, "model": self.model, "inputs": list(self.inputs),
            "features": [os.path.abspath(path) for path in self.stores.paths],
            "fingerprints": {name: self.stores.describe(name)["fingerprint"] for name in self.inputs},
            "tasks": [task.name for task in self.tasks], "select_by": self.select_by,
            "seeds": list(self.seeds), "training": to_json(self.config), "model_config": to_json(self.model_config),
            **({"rendered": list(self.stores.rendered)} if self.stores.rendered else {}),
            **({} if self.start is None else {"start": self.start.plan()})}

    def standardise(self, batches: Batches, train_clips: np.ndarray) -> Scaler:
        """Have some batches standardised as the settings say; the scaler.

        Raises:
            TrainingError: by speaker, and one is unknown.
        """
        by_speaker = self.config.normalise == "speaker"
        scaler = batches.fit_speakers(self.stores.clips["speaker"].to_numpy()) if by_speaker \
            else batches.fit_scaler(train_clips)
        scaler = scaler if self.start is None else self.start.scaler(scaler)
        batches.use_scaler(scaler)
        return scaler


@dataclass(frozen=True)
class Job(Material):
    """Everything that the seeds of one run, or of one fold, share.

    Its ``batches`` are those of the material, and standardised for the job that was settled last.
    """

    run: Path
    splits: Splits
    scaler: Scaler
    train_clips: np.ndarray
    dev_clips: np.ndarray
    losses: Mapping[str, TaskLoss]
    notes: tuple[str, ...]
    fold: str

    @property
    def num_epochs(self) -> int:
        return 1 if self.config.smoke else self.config.epochs

    @property
    def batch_size(self) -> int:
        """Clips in a batch: as set, or a tenth of a small training set, that an epoch be more than a step or two."""
        return min(self.config.batch_size, max(MIN_BATCH, math.ceil(len(self.train_clips) / MIN_BATCHES)))

    def network(self) -> Model:
        """A fresh network, from torch's present chance."""
        return build_model(self.model, to_json(self.model_config), self.batches.inputs, self.tasks,
                           self.batches.layered)

    def checkpoint(self, network: Model, *, seed: int, epoch: int, dev_score: float) -> Checkpoint:
        """All that is needed to use ``network`` elsewhere."""
        return Checkpoint(model=self.model, model_config=to_json(self.model_config),
                          inputs={name: self.stores.describe(name) for name in self.inputs},
                          row_shapes=self.batches.inputs, scaler=self.scaler.state(), tasks=self.tasks,
                          value_scale={name: loss.scale for name, loss in self.losses.items()},
                          training=to_json(self.config), seed=seed, epoch=epoch, score=dev_score,
                          state=network.state_dict())

    @property
    def test_split(self) -> str:
        """Name of the test split, whether the stores have it or not."""
        return TEST if self.fold else self.config.test_split

    def scored_places(self) -> dict[str, np.ndarray]:
        """Clips of each split that are scored at the end; a smoke test takes one batch and leaves the test split."""
        if not self.config.smoke:
            return dict(self.splits.places)
        return {split: places[:self.config.batch_size] for split, places in self.splits.places.items()
                if split != self.test_split}

    def plan(self) -> dict[str, Any]:
        """What ``config.json`` holds; the same job gives the same plan."""
        sizes = {"train": len(self.train_clips), "dev": len(self.dev_clips)}
        return {
            **super().plan(),
            "splits": {"train": self.splits.train, "dev": self.splits.dev, "test": self.splits.test,
                       "dev_carved": self.splits.carved, "dev_is_test": self.config.dev_is_test, "used_clips": sizes},
            "notes": list(self.notes), **({"fold": self.fold} if self.fold else {})}


def prepare(run: Path, stores: JoinedStores, model: str, model_config: Any, config: TrainConfig,
            inputs: Sequence[str] | None = None, tasks: Sequence[str] | None = None) -> Job:
    """Settle what a run will do.

    Args:
        run: its folder.
        stores: what it learns from.
        model, model_config: what is trained.
        config: how.
        inputs, tasks: as in :func:`pipeline.training.train`.

    Raises:
        UsageError: no such model, device or metric, or splits that contradict.
        StoreError: an input or task is not there.
        TrainingError: there is nothing to learn, or the splits leak.
    """
    material = gather(stores, model, model_config, config, inputs, tasks)
    config, first = material.config, material.tasks[0]
    splits = choose_splits(material.stores.clips, first, material.labels[first.name], train=config.train_split,
                           dev=config.dev_split, test=config.test_split, dev_is_test=config.dev_is_test,
                           dev_fraction=config.dev_fraction, seed=config.seed)
    return settle(run, material, splits)


def gather(stores: JoinedStores, model: str, model_config: Any, config: TrainConfig,
           inputs: Sequence[str] | None = None, tasks: Sequence[str] | None = None) -> Material:
    """Read what does not depend on how clips are divided; the arguments and errors are those of :func:`prepare`."""
    answered, kind = _choose_tasks(stores, tasks), model_class(model)
    chosen, first = choose_inputs(stores, inputs, kind.preferred_inputs), answered[0]
    if config.select_by not in ("auto", *metric_names(first)):
        raise UsageError(f"select_by={config.select_by}: task {first.name!r} is scored by"
                         f" {', '.join(metric_names(first))}")
    if config.mixup and (kind.level == "frame" or kind.context):
        raise UsageError(f"mixup={config.mixup:g}: mixup blends whole clips, and {model} answers for rows or is given"
                         " conversations; leave it out")
    laid = lay_out(stores, chosen, answered, kind=kind, pools=model_config.pools, level=config.level,
                   clock=config.clock, context=kind.reads_context(model_config), device=usable_device(config.device))
    config = replace(config, level=laid.level, clock=laid.clock,
                     dev_fraction=config.dev_fraction or stores.stores[0].corpus.dev_fraction)
    if config.metric_loss != "none":
        if kind.level == "frame":
            raise UsageError(f"metric_loss={config.metric_loss}: {model} answers for rows, and distances are between"
                             " clips; leave it out")
        with torch.device("meta"):
            planned = build_model(model, to_json(model_config), laid.batches.inputs, answered, laid.batches.layered)
        metric_loss(config.metric_loss, first, planned.embedding_width)  # refused before anything is written
    start = TrainingStart.open(config.init, lambda: build_model(
        model, to_json(model_config), laid.batches.inputs, answered, laid.batches.layered)) if config.init else None
    labels = {task.name: laid.units.clip_labels(task, len(laid.stores)) for task in answered}
    return Material(model, model_config, config, laid.stores, chosen, tuple(answered), labels, laid.units, laid.batches,
                    start)


@dataclass(frozen=True)
class Teaching:
    """Clips that teach, those that choose the epoch, what is lowered, and which clips had to be left out."""

    train_clips: np.ndarray
    dev_clips: np.ndarray
    losses: Mapping[str, TaskLoss]
    notes: tuple[str, ...]


def teaching(material: Material, splits: Splits, folds: Folds | None = None) -> Teaching:
    """What can be learnt from some splits.

    Args:
        material: of the run.
        splits: of its clips.
        folds: whose splits they are, if any's; those that leak have said so.

    Raises:
        TrainingError: there is nothing to learn, or the splits leak.
    """
    config, labels, first = material.config, material.labels, material.tasks[0]
    if not (config.allow_leaks or (folds is not None and folds.leaks)):
        refuse_leaks(material.stores.clips, splits)
    train_clips, num_without = _train_clips(splits, material.batches, labels, material.tasks)
    notes = [f"{num_without} labelled training clips have none of the inputs and were left out"] if num_without else []
    train_clips, fewer = fewer_clips(train_clips, material.stores, material.inputs, material.units, config)
    dev_places = splits.places[splits.dev]
    dev_clips = dev_places[is_labelled(labels[first.name][dev_places])]
    if not len(dev_clips):
        raise TrainingError(f"no clip of {splits.dev!r} is labelled for {first.name!r}, so no epoch can be chosen; name"
                            " another split with --dev-split")
    dev_clips = dev_clips[:config.batch_size] if config.smoke else dev_clips
    taught = material.units.of(train_clips)
    losses = {task.name: _loss(task, config, material.units.labels[task.name][taught], material.batches.device)
              for task in material.tasks}
    return Teaching(train_clips, dev_clips, losses, (*notes, *fewer))


def settle(run: Path, material: Material, splits: Splits, folds: Folds | None = None, fold: str = "") -> Job:
    """Settle one job, and standardise the material's batches for it; the errors are those of :func:`teaching`.

    Args:
        run: its folder.
        material, splits, folds: as there.
        fold: name of the one that it is.
    """
    taught = teaching(material, splits, folds)
    scaler = material.standardise(material.batches, taught.train_clips)
    notes = [*material.stores.notices, *_notes(material.config, splits, folds, fold), *taught.notes,
             *([] if material.start is None else [material.start.note])]
    return Job(**{field.name: getattr(material, field.name) for field in fields(Material)}, run=run, splits=splits,
               scaler=scaler, train_clips=taught.train_clips, dev_clips=taught.dev_clips, losses=taught.losses,
               notes=tuple(notes), fold=fold)


def check_folds(material: Material) -> Folds:
    """The folds of a run, in each of which something can be learnt.

    Raises:
        TrainingError: in one there cannot.
    """
    config = material.config
    folds = choose_folds(material.stores, config.folds, material.tasks, material.labels, dev=config.fold_dev,
                         dev_fraction=config.dev_fraction, seed=config.seed)
    for fold in folds.folds:
        try:
            teaching(material, fold.splits, folds)
        except TrainingError as error:
            raise TrainingError(f"fold {fold.name!r} of {folds.protocol}: {error}") from error
    return folds


def folds_plan(material: Material, folds: Folds) -> dict[str, Any]:
    """``config.json`` of a run by folds; every fold has its own besides."""
    notes = [*material.stores.notices, *folds.stamps,
             *([SPEAKER_NOTE] if material.config.normalise == "speaker" else []), *folds.notes]
    if material.config.allow_leaks:
        notes.append("leaks between folds were allowed")
    labelled = np.any([is_labelled(values) for values in material.labels.values()], axis=0)
    without = int((labelled & ~np.any(list(material.batches.has.values()), axis=0)).sum())
    if without:
        notes.append(f"{without} labelled clips have none of the inputs: they are tested and do not train")
    return {**material.plan(), "splits": {"train": TRAIN, "dev": DEV, "test": TEST}, "folds": folds.plan(),
            "notes": notes}


def _choose_tasks(stores: JoinedStores, tasks: Sequence[str] | None) -> list[Task]:
    for name in tasks or ():
        if name not in stores.tasks:
            raise StoreError(f"{' and '.join(map(str, stores.paths))} has no task {name!r}, only"
                             f" {', '.join(stores.tasks) or 'none'}")
    chosen = [stores.tasks[name] for name in dict.fromkeys(tasks)] if tasks else list(stores.tasks.values())
    if not chosen:
        raise TrainingError(f"{' and '.join(map(str, stores.paths))} has no labels; a manifest gets some by a column"
                            " that is named after a task")
    return chosen


def _train_clips(splits: Splits, batches: Batches, labels: Mapping[str, np.ndarray],
                 tasks: Sequence[Task]) -> tuple[np.ndarray, int]:
    """Clips that teach something, and how many labelled ones were left out because they have no input."""
    places = splits.places[splits.train]
    labelled = np.any([is_labelled(labels[task.name][places]) for task in tasks], axis=0)
    if not labelled.any():
        raise TrainingError(f"no clip of {splits.train!r} is labelled for {' or '.join(task.name for task in tasks)};"
                            " there is nothing to learn")
    has = np.any([part[places] for part in batches.has.values()], axis=0)
    if not (labelled & has).any():
        raise TrainingError(f"no labelled clip of {splits.train!r} has any rows of {', '.join(batches.has)}; see:"
                            " python -m pipeline inspect")
    return places[labelled & has], int((labelled & ~has).sum())


def _loss(task: Task, config: TrainConfig, labels: np.ndarray, device: torch.device) -> TaskLoss:
    """The loss of a task, fitted to the labels of the training clips (n,).

    Raises:
        TrainingError: all of them are alike, or there are none.
    """
    known = labels[is_labelled(labels)]
    if len(set(known.tolist())) < 2:
        found = "no label at all"
        if len(known):
            found = f"the one label {task.classes[known[0]] if task.classes else known[0]}"
        raise TrainingError(f"the training clips have {found} for {task.name!r}; learning needs at least two, or leave"
                            " the task out with --tasks")
    if task.classes:
        weights = torch.from_numpy(class_weights(known, len(task.classes), config.class_weights)).to(device)
        return TaskLoss(task, weights, config.label_smoothing)
    return TaskLoss(task, torch.ones(1, device=device), value_loss=config.value_loss, mean=float(known.mean()),
                    sd=float(known.std()))


def _notes(config: TrainConfig, splits: Splits, folds: Folds | None, fold: str) -> list[str]:
    """What a reader of the scores must know."""
    notes = [SPEAKER_NOTE] if config.normalise == "speaker" else []
    if folds is not None:
        notes += [*folds.stamps, f"one fold of {folds.protocol}: {fold}"]
        if splits.carved:
            notes.append(f"dev is carved from the fold's training clips by group, seed {config.seed}")
    elif splits.carved:
        notes.append(f"no split {splits.dev!r}: carved from {splits.train!r} by group, seed {config.seed}")
    if config.dev_is_test:
        notes.append("the epoch was chosen on the test split: the scores are too good")
    elif splits.test is None:
        notes.append(f"no split {config.test_split!r}: scores are of the split that chose the epoch")
    if config.allow_leaks:
        notes.append("leaks between splits were allowed")
    return notes
