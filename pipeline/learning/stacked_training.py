"""Training the networks of several seeds at once: their parameters stacked, one product of matrices for all of them.

Every network learns what it would learn by itself, but for rounding: it has its own start, its own order of clips, its
own chance of dropout, its own learning rate and norm of gradients, and stops by itself. Between epochs each is one
:class:`pipeline.learning.training_loop.TrainingState`; only an epoch's steps are taken together. Networks under
``torch.func.vmap`` run the model's own ``forward``, so a model says that it can (``Model.stackable``) and does no more.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from joblib import cpu_count
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils.tensorboard import SummaryWriter

from models import Model
from models._dropout import Dropout
from pipeline.batch import Batch
from pipeline.learning.jobs import Job
from pipeline.learning.modality_dropout import withhold
from pipeline.learning.optimiser import too_long
from pipeline.learning.training_loop import (Progress, TrainingState, end_epoch, finite, modality_dropout, open_board,
                                             summed_losses, training_epoch, write_events)
from pipeline.runs import append_history, model_class

MOST_STACKS = 2                 # side by side in threads; more would wait for the interpreter


@dataclass(frozen=True)
class Member:
    """One of the networks that train together.

    Args:
        state: the network and all that changes with it.
        chance: of its dropout: what torch's own would be in a run of this seed alone.
        board: for TensorBoard.
    """

    state: TrainingState
    chance: torch.Generator
    board: SummaryWriter

    @contextmanager
    def by_itself(self) -> Iterator[None]:
        """Let the member's chance be torch's own for a while."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.chance.get_state())
            yield
            self.chance.set_state(torch.get_rng_state())


def why_apart(job: Job) -> str:
    """Why the networks of a job's seeds have to be trained one after the other; "" where they need not."""
    config = job.config
    if not model_class(job.model).stackable:
        return f"{job.model} cannot stack its networks"
    if config.mixup or config.metric_loss != "none":
        return "mixup and metric_loss are not stacked"
    return "" if job.batches.device.type == "cpu" else "networks are stacked on the processor only"


def with_note(job: Job) -> Job:
    """The job with a note if its seeds have to be trained one after the other although they are wanted together."""
    why = why_apart(job) if job.config.together and len(job.seeds) > 1 else ""
    return replace(job, notes=(*job.notes, f"seeds are trained one after the other: {why}")) if why else job


def train_together(job: Job, progress: Progress) -> None:
    """Train the networks of all seeds to their ends; interrupted ones go on after their last whole epoch.

    They leave the files that :func:`pipeline.learning.training_loop.train_seed` leaves, an epoch of each in turn; an
    epoch's ``seconds`` are its share of the time that all took. Whoever has stopped takes no more time.

    Raises:
        TrainingError: the loss of one is no longer a number, or its ``last.pt`` is damaged.
    """
    with ExitStack() as boards:
        members = []
        for seed in job.seeds:
            member = _begin(job, seed)
            if not member.state.finished(job):
                members.append(replace(member, board=boards.enter_context(member.board)))
        while members:
            start = time.perf_counter()
            lines = _epoch(job, members)
            seconds = round((time.perf_counter() - start) / len(members), 4)
            for member, line in zip(members, lines, strict=True):
                append_history(job.run, {**line, "seconds": seconds})
                write_events(member.board, line)
            for member in members:                                          # at once, so that a kill parts them seldom
                with member.by_itself():
                    member.state.save(job.run)
            for line in lines:
                progress.on_epoch(line["seed"], line["epoch"], job.num_epochs, {**line, "seconds": seconds})
            members = [member for member in members if not member.state.finished(job)]


def _begin(job: Job, seed: int) -> Member:
    with torch.random.fork_rng(devices=[]):
        state, chance = TrainingState.begin(job, seed), torch.Generator()
        chance.set_state(torch.get_rng_state())
        return Member(state, chance, open_board(job, state))


def _epoch(job: Job, members: Sequence[Member]) -> list[dict[str, Any]]:
    """One pass of each network over the training clips, in its own order; what is to be said of their epochs."""
    if len(members) == 1:
        with members[0].by_itself():
            return [end_epoch(job, members[0].state, training_epoch(job, members[0].state))]
    num_stacks = min(MOST_STACKS, cpu_count(), len(members) // 2)
    parts = [members[len(members) * place // num_stacks:len(members) * (place + 1) // num_stacks]
             for place in range(num_stacks)]
    with ThreadPoolExecutor(num_stacks, initializer=torch.set_num_threads, initargs=(job.config.threads,)) as threads:
        return [line for lines in threads.map(lambda part: _stacked_epoch(job, part), parts) for line in lines]


def _stacked_epoch(job: Job, members: Sequence[Member]) -> list[dict[str, Any]]:
    states = [member.state for member in members]
    stack = Stack.of(states, [member.chance for member in members])
    orders = [job.batches.places(job.train_clips, job.batch_size, generator=state.shuffle) for state in states]
    dropouts = [modality_dropout(job, state) for state in states]
    losses = [stack.step(job, states, withhold(dropouts, stacked_batch(job, places), places))
              for places in zip(*orders, strict=True)]
    stack.give_back(states)
    means = torch.stack(losses).mean(0).tolist()
    return [end_epoch(job, state, finite(mean, job, state)) for state, mean in zip(states, means, strict=True)]


def stacked_batch(job: Job, places: Sequence[np.ndarray]) -> Batch:
    """A batch for each of N networks, one behind the other.

    Args:
        job: whose clips.
        places: of each network's clips, int64 (B,).

    Returns:
        The batches as one whose features, mask and labels are (N, B, …).
    """
    batch = job.batches.take(np.concatenate(places))
    features, mask, labels = ({name: values.view(len(places), -1, *values.shape[1:]) for name, values in part.items()}
                              for part in (batch.features, batch.mask, batch.labels))
    return replace(batch, features=features, mask=mask, labels=labels)


@dataclass(frozen=True)
class Stack:
    """Networks of one kind that compute as one.

    Args:
        network: one of them, a copy that lends its ``forward``.
        parameters: of all N by name, (N, …).
        views: the parameters of each, parts of ``parameters``, in the order of its optimiser.
    """

    network: Model
    parameters: Mapping[str, Tensor]
    views: Sequence[Sequence[Tensor]]

    @classmethod
    def of(cls, states: Sequence[TrainingState], chances: Sequence[torch.Generator]) -> Stack:
        """The networks of some states, with the generators of their dropout."""
        parameters, _ = stack_module_state([state.network for state in states])
        network = copy.deepcopy(states[0].network).train()
        for part in network.modules():
            if isinstance(part, Dropout):
                part.chances = chances
            elif type(part) is nn.Linear:
                setattr(part, "forward", partial(_linear, part))
        parts = [values.detach().unbind(0) for values in parameters.values()]
        return cls(network, parameters, list(zip(*parts, strict=True)))

    def step(self, job: Job, states: Sequence[TrainingState], batch: Batch) -> Tensor:
        """One step of each network down the losses on its own batch; these losses, (N,)."""
        def loss(parameters: Mapping[str, Tensor], features: Mapping[str, Tensor], mask: Mapping[str, Tensor],
                 labels: Mapping[str, Tensor]) -> Tensor:
            outputs = functional_call(self.network, dict(parameters), (features, mask))
            return summed_losses(job, self.network, outputs, labels)

        losses: Tensor = vmap(loss)(self.parameters, batch.features, batch.mask, batch.labels)
        gradients = [values.contiguous() for values in  # laid out like the parameters, as the fused step expects
                     torch.autograd.grad(losses.sum(), list(self.parameters.values()))]
        norms = torch.stack([values.flatten(1).norm(dim=1) for values in gradients]).norm(dim=0)
        divisors = too_long(norms, job.config.gradient_clip)
        by_network = zip(*[values.unbind(0) for values in gradients], strict=True)
        for state, views, own, divisor in zip(states, self.views, by_network, divisors, strict=True):
            state.optimiser.update(views, own, state.schedule.lr, divisor)
        return losses.detach()

    @torch.no_grad()
    def give_back(self, states: Sequence[TrainingState]) -> None:
        """Let each network have its parameters."""
        for state, views in zip(states, self.views, strict=True):
            for own, learnt in zip(state.optimiser.parameters, views, strict=True):
                own.copy_(learnt)


def _linear(layer: nn.Linear, values: Tensor) -> Tensor:
    """What the layer gives, by a product whose gradient is laid out like the weights: the usual one's is transposed,
    and stacked it would have to be copied."""
    product = torch.matmul(layer.weight, values.mT)                         # (out, B)
    return (product if layer.bias is None else product + layer.bias.unsqueeze(1)).mT
