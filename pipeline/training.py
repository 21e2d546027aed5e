"""Training on stored features: a run, or one for every fold; it can be stopped and carried on; honest scores."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.config import to_json, with_settings
from pipeline.devices import torch_threads
from pipeline.errors import TrainingError, unknown_name
from pipeline.joined import open_stores
from pipeline.learning.folds import Folds
from pipeline.learning.jobs import Job, Material, check_folds, folds_plan, gather, prepare, settle
from pipeline.learning.results import pool_folds, write_results
from pipeline.learning.stacked_training import train_together, why_apart, with_note
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import Progress, Quiet, train_seed
from pipeline.runs import model_class, read_json, write_json

RUNS = Path("runs")


def train(features: Path | Sequence[Path], *, model: str = "intermediate", settings: Mapping[str, str] | None = None,
          inputs: Sequence[str] | None = None, tasks: Sequence[str] | None = None, config: TrainConfig = TrainConfig(),
          out: Path | None = None, progress: Progress | None = None) -> Path:
    """Train a model on stored features and score it.

    Args:
        features: a store, or several that are joined by clip id.
        model: name of a file in ``models``.
        settings: text by field of the model's Config or of :class:`TrainConfig`, as typed after ``--set``.
        inputs: features to learn from; by default one for each of text, sound and picture
            (:func:`pipeline.joined.choose_inputs`).
        tasks: what to learn, the first of which chooses the epoch; by default all that the store is labelled for.
        config: how to train, before ``settings``.
        out: folder of the run; by default ``runs/CORPUS-MODEL-TIME``.
        progress: is told what happens.

    Returns:
        The folder of the run (:mod:`pipeline.runs`).

    Raises:
        UsageError: an unknown model, setting or device, a metric that the task has not, or splits that contradict.
        StoreError: a store cannot be read, or lacks an input or task.
        TrainingError: nothing can be learnt (no clips, no labels, one class), the splits or folds leak, speakers are
            unknown that must be known, or ``out`` holds a run.
    """
    model_config, config = settings_for(model, settings or {}, config)
    if config.init:
        config = dataclasses.replace(config, init=os.path.abspath(config.init))
    stores = open_stores(features)
    run = out if out is not None else RUNS / f"{stores.stores[0].corpus.name}-{model}-{datetime.now():%Y%m%d-%H%M%S-%f}"
    if (run / "config.json").exists():
        raise TrainingError(f"{run} already holds a run; continue it with: python -m pipeline train --resume {run}, or"
                            " name another folder")
    if config.folds:
        if config.folds.lower().endswith(".csv"):
            config = dataclasses.replace(config, folds=os.path.abspath(config.folds))
        material = gather(stores, model, model_config, config, inputs, tasks)
        return _run_folds(run, material, check_folds(material), progress or Quiet())
    return _run(with_note(prepare(run, stores, model, model_config, config, inputs, tasks)), progress or Quiet())


def resume(run: Path, *, progress: Progress | None = None) -> Path:
    """Carry on a run that was interrupted; it ends with the scores of one that was not.

    Finished folds and seeds stay, the one in work goes on after its last finished epoch, and scoring is done at the
    end. A run that has its scores stays as it is: the test split is not read again.

    Args:
        run: folder of the run.
        progress: is told what happens.

    Raises:
        TrainingError: the folder holds no run or a single fold, or its stores or folds changed since.
        UsageError: its model, or the file of its folds, is no longer there.
        StoreError: a store cannot be read.
    """
    if (run / "metrics.json").exists():
        return run
    return _carry_out(run, run, _plan_of(run), None, progress or Quiet())


def train_again(run: Path, out: Path, *, features: Sequence[Path] | None = None,
                progress: Progress | None = None) -> Path:
    """Train anew what a run was trained from: its stores, inputs, settings, seeds and folds.

    Args:
        run: its folder.
        out: a new folder.
        features: its stores, where they are no longer where the run found them.
        progress: is told what happens.

    Returns:
        The new folder.

    Raises:
        TrainingError: as for :func:`resume`, or ``out`` holds a run.
        UsageError, StoreError: as for :func:`resume`.
    """
    if (out / "config.json").exists():
        raise TrainingError(f"{out} already holds a run; name another folder")
    return _carry_out(run, out, _plan_of(run), features, progress or Quiet())


def _plan_of(run: Path) -> dict[str, Any]:
    plan: dict[str, Any] = read_json(run / "config.json")
    if "fold" in plan:
        raise TrainingError(f"{run} is one fold of a run; name the whole run: {run.parent}")
    return plan


def _carry_out(run: Path, out: Path, plan: Mapping[str, Any], features: Sequence[Path] | None,
               progress: Progress) -> Path:
    """Do in ``out`` what the plan of a run says, if its stores and folds are what they were."""
    kind = model_class(plan["model"])
    settings = {name: tuple(value) if isinstance(value, list) else value
                for name, value in plan["model_config"].items()}
    stores = open_stores([Path(path) for path in features or plan["features"]])
    model_config, config = kind.Config(**settings), _train_config(run, plan)
    arguments = (stores, plan["model"], model_config, config, plan["inputs"], plan["tasks"])
    before = {**plan, "features": [os.path.abspath(path) for path in stores.paths],
              "model_config": to_json(model_config), "training": to_json(config)}  # with settings that came since
    if "folds" in plan:
        material = gather(*arguments)
        folds = check_folds(material)
        _refuse_changes(run, before, folds_plan(material, folds))
        return _run_folds(out, material, folds, progress)
    job = with_note(prepare(out, *arguments))
    _refuse_changes(run, before, job.plan())
    return _run(job, progress)


def _train_config(run: Path, plan: Mapping[str, Any]) -> TrainConfig:
    try:
        return TrainConfig(**plan["training"])
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{run / 'config.json'} has settings that this version does not know ({error}); train"
                            " anew") from error


def _refuse_changes(run: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if now != before:
        changed = [name for name, value in now.items() if value != before.get(name)]
        raise TrainingError(f"the stores or folds of {run} changed since it began ({', '.join(changed)} differ); train"
                            " anew")


def settings_for(model: str, settings: Mapping[str, str], config: TrainConfig) -> tuple[Any, TrainConfig]:
    """Share out the settings: those that TrainConfig has are its own, all others are the model's.

    Args:
        model: its name.
        settings: text by field, as typed after ``--set``.
        config: how to train, before them; where it is as usual, the model's own default for training counts.

    Returns:
        The model's Config and the TrainConfig.

    Raises:
        UsageError: no such model or setting, or a value that it cannot have.
    """
    kind, training = model_class(model), {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    config = dataclasses.replace(config, **{name: value for name, value in kind.training_defaults.items()
                                            if getattr(config, name) == training[name]})
    defaults = kind.Config()
    known = {*training} | {field.name for field in dataclasses.fields(defaults)}
    for name in settings:
        if name not in known:
            raise unknown_name(f"setting of {model} or of training", name, known)
    own = {name: text for name, text in settings.items() if name in training}
    others = {name: text for name, text in settings.items() if name not in training}
    return with_settings(defaults, others, owner=model), with_settings(config, own, owner="training")


def _run(job: Job, progress: Progress) -> Path:
    """Train every seed, then score once."""
    write_json(job.run / "config.json", job.plan())
    if not job.fold:
        progress.on_start(job.plan())
    with torch_threads(job.config.threads):
        if job.config.together and len(job.seeds) > 1 and not why_apart(job):
            train_together(job, progress)
        else:
            for seed in job.seeds:
                train_seed(job, seed, progress)
        write_results(job)
    return job.run


def _run_folds(run: Path, material: Material, folds: Folds, progress: Progress) -> Path:
    """Train and score one fold after the other, those left out that have their scores, then all of them together."""
    plan = folds_plan(material, folds)
    write_json(run / "config.json", plan)
    progress.on_start(plan)
    for number, fold in enumerate(folds.folds, 1):
        progress.on_fold(fold.name, number, len(folds.folds))
        if not (run / fold.folder / "metrics.json").exists():
            _run(with_note(settle(run / fold.folder, material, fold.splits, folds, fold.name)), progress)
    pool_folds(run, material, folds, plan["notes"])
    return run
