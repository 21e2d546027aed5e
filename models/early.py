"""Early fusion: the pooled features of a clip, side by side, go through one small network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models import Model
from models._dropout import Dropout
from models._pooling import PooledConfig, apply_heads, heads, pooled, width


class Early(Model):
    """Concatenation, one hidden layer, a head for each task.

    Beside each feature stands a flag that says whether the clip has it, so that a missing feature (zeros) differs from
    an average one (also zeros, once standardised).
    """

    stackable = True

    @dataclass(frozen=True)
    class Config(PooledConfig):
        """Settings of early fusion."""

        hidden: int = field(default=256, metadata={"help": "hidden units, as wide as intermediate's fusion"})

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        total = sum(width(row) + 1 for row in inputs.values())
        self.fusion = nn.Sequential(nn.Linear(total, config.hidden), nn.ReLU(), Dropout(config.dropout))
        self.heads = heads(config.hidden, outputs)

    @property
    def embedding_width(self) -> int:
        width: int = self.config.hidden
        return width

    def embed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        parts = [part for name in self.inputs for part in pooled(features, mask, name)]
        hidden: Tensor = self.fusion(torch.cat(parts, dim=1))               # (B, hidden)
        return hidden

    def decide(self, embedding: Tensor) -> dict[str, Tensor]:
        return apply_heads(self.heads, embedding, self.outputs)
