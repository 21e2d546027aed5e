"""AdamW by torch's fused kernel, and a learning rate that halves on a plateau, as values that are saved as they are.

They do as ``torch.optim.AdamW`` and ``ReduceLROnPlateau``, which a test holds them to. Making one of those loads
torch's compiler, which takes as long as several epochs here, and counts steps by one small tensor for each parameter,
which takes longer than the kernel; and a step of several networks at once needs each one's own rate and norm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BETAS = (0.9, 0.999)            # of torch.optim.AdamW, as all numbers here
EPSILON = 1e-8
THRESHOLD = 1e-4                # share by which a score is to rise to count as better


class AdamW:
    """Adam with decoupled weight decay (I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019).

    Args:
        parameters: what is learnt; frozen ones are left out.
        weight_decay: share of a parameter, times the learning rate, that each step takes away.

    Attributes:
        parameters: those that are not frozen.
        steps: taken so far, a float32 scalar in a list; an empty list without parameters.
        first, second: running means of its gradient and of the squared gradient, shaped like it.
    """

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.weight_decay = weight_decay
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters[:1]]
        self.first = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]

    def step(self, lr: float, greatest_norm: float = math.inf) -> None:
        """Move the parameters against their gradients, which are then gone; those without one stay.

        Args:
            lr: learning rate.
            greatest_norm: gradients whose norm together is larger are scaled to it.
        """
        gradients = [parameter.grad for parameter in self.parameters]
        if any(gradient is not None for gradient in gradients):
            norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
            self.update(self.parameters, gradients, lr, too_long(norm, greatest_norm))
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def update(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], lr: float,
               divisor: Tensor) -> None:
        """Move tensors that stand for the parameters by gradients that stand for theirs.

        Args:
            parameters: changed in place, in the order of :attr:`parameters`.
            gradients: one each, or None where there is none; they may be changed.
            lr: learning rate.
            divisor: of all gradients, scalar.
        """
        moved = [place for place, gradient in enumerate(gradients) if gradient is not None]
        self.steps[0] += 1
        torch._fused_adamw_([parameters[place] for place in moved],
                            [gradient for gradient in gradients if gradient is not None],
                            [self.first[place] for place in moved], [self.second[place] for place in moved], [],
                            self.steps * len(moved), grad_scale=divisor, lr=lr, beta1=BETAS[0], beta2=BETAS[1],
                            weight_decay=self.weight_decay, eps=EPSILON, amsgrad=False, maximize=False)

    def state(self) -> dict[str, list[Tensor]]:
        """What changes, as :func:`pipeline.runs.save_tensors` takes it."""
        return {"steps": self.steps, "first": self.first, "second": self.second}

    @torch.no_grad()
    def load(self, state: dict[str, list[Tensor]]) -> None:
        """Put it back.

        Raises:
            ValueError, KeyError, RuntimeError: it is of other parameters.
        """
        for name, own in self.state().items():
            for mine, given in zip(own, state[name], strict=True):
                mine.copy_(given)


def too_long(norm: Tensor, greatest: float) -> Tensor:
    """What gradients of some norm, or of several, are divided by so that the norm is ``greatest`` at most.

    >>> too_long(torch.tensor([0.5, 4.0]), 2.0).tolist()
    [1.0, 2.000000476837158]
    """
    return ((norm + 1e-6) / greatest).clamp(min=1)


@dataclass
class Plateau:
    """A learning rate that halves when a score has not risen for a while.

    Args:
        lr: the rate now.
        patience: epochs without a better score that are borne.
        best: highest score that counted as better.
        waited: epochs since.
    """

    lr: float
    patience: int
    best: float = -math.inf
    waited: int = 0

    def step(self, score: float) -> None:
        """Take an epoch's score, higher is better."""
        better = score > self.best * (1 + THRESHOLD)
        self.best, self.waited = (score, 0) if better else (self.best, self.waited + 1)
        if self.waited > self.patience:
            self.waited = 0
            if self.lr / 2 > EPSILON:
                self.lr /= 2

    def state(self) -> dict[str, Any]:
        """What changes, as plain values."""
        return {"lr": self.lr, "best": self.best, "waited": self.waited}

    def load(self, state: dict[str, Any]) -> None:
        """Put it back."""
        self.lr, self.best, self.waited = float(state["lr"]), float(state["best"]), int(state["waited"])
