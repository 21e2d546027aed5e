"""Branches of 128 units that read a clip's rows in order of time, by attention or a GRU; together they become 32.

Widths are those of the fusions of two and three branches of a system for two people in dialogue (128 each, then 32).
``head=mean`` weighs all rows the same, so that ``ablate --over head=mean,attention,gru`` shows what a head is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from models import Model
from models._pooling import apply_heads, heads, part_name, width
from models._sequences import HEADS, Head


class Sequence(Model):
    """A layer for the rows of each input, a head that makes one vector of them, then one hidden layer for all.

    A missing input's branch gives zeros. Asked about single rows, each is all there is.
    """

    @dataclass(frozen=True)
    class Config(Model.Config):
        """Settings of the branches.

        Raises:
            ValueError: pools, an unknown head, a size below 1, or a dropout out of range.
        """

        head: Head = field(default="attention", metadata={
            "help": "what makes one vector of a clip's rows: mean, attention or gru"})
        branch: int = field(default=128, metadata={"help": "units that each row becomes"})
        hidden: int = field(default=32, metadata={"help": "units that all inputs become together"})
        dropout: float = field(default=0.5, metadata={"help": "share of units dropped while training"})

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.pools:
                raise ValueError("sequence reads the rows themselves; leave pools empty")
            if self.head not in HEADS:
                raise ValueError(f"head is one of {', '.join(HEADS)}, found {self.head}")
            if min(self.branch, self.hidden) < 1:
                raise ValueError(f"branch and hidden are at least 1, found {self.branch} and {self.hidden}")
            if not 0 <= self.dropout < 1:
                raise ValueError(f"dropout is at least 0 and below 1, found {self.dropout}")

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        self.branches = nn.ModuleDict({part_name(name): nn.Sequential(
            nn.Linear(width(row), config.branch), nn.ReLU(), nn.Dropout(config.dropout))
            for name, row in inputs.items()})
        self.rows = nn.ModuleDict({part_name(name): HEADS[config.head](config.branch) for name in inputs})
        joined = sum(cast(int, head.width) for head in self.rows.values())
        self.fusion = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(joined, config.hidden), nn.ReLU())
        self.heads = heads(config.hidden, outputs)

    @property
    def embedding_width(self) -> int:
        units: int = self.config.hidden
        return units

    def embed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        parts = [self._read(name, features[name].flatten(2), mask[name]) for name in self.inputs]
        hidden: Tensor = self.fusion(torch.cat(parts, dim=1))               # (B, hidden)
        return hidden

    def decide(self, embedding: Tensor) -> dict[str, Tensor]:
        return apply_heads(self.heads, embedding, self.outputs)

    def _read(self, name: str, rows: Tensor, real: Tensor) -> Tensor:
        """(B, T, D) with the mask (B, T) → (B, width), zeros for clips without the input."""
        units = self.branches[part_name(name)](torch.where(real.unsqueeze(2), rows, 0.0))   # (B, T, branch)
        found: Tensor = self.rows[part_name(name)](units, real)
        return found
