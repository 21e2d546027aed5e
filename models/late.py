"""Late fusion: a small network for each feature decides alone; learnt weights join the decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from models import Model
from models._dropout import Dropout
from models._pooling import PooledConfig, apply_heads, heads, part_name, pooled, width


class Late(Model):
    """One network for each feature; their outputs are averaged with weights learnt for each task.

    The weights are a softmax over the features that the clip has, so a missing feature leaves its say to the others. A
    clip without any feature gets the learnt base rates alone.
    """

    stackable = True

    @dataclass(frozen=True)
    class Config(PooledConfig):
        """Settings of late fusion."""

        hidden: int = field(default=128, metadata={"help": "hidden units of each feature's network"})

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        self.branches = nn.ModuleDict({part_name(name): nn.Sequential(
            nn.Linear(width(row), config.hidden), nn.ReLU(), Dropout(config.dropout))
            for name, row in inputs.items()})
        self.deciders = nn.ModuleDict({part_name(name): heads(config.hidden, outputs) for name in inputs})
        self.weights = nn.ParameterDict({part_name(task): nn.Parameter(torch.zeros(len(inputs))) for task in outputs})
        self.base = nn.ParameterDict({part_name(task): nn.Parameter(torch.zeros(num)) for task, num in outputs.items()})

    def forward(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        decisions, has = [], []
        for name in self.inputs:
            values, present = pooled(features, mask, name)
            hidden = self.branches[part_name(name)](values)                 # (B, hidden)
            deciders = cast(nn.ModuleDict, self.deciders[part_name(name)])
            decisions.append(apply_heads(deciders, hidden, self.outputs))
            has.append(present)
        shares = self.shares(torch.cat(has, dim=1))
        outputs = {}
        for task in self.outputs:
            stacked = torch.stack([decision[task] for decision in decisions], dim=2)            # (B, C, features)
            outputs[task] = (stacked * shares[task].unsqueeze(1)).sum(2) + self.base[part_name(task)]
        return outputs

    def shares(self, present: Tensor) -> dict[str, Tensor]:
        """How much each feature's decision counts.

        Args:
            present: 1 where the clip has the feature, else 0; float32 (B, features) in the order of ``inputs``.

        Returns:
            By task, float32 (B, features): rows sum to 1, or to 0 for a clip that has none.
        """
        shares = {}
        for task in self.outputs:
            weights = self.weights[part_name(task)]
            odds = torch.exp(weights - weights.max()) * present
            shares[task] = odds / odds.sum(1, keepdim=True).clamp(min=torch.finfo(odds.dtype).tiny)
        return shares
