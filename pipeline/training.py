"""Training small networks on stored features: one loop that reads in one sitting, several seeds, honest scores."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from models import Model, count_parameters
from pipeline.baselines import Clips, score_baselines
from pipeline.batch import Batch
from pipeline.config import with_settings
from pipeline.errors import TrainingError, unknown_name
from pipeline.evaluation import Scored, decide, in_units, outputs_of
from pipeline.joined import is_labelled, open_stores
from pipeline.jobs import Job, TrainConfig, prepare
from pipeline.metrics import LOWER_IS_BETTER, score
from pipeline.runs import (Checkpoint, append_history, count_read, load_tensors, model_class, read_history, read_json,
                           save_tensors, write_history, write_json, write_text)

RUNS = Path("runs")


class Progress(Protocol):
    """Told how training goes on."""

    def on_start(self, plan: Mapping[str, Any]) -> None:
        """What will be done, as ``config.json`` holds it: inputs, tasks, splits, notes."""

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        """After each epoch, counted from 1: the line that ``history.jsonl`` got."""


class Quiet:
    """Progress for callers who want none."""

    def on_start(self, plan: Mapping[str, Any]) -> None:
        pass

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        pass


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
        TrainingError: nothing can be learnt (no clips, no labels, one class), the splits leak, or ``out`` holds a run.
    """
    model_config, config = _configs(model, settings or {}, config)
    stores = open_stores(features)
    run = out if out is not None else RUNS / f"{stores.stores[0].corpus.name}-{model}-{datetime.now():%Y%m%d-%H%M%S-%f}"
    if (run / "config.json").exists():
        raise TrainingError(f"{run} already holds a run; continue it with: python -m pipeline train --resume {run}, or"
                            " name another folder")
    job = prepare(run, stores, model, model_config, config, inputs, tasks)
    write_json(run / "config.json", job.plan())
    return _run(job, progress or Quiet())


def resume(run: Path, *, progress: Progress | None = None) -> Path:
    """Carry on a run that was interrupted; it ends with the scores of one that was not.

    Finished seeds stay, the one in work goes on after its last finished epoch, and scoring is done at the end. A run
    that has its scores stays as it is: the test split is not read again.

    Args:
        run: folder of the run.
        progress: is told what happens.

    Raises:
        TrainingError: the folder holds no run, or its stores changed since.
        StoreError: a store cannot be read.
    """
    if (run / "metrics.json").exists():
        return run
    plan = read_json(run / "config.json")
    kind = model_class(plan["model"])
    settings = {name: tuple(value) if isinstance(value, list) else value
                for name, value in plan["model_config"].items()}
    stores = open_stores([Path(path) for path in plan["features"]])
    job = prepare(run, stores, plan["model"], kind.Config(**settings), TrainConfig(**plan["training"]),
                  plan["inputs"], plan["tasks"])
    if job.plan() != plan:
        changed = [name for name, value in job.plan().items() if value != plan.get(name)]
        raise TrainingError(f"the stores of {run} changed since it began ({', '.join(changed)} differ); train anew")
    return _run(job, progress or Quiet())


def _configs(model: str, settings: Mapping[str, str], config: TrainConfig) -> tuple[Any, TrainConfig]:
    """Share out the settings: those that TrainConfig has are its own, all others are the model's."""
    training = {field.name for field in dataclasses.fields(TrainConfig)}
    defaults = model_class(model).Config()
    known = training | {field.name for field in dataclasses.fields(defaults)}
    for name in settings:
        if name not in known:
            raise unknown_name(f"setting of {model} or of training", name, known)
    own = {name: text for name, text in settings.items() if name in training}
    others = {name: text for name, text in settings.items() if name not in training}
    return with_settings(defaults, others, owner=model), with_settings(config, own, owner="training")


def _run(job: Job, progress: Progress) -> Path:
    """Train every seed, then score once."""
    progress.on_start(job.plan())
    with _threads(job.config.threads):
        for seed in job.seeds:
            train_seed(job, seed, progress)
        _write_results(job)
    return job.run


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Let torch use so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_seed(job: Job, seed: int, progress: Progress) -> None:
    """Train one network to its end; an interrupted one goes on after its last whole epoch.

    The caller's chance (torch's global generators) is as before when this returns.
    """
    folder, device = job.run / f"seed{seed}", job.batches.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        state = TrainingState.fresh(job, seed)
        if (folder / "last.pt").exists():
            state.load(folder / "last.pt")
        kept = [line for line in read_history(job.run) if line["seed"] != seed or line["epoch"] <= state.epoch]
        write_history(job.run, kept)
        if state.finished(job):
            return
        with SummaryWriter(str(folder), purge_step=state.epoch + 1 if state.epoch else None) as board:
            while not state.finished(job):
                start = time.perf_counter()
                train_loss = training_epoch(job, state)
                dev_loss, scores = _validate(job, state.network)
                state.epoch += 1
                first = scores[job.tasks[0].name][job.select_by]
                rank = (-first if job.select_by in LOWER_IS_BETTER else first, -dev_loss)
                state.schedule.step(rank[0])
                line = {"seed": seed, "epoch": state.epoch, "train_loss": train_loss, "dev_loss": dev_loss,
                        "lr": state.optimiser.param_groups[0]["lr"], "dev": scores}
                if rank > state.best:
                    state.best, state.best_epoch = rank, state.epoch
                    best = job.checkpoint(state.network, seed=seed, epoch=state.epoch, dev_score=first)
                    best.save(folder / "best.pt")
                line["seconds"] = round(time.perf_counter() - start, 4)
                append_history(job.run, line)
                _write_events(board, line)
                state.save(folder / "last.pt")
                progress.on_epoch(seed, state.epoch, job.num_epochs, line)


@dataclasses.dataclass
class TrainingState:
    """All that changes while one network trains; ``last.pt`` holds it between epochs.

    Args:
        network, optimiser, schedule: what learns.
        shuffle: chance of the clips' order; that of dropout is torch's own.
        epoch: epochs done.
        best: dev score (higher is better) and negative dev loss of the best epoch.
        best_epoch: which that was.
    """

    network: Model
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.ReduceLROnPlateau
    shuffle: torch.Generator
    epoch: int = 0
    best: tuple[float, float] = (-math.inf, -math.inf)
    best_epoch: int = 0

    @classmethod
    def fresh(cls, job: Job, seed: int) -> TrainingState:
        """A network before its first step; its weights come from torch's present chance."""
        network = job.network().to(job.batches.device)
        optimiser = torch.optim.AdamW(network.parameters(), lr=job.config.lr, weight_decay=job.config.weight_decay,
                                      fused=True)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, mode="max", factor=0.5,
                                                              patience=job.config.plateau)
        return cls(network, optimiser, schedule, torch.Generator().manual_seed(seed))

    def finished(self, job: Job) -> bool:
        """Are all epochs done, or has the dev score not risen for as long as patience allows?"""
        return self.epoch >= job.num_epochs or self.epoch - self.best_epoch >= job.config.patience

    def save(self, path: Path) -> None:
        """Write everything, whole."""
        gpu = [torch.cuda.get_rng_state(p.device) for p in list(self.network.parameters())[:1] if p.is_cuda]
        save_tensors(path, {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(),
                            "schedule": self.schedule.state_dict(), "shuffle": self.shuffle.get_state(),
                            "chance": torch.get_rng_state(), "gpu_chance": gpu, "epoch": self.epoch,
                            "best": list(self.best), "best_epoch": self.best_epoch})

    def load(self, path: Path) -> None:
        """Put everything back as it was.

        Raises:
            TrainingError: the file is damaged.
        """
        values = load_tensors(path)
        self.network.load_state_dict(values["network"])
        self.optimiser.load_state_dict(values["optimiser"])
        self.schedule.load_state_dict(values["schedule"])
        self.shuffle.set_state(values["shuffle"])
        torch.set_rng_state(values["chance"])
        for state in values["gpu_chance"]:
            torch.cuda.set_rng_state(state, next(self.network.parameters()).device)
        self.epoch, self.best_epoch = values["epoch"], values["best_epoch"]
        self.best = (values["best"][0], values["best"][1])


def training_epoch(job: Job, state: TrainingState) -> float:
    """One pass over the training clips; the mean loss.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    state.network.train()
    losses = []
    for batch in job.batches.epoch(job.train_clips, job.batch_size, generator=state.shuffle):
        losses.append(training_step(job, state, batch))
        if job.config.smoke:
            break
    mean = float(torch.stack(losses).mean())
    if not math.isfinite(mean):
        raise TrainingError(f"the loss is {mean} after epoch {state.epoch + 1}; lower the learning rate:"
                            f" --set lr={job.config.lr / 10:g}")
    return mean


def training_step(job: Job, state: TrainingState, batch: Batch) -> Tensor:
    """One step down the sum of the tasks' losses on a batch, which is returned."""
    outputs = state.network(batch.features, batch.mask)
    loss = torch.stack([job.losses[task.name](outputs[task.name], batch.labels[task.name])
                        for task in job.tasks]).sum()
    state.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), job.config.gradient_clip)
    state.optimiser.step()
    return loss.detach()


def _validate(job: Job, network: Model) -> tuple[float, dict[str, dict[str, float]]]:
    """Loss and scores of every task on the dev split."""
    raw = outputs_of(network, job.batches, job.dev_clips)
    total, scores = 0.0, {}
    for task in job.tasks:
        labels = job.labels[task.name][job.dev_clips]
        loss, known = job.losses[task.name], is_labelled(labels)
        total += float(loss(raw[task.name], torch.from_numpy(labels).to(raw[task.name].device)))
        if known.any():
            predicted = decide(task, in_units(task, raw[task.name], loss.scale))
            scores[task.name] = score(task, labels[known], predicted[known])
    return total, scores


def _write_events(board: SummaryWriter, line: Mapping[str, Any]) -> None:
    """One epoch for TensorBoard."""
    for name in ("train_loss", "dev_loss", "lr"):
        board.add_scalar(name, line[name], line["epoch"])
    for task, scores in line["dev"].items():
        for metric, value in scores.items():
            board.add_scalar(f"dev/{task}/{metric}", value, line["epoch"])
    board.flush()


def _write_results(job: Job) -> None:
    """Score the best network of every seed once on every labelled split; predictions.csv and metrics.json."""
    checkpoints = [Checkpoint.load(job.run / f"seed{seed}" / "best.pt") for seed in job.seeds]
    outputs = {}
    for checkpoint in checkpoints:
        raw = outputs_of(checkpoint.network().to(job.batches.device), job.batches, np.arange(len(job.stores)))
        outputs[checkpoint.seed] = {task.name: in_units(task, raw[task.name], checkpoint.value_scale[task.name])
                                    for task in job.tasks}
    scored = Scored(outputs, job.scored_places(), job.labels, job.stores.clips["group"].to_numpy(),
                    job.batches.clip_ids, job.batches.has, job.tasks)
    metrics = scored.metrics(bootstrap_seed=job.config.seed, chosen_by=job.select_by)
    notes = list(job.notes)
    if job.config.baselines and not job.config.smoke:
        clips = Clips(job.pooled_features(), job.stores.clips["text"].to_numpy(), job.labels, scored.places,
                      job.train_clips, job.splits.dev)
        baselines = score_baselines(clips, job.tasks, weighting=job.config.class_weights)
        metrics["baselines"] = baselines.scores
        notes += baselines.notes
    reads = job.test_split in scored.places
    write_text(job.run / "predictions.csv", scored.table().to_csv(index=False))
    write_json(job.run / "metrics.json", {
        **metrics, "best_epochs": {str(checkpoint.seed): checkpoint.epoch for checkpoint in checkpoints},
        "num_parameters": count_parameters(checkpoints[0].network()), "dev_is_test": job.config.dev_is_test,
        "smoke": job.config.smoke, "notes": notes,
        "test_reads": count_read(job.stores.paths, split=job.test_split, run=job.run, by="train") if reads else {}})
