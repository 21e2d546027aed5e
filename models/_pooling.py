"""What the models on pooled rows share: settings, the masked mean, and names for parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models import Model


@dataclass(frozen=True)
class PooledConfig(Model.Config):
    """Settings of every model that starts from pooled rows.

    Raises:
        ValueError: no pool, or a dropout outside [0, 1).
    """

    pools: tuple[str, ...] = field(default=("mean",), metadata={
        "help": "statistics that stand for a clip's rows: mean, std"})
    dropout: float = field(default=0.5, metadata={"help": "share of hidden units dropped while training"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.pools:
            raise ValueError("a model on pooled rows needs at least one pool")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is at least 0 and below 1, found {self.dropout}")


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the real rows of each clip; zeros for a clip without any.

    Args:
        values: float32 (B, T, *row); anything, even NaN, where ``mask`` is False.
        mask: bool (B, T).

    Returns:
        float32 (B, D), D the product of the row's shape.
    """
    rows = values.flatten(2)                                                # (B, T, D)
    if rows.shape[1] == 1:
        return torch.where(mask, rows.squeeze(1), 0.0)
    total = torch.where(mask.unsqueeze(2), rows, 0.0).sum(1)                # (B, D)
    return total / mask.sum(1, keepdim=True).clamp(min=1)


def pooled(features: Mapping[str, Tensor], mask: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """One feature of each clip, float32 (B, D), and whether the clip has it, float32 (B, 1) of 0 and 1."""
    return masked_mean(features[name], mask[name]), mask[name].any(1, keepdim=True).float()


def width(row_shape: tuple[int, ...]) -> int:
    """Numbers in a row."""
    return math.prod(row_shape)


def part_name(name: str) -> str:
    """A name of a feature or task as torch accepts it for a part of a model: no dots, no clash with a method."""
    return "for_" + name.replace(".", "-")


def heads(inner: int, outputs: Mapping[str, int]) -> nn.ModuleDict:
    """One linear layer from ``inner`` hidden units for each task."""
    return nn.ModuleDict({part_name(task): nn.Linear(inner, num) for task, num in outputs.items()})


def apply_heads(layers: nn.ModuleDict, hidden: Tensor, outputs: Mapping[str, int]) -> dict[str, Tensor]:
    """Outputs (B, C) of each task from hidden units (B, H)."""
    return {task: layers[part_name(task)](hidden) for task in outputs}
