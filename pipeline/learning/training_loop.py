"""Training one network: the loop, in one sitting; what changes in it lies on disk after every epoch."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from models import Model
from pipeline.batch import Batch
from pipeline.errors import TrainingError
from pipeline.joined import is_labelled
from pipeline.learning.jobs import Job
from pipeline.learning.metric_losses import MetricLoss, metric_loss
from pipeline.learning.mixup import mix
from pipeline.learning.modality_dropout import ModalityDropout
from pipeline.learning.optimiser import AdamW, Plateau
from pipeline.metrics import LOWER_IS_BETTER, positive_scores, score
from pipeline.runs import append_history, load_tensors, read_history, save_tensors, write_history
from pipeline.scores.scoring import decide, in_units, outputs_of


class Progress(Protocol):
    """Told how training goes on."""

    def on_start(self, plan: Mapping[str, Any]) -> None:
        """What will be done, as ``config.json`` holds it: inputs, tasks, splits, notes."""

    def on_fold(self, name: str, number: int, num_folds: int) -> None:
        """Before each fold, counted from 1, of a run by folds."""

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        """After each epoch, counted from 1: the line that ``history.jsonl`` got."""


class Quiet:
    """Progress for callers who want none."""

    def on_start(self, plan: Mapping[str, Any]) -> None:
        pass

    def on_fold(self, name: str, number: int, num_folds: int) -> None:
        pass

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        pass


def train_seed(job: Job, seed: int, progress: Progress) -> None:
    """Train one network to its end; an interrupted one goes on after its last whole epoch.

    The caller's chance (torch's global generators) is as before when this returns.
    """
    device = job.batches.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        state = TrainingState.begin(job, seed)
        if state.finished(job):
            return
        with open_board(job, state) as board:
            while not state.finished(job):
                start = time.perf_counter()
                line = end_epoch(job, state, training_epoch(job, state))
                line["seconds"] = round(time.perf_counter() - start, 4)
                append_history(job.run, line)
                write_events(board, line)
                state.save(job.run)
                progress.on_epoch(seed, state.epoch, job.num_epochs, line)


def end_epoch(job: Job, state: TrainingState, train_loss: float) -> dict[str, Any]:
    """Validate, keep the network if it is the best so far, and see to the learning rate.

    Returns:
        What ``history.jsonl`` is to say of the epoch, but for its seconds.
    """
    dev_loss, scores = _validate(job, state.network)
    state.epoch += 1
    first = scores[job.tasks[0].name][job.select_by]
    rank = (-first if job.select_by in LOWER_IS_BETTER else first, -dev_loss)
    state.schedule.step(rank[0])
    line = {"seed": state.seed, "epoch": state.epoch, "train_loss": train_loss, "dev_loss": dev_loss,
            "lr": state.schedule.lr, "dev": scores}
    if state.metric is not None:
        line["metric_batches"] = {"seen": int(state.metric.num_batches),
                                  "without_pairs": int(state.metric.num_without)}
    if rank > state.best:
        state.best, state.best_epoch = rank, state.epoch
        best = job.checkpoint(state.network, seed=state.seed, epoch=state.epoch, dev_score=first)
        best.save(job.run / f"seed{state.seed}" / "best.pt")
    return line


def open_board(job: Job, state: TrainingState) -> SummaryWriter:
    """What TensorBoard reads of one network; events after its last whole epoch no longer count."""
    return SummaryWriter(str(job.run / f"seed{state.seed}"), purge_step=state.epoch + 1 if state.epoch else None)


@dataclasses.dataclass
class TrainingState:
    """All that changes while one network trains; ``last.pt`` holds it between epochs.

    Args:
        seed: whose.
        network: what learns.
        optimiser, schedule: by which steps.
        shuffle: chance of the clips' order; that of dropout is torch's own.
        epoch: epochs done.
        best: dev score (higher is better) and negative dev loss of the best epoch.
        best_epoch: which that was.
        metric: the loss on distances, with what it learns; None for none.
        metric_optimiser: by which it learns.
    """

    seed: int
    network: Model
    optimiser: AdamW
    schedule: Plateau
    shuffle: torch.Generator
    epoch: int = 0
    best: tuple[float, float] = (-math.inf, -math.inf)
    best_epoch: int = 0
    metric: MetricLoss | None = None
    metric_optimiser: AdamW | None = None

    @classmethod
    def begin(cls, job: Job, seed: int) -> TrainingState:
        """Where training starts or goes on; torch's chance and ``history.jsonl`` are put as they were then.

        Raises:
            TrainingError: ``last.pt`` is damaged.
        """
        torch.manual_seed(seed)
        state = cls.fresh(job, seed)
        if (job.run / f"seed{seed}" / "last.pt").exists():
            state.load(job.run / f"seed{seed}" / "last.pt")
        kept = [line for line in read_history(job.run) if line["seed"] != seed or line["epoch"] <= state.epoch]
        write_history(job.run, kept)
        return state

    @classmethod
    def fresh(cls, job: Job, seed: int) -> TrainingState:
        """A network before its first step; its weights come from torch's present chance."""
        network = job.network()
        if job.start is not None:
            job.start.load_into(network)
        if job.config.normalise == "train":
            network.use_units(job.scaler.state())
        network = network.to(job.batches.device)
        metric = metric_loss(job.config.metric_loss, job.tasks[0], network.embedding_width)
        centres = None if metric is None else AdamW(metric.to(job.batches.device).parameters(), weight_decay=0.0)
        return cls(seed, network, AdamW(network.parameters(), job.config.weight_decay),
                   Plateau(job.config.lr, job.config.plateau), torch.Generator().manual_seed(seed), metric=metric,
                   metric_optimiser=centres)

    def finished(self, job: Job) -> bool:
        """Are all epochs done, or has the dev score not risen for as long as patience allows?"""
        return self.epoch >= job.num_epochs or self.epoch - self.best_epoch >= job.config.patience

    def save(self, run: Path) -> None:
        """Write everything, whole."""
        gpu = [torch.cuda.get_rng_state(p.device) for p in list(self.network.parameters())[:1] if p.is_cuda]
        save_tensors(run / f"seed{self.seed}" / "last.pt", {
            "network": self.network.state_dict(), "optimiser": self.optimiser.state(),
            "schedule": self.schedule.state(), "shuffle": self.shuffle.get_state(), "chance": torch.get_rng_state(),
            "gpu_chance": gpu, "epoch": self.epoch, "best": list(self.best), "best_epoch": self.best_epoch,
            "metric": None if self.metric is None else self.metric.state_dict(),
            "metric_optimiser": None if self.metric_optimiser is None else self.metric_optimiser.state()})

    def load(self, path: Path) -> None:
        """Put everything back as it was.

        Raises:
            TrainingError: the file is damaged, or of another network or version.
        """
        try:
            self._take(load_tensors(path))
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise TrainingError(f"{path} does not fit the run ({type(error).__name__}); expected what this version"
                                " wrote: remove it, and this seed begins anew") from error

    def _take(self, values: Mapping[str, Any]) -> None:
        self.network.load_state_dict(values["network"])
        self.optimiser.load(values["optimiser"])
        self.schedule.load(values["schedule"])
        self.shuffle.set_state(values["shuffle"])
        torch.set_rng_state(values["chance"])
        for state in values["gpu_chance"]:
            torch.cuda.set_rng_state(state, next(self.network.parameters()).device)
        self.epoch, self.best_epoch = values["epoch"], values["best_epoch"]
        self.best = (values["best"][0], values["best"][1])
        if self.metric is not None and self.metric_optimiser is not None:
            self.metric.load_state_dict(values["metric"])
            self.metric_optimiser.load(values["metric_optimiser"])


def training_epoch(job: Job, state: TrainingState) -> float:
    """One pass over the training clips; the mean loss.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    state.network.train()
    losses, dropout = [], modality_dropout(job, state)
    for places in job.batches.places(job.train_clips, job.batch_size, generator=state.shuffle,
                                     batch_rows=job.config.batch_rows):
        losses.append(training_step(job, state, dropout.withhold(job.batches.take(places), places)))
        if job.config.smoke:
            break
    return finite(float(torch.stack(losses).mean()), job, state)


def modality_dropout(job: Job, state: TrainingState) -> ModalityDropout:
    """What a network is not given in the epoch that it begins."""
    return ModalityDropout.draw(job.config.modality_dropout, job.stores, job.inputs, seed=state.seed, epoch=state.epoch)


def finite(loss: float, job: Job, state: TrainingState) -> float:
    """The mean loss of an epoch.

    Raises:
        TrainingError: it is no longer a number.
    """
    if not math.isfinite(loss):
        raise TrainingError(f"the loss is {loss} after epoch {state.epoch + 1}; lower the learning rate:"
                            f" --set lr={job.config.lr / 10:g}")
    return loss


def training_step(job: Job, state: TrainingState, batch: Batch) -> Tensor:
    """One step down the sum of the tasks' losses on a batch, and of the metric loss if there is one; the sum."""
    mixture = mix(batch, job.config.mixup)
    batch = mixture.batch
    embedding = None if state.metric is None else state.network.embed(batch.features, batch.mask)
    outputs = batch.answers(state.network) if embedding is None else state.network.decide(embedding)
    loss = summed_losses(job, state.network, outputs, batch.labels)
    if mixture.share < 1:
        others = summed_losses(job, state.network, outputs, mixture.others)
        loss = mixture.share * loss + (1 - mixture.share) * others
    if state.metric is not None and embedding is not None:
        loss = loss + job.config.metric_weight * state.metric(embedding, batch.labels[job.tasks[0].name])
    torch.autograd.backward(loss)
    state.optimiser.step(state.schedule.lr, job.config.gradient_clip)
    if state.metric_optimiser is not None:
        state.metric_optimiser.step(state.schedule.lr)
    return loss.detach()


def summed_losses(job: Job, network: Model, outputs: Mapping[str, Tensor],
                  labels: Mapping[str, Tensor]) -> Tensor:
    """Sum of the losses of all answers."""
    return torch.stack([_task_weight(network, name) * job.losses[name.split("/")[0]](
        values, labels[name.split("/")[0]]) for name, values in outputs.items()]).sum()


def _task_weight(network: Model, name: str) -> float:
    """Weight of an answer in the loss: 1 of a task's own, as the model says of those beside it (``"TASK/NAME"``)."""
    return network.auxiliary_weights[name.split("/")[1]] if "/" in name else 1.0


def _validate(job: Job, network: Model) -> tuple[float, dict[str, dict[str, float]]]:
    """Loss and scores of every task on the dev split."""
    raw = outputs_of(network, job.batches, job.dev_clips)
    total, scores = 0.0, {}
    for task in job.tasks:
        labels = job.units.labels[task.name][job.units.of(job.dev_clips)]
        loss, known = job.losses[task.name], is_labelled(labels)
        total += float(loss(raw[task.name], torch.from_numpy(labels).to(raw[task.name].device)))
        if known.any():
            outputs = in_units(task, raw[task.name], loss.scale)[known]
            scores[task.name] = score(task, labels[known], decide(task, outputs), positive_scores(task, outputs))
    return total, scores


def write_events(board: SummaryWriter, line: Mapping[str, Any]) -> None:
    """One epoch for TensorBoard."""
    for name in ("train_loss", "dev_loss", "lr"):
        board.add_scalar(name, line[name], line["epoch"])
    for task, scores in line["dev"].items():
        for metric, value in scores.items():
            board.add_scalar(f"dev/{task}/{metric}", value, line["epoch"])
    board.flush()
