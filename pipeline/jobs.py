"""What a training run will do, settled before it begins: settings, clips, tasks, losses; and what must stop it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from models import Model
from pipeline.batch import Batches, Scaler
from pipeline.clip import Task
from pipeline.config import setting, to_json
from pipeline.devices import usable_device
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.joined import JoinedStores, choose_inputs, is_labelled
from pipeline.losses import TaskLoss, class_weights
from pipeline.metrics import main_metric, metric_names
from pipeline.runs import Checkpoint, build_model
from pipeline.splits import Splits, choose_splits, refuse_leaks

MIN_BATCHES = 10                # batches in an epoch at least …
MIN_BATCH = 4                   # … unless they got smaller than this


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The defaults were chosen on MELD's dev split with frozen sentence features."""

    epochs: int = setting(60, "passes over the training clips at most; early stopping ends most runs sooner")
    batch_size: int = setting(128, "clips in a batch; a small training set is cut into at least ten batches")
    lr: float = setting(1e-3, "learning rate of AdamW at the start; halved on a plateau")
    weight_decay: float = setting(1.0, "decoupled weight decay of AdamW")
    class_weights: Literal["none", "sqrt", "inverse"] = setting(
        "sqrt", "weight of a class in the loss by its rarity; sqrt gains macro F1 without losing weighted F1")
    label_smoothing: float = setting(0.05, "share of the target spread over all classes")
    gradient_clip: float = setting(1.0, "greatest norm of the gradient")
    value_loss: Literal["ccc", "mse"] = setting("ccc", "loss of regressions: 1 − concordance, or mean squared error")
    plateau: int = setting(3, "epochs without a better dev score before the learning rate halves")
    patience: int = setting(12, "epochs without a better dev score before training ends")
    select_by: str = setting("auto", "dev metric of the first task that chooses the epoch; auto: weighted_f1 or ccc")
    seeds: int = setting(1, "how many networks, from seed, seed + 1, …; results are mean ± sd")
    seed: int = setting(0, "first seed: weights, order of clips, dropout, carving of dev")
    train_split: str = setting("train", "split to learn from")
    dev_split: str = setting("dev", "split that chooses the epoch; carved from train by group where it is absent")
    test_split: str = setting("test", "split that is scored once, at the end")
    dev_fraction: float = setting(0.2, "share of the training groups that becomes dev where the corpus has none")
    dev_is_test: bool = setting(False, "choose the epoch on the test split, and stamp every result so")
    allow_leaks: bool = setting(False, "train although a group or a file stands in two splits")
    baselines: bool = setting(True, "score the majority, logistic regression and TF-IDF beside the model")
    smoke: bool = setting(False, "one batch, one epoch, one seed: does it run at all?")
    threads: int = setting(1, "CPU threads of torch; small batches gain nothing from more, and sums would depend on it")
    device: str = setting("auto", "auto, cpu or cuda:N", machine=True)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "seeds", "patience", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, found {getattr(self, name)}")
        if self.lr <= 0 or self.gradient_clip <= 0:
            raise ValueError("lr and gradient_clip are above 0")
        if not (0 <= self.label_smoothing < 1 and 0 < self.dev_fraction < 1):
            raise ValueError("label_smoothing is in [0, 1) and dev_fraction in (0, 1)")


@dataclass(frozen=True)
class Job:
    """Everything that the seeds of one run share."""

    run: Path
    model: str
    model_config: Any
    config: TrainConfig
    stores: JoinedStores
    inputs: tuple[str, ...]
    tasks: tuple[Task, ...]
    splits: Splits
    labels: Mapping[str, np.ndarray]
    batches: Batches
    scaler: Scaler
    train_clips: np.ndarray
    dev_clips: np.ndarray
    losses: Mapping[str, TaskLoss]
    notes: tuple[str, ...]

    @property
    def select_by(self) -> str:
        return main_metric(self.tasks[0]) if self.config.select_by == "auto" else self.config.select_by

    @property
    def seeds(self) -> range:
        return range(self.config.seed, self.config.seed + (1 if self.config.smoke else self.config.seeds))

    @property
    def num_epochs(self) -> int:
        return 1 if self.config.smoke else self.config.epochs

    @property
    def batch_size(self) -> int:
        """Clips in a batch: as set, or a tenth of a small training set, that an epoch be more than a step or two."""
        return min(self.config.batch_size, max(MIN_BATCH, math.ceil(len(self.train_clips) / MIN_BATCHES)))

    def network(self) -> Model:
        """A fresh network, from torch's present chance."""
        return build_model(self.model, to_json(self.model_config), self.batches.inputs, self.tasks)

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
        return self.config.test_split

    def scored_places(self) -> dict[str, np.ndarray]:
        """Clips of each split that are scored at the end; a smoke test takes one batch and leaves the test split."""
        if not self.config.smoke:
            return dict(self.splits.places)
        return {split: places[:self.config.batch_size] for split, places in self.splits.places.items()
                if split != self.test_split}

    def pooled_features(self) -> np.ndarray:
        """Every clip's inputs as one row of pooled, standardised numbers side by side, float32 (N, D)."""
        batches, every = self.batches, np.arange(len(self.stores))
        if not batches.pools:
            batches = Batches({name: self.stores.rows(name) for name in self.inputs}, {}, batches.clip_ids,
                              pools=("mean",))
            batches.use_scaler(batches.fit_scaler(self.train_clips))
        features = batches.take(every).features
        return np.concatenate([values[:, 0].cpu().numpy() for values in features.values()], axis=1)

    def plan(self) -> dict[str, Any]:
        """What ``config.json`` holds; the same job gives the same plan."""
        sizes = {"train": len(self.train_clips), "dev": len(self.dev_clips)}
        return {
            "dataset": self.stores.stores[0].corpus.name, "features": [os.path.abspath(path) for path in
                                                                       self.stores.paths],
            "model": self.model, "model_config": to_json(self.model_config), "inputs": list(self.inputs),
            "fingerprints": {name: self.stores.describe(name)["fingerprint"] for name in self.inputs},
            "tasks": [task.name for task in self.tasks], "select_by": self.select_by,
            "splits": {"train": self.splits.train, "dev": self.splits.dev, "test": self.splits.test,
                       "dev_carved": self.splits.carved, "dev_is_test": self.config.dev_is_test, "used_clips": sizes},
            "seeds": list(self.seeds), "training": to_json(self.config), "notes": list(self.notes)}


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
    chosen = choose_inputs(stores, inputs)
    answered = _choose_tasks(stores, tasks)
    labels = {task.name: stores.labels(task.name) for task in answered}
    first = answered[0]
    if config.select_by not in ("auto", *metric_names(first)):
        raise UsageError(f"select_by={config.select_by}: task {first.name!r} is scored by"
                         f" {', '.join(metric_names(first))}")
    splits = choose_splits(stores.clips, first, labels[first.name], train=config.train_split, dev=config.dev_split,
                           test=config.test_split, dev_is_test=config.dev_is_test, dev_fraction=config.dev_fraction,
                           seed=config.seed)
    if not config.allow_leaks:
        refuse_leaks(stores.clips, splits)
    batches = Batches({name: stores.rows(name) for name in chosen}, labels, stores.clips["clip_id"].to_numpy(),
                      pools=model_config.pools, device=usable_device(config.device))
    train_clips, num_without = _train_clips(splits, batches, labels, answered)
    dev_places = splits.places[splits.dev]
    dev_clips = dev_places[is_labelled(labels[first.name][dev_places])]
    if not len(dev_clips):
        raise TrainingError(f"no clip of {splits.dev!r} is labelled for {first.name!r}, so no epoch can be chosen; name"
                            " another split with --dev-split")
    dev_clips = dev_clips[:config.batch_size] if config.smoke else dev_clips
    scaler = batches.fit_scaler(train_clips)
    batches.use_scaler(scaler)
    losses = {task.name: _loss(task, config, labels[task.name][train_clips], batches.device) for task in answered}
    return Job(run=run, model=model, model_config=model_config, config=config, stores=stores, inputs=chosen,
               tasks=tuple(answered), splits=splits, labels=labels, batches=batches, scaler=scaler,
               train_clips=train_clips, dev_clips=dev_clips, losses=losses,
               notes=_notes(config, splits, num_without))


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


def _notes(config: TrainConfig, splits: Splits, num_without: int) -> tuple[str, ...]:
    """What a reader of the scores must know."""
    notes = []
    if splits.carved:
        notes.append(f"no split {splits.dev!r}: carved from {splits.train!r} by group, seed {config.seed}")
    if config.dev_is_test:
        notes.append("the epoch was chosen on the test split: the scores are too good")
    elif splits.test is None:
        notes.append(f"no split {config.test_split!r}: scores are of the split that chose the epoch")
    if config.allow_leaks:
        notes.append("leaks between splits were allowed")
    if num_without:
        notes.append(f"{num_without} labelled training clips have none of the inputs and were left out")
    return tuple(notes)
