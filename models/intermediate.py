"""Intermediate fusion: each feature becomes 128 numbers, the three join in a layer of 256, heads decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models import Model
from models._dropout import Dropout
from models._pooling import PooledConfig, apply_heads, heads, part_name, pooled, width


class Intermediate(Model):
    """The joint model of the MELD tri-modal seed: branches of 128, concatenated (384 for three), fusion of 256, heads.

    A missing feature's branch gives zeros, which no present one gives.
    """

    stackable = True

    @dataclass(frozen=True)
    class Config(PooledConfig):
        """Settings of intermediate fusion."""

        branch: int = field(default=128, metadata={"help": "units that each feature becomes"})
        hidden: int = field(default=256, metadata={"help": "units of the fusion layer"})

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        self.branches = nn.ModuleDict({part_name(name): nn.Sequential(
            nn.Linear(width(row), config.branch), nn.ReLU(), Dropout(config.dropout))
            for name, row in inputs.items()})
        self.fusion = nn.Sequential(nn.Linear(config.branch * len(inputs), config.hidden), nn.ReLU(),
                                    Dropout(config.dropout))
        self.heads = heads(config.hidden, outputs)

    @property
    def embedding_width(self) -> int:
        width: int = self.config.hidden
        return width

    def embed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        parts = []
        for name in self.inputs:
            values, present = pooled(features, mask, name)
            parts.append(self.branches[part_name(name)](values) * present)  # (B, branch)
        hidden: Tensor = self.fusion(torch.cat(parts, dim=1))               # (B, hidden)
        return hidden

    def decide(self, embedding: Tensor) -> dict[str, Tensor]:
        return apply_heads(self.heads, embedding, self.outputs)
