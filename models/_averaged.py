"""The running average of a network's weights, which answers in evaluation.

B. Polyak, A. Juditsky, "Acceleration of stochastic approximation by averaging" (1992); by a fading memory, as in the
training of large networks. Late steps on few clips wander about; their average answers better than any of them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

SOON = 10.0     # of the first steps the average remembers less: after n of them all but (1 + n) / (10 + n) is new

Part = TypeVar("Part", bound=nn.Module)


class Averaged(nn.Module):
    """A part of a network and the average of its weights, both of one kind.

    Its state holds both, so whoever saves and loads it needs to know nothing of it. The average is no
    parameter: it stands in buffers, which no optimiser moves.

    Args:
        now: what learns.
        kept: share of the average that a step leaves, at least 0 and below 1.
    """

    num_steps: Tensor

    def __init__(self, now: nn.Module, kept: float) -> None:
        super().__init__()
        self.kept = kept
        self.now = now
        self.average = _frozen(now)
        self.register_buffer("num_steps", torch.zeros(()))

    def forward(self, *values: Any) -> Any:
        """What the one that counts gives: what learns while training and before it, else the average."""
        return (self.now if self.training or self.num_steps == 0 else self.average)(*values)

    @torch.no_grad()
    def follow(self) -> None:
        """Take the weights as they are now into the average; once before each step."""
        steps = float(self.num_steps)
        share = 1 - min(self.kept, (1 + steps) / (SOON + steps))
        average = self.average.state_dict()
        for name, value in self.now.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, share)
            else:
                average[name].copy_(value)
        self.num_steps += 1


def averaged(parts: Mapping[str, nn.Module], kept: float) -> nn.ModuleDict:
    """Parts of a model, each with its average."""
    return nn.ModuleDict({name: Averaged(part, kept) for name, part in parts.items()})


def follow(model: nn.Module) -> None:
    """Have all averages in a model follow; once before each step."""
    for part in model.modules():
        if isinstance(part, Averaged):
            part.follow()


def _frozen(part: Part) -> Part:
    """A copy whose parameters are buffers."""
    part = copy.deepcopy(part)
    for layer in part.modules():
        for name, value in list(layer.named_parameters(recurse=False)):
            delattr(layer, name)
            layer.register_buffer(name, value.detach())
    return part
