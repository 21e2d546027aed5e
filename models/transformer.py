"""A small transformer over the rows of all features at once: each row says what it is of and when, and reads any other.

Layers of A. Vaswani et al., "Attention Is All You Need" (2017), normalised before reading, which trains without warm-up
(R. Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import Model
from models._dropout import Dropout
from models._pooling import heads, part_name, width

CODE_SD = 0.02                  # of codes that are learnt, at the start, as in BERT


class Transformer(Model):
    """Self-attention over the rows of every feature together, and of one more row for each task, which then decides it.

    A row's time is its place among its clip's rows of that feature, from 0 (the clip begins) to 1 (it ends). Rows of
    features that were brought to one clock thus meet by their numbers, and rows of others where they would lie if they
    covered the clip evenly, which is all that can be said of rows without times. Of a longer feature equal stretches
    are averaged. A missing feature has no rows to read; a clip without any leaves the tasks' rows to themselves.
    """

    training_defaults = MappingProxyType({"batch_rows": 32768})             # they are averaged before they cost much

    @dataclass(frozen=True)
    class Config(Model.Config):
        """Settings of the transformer.

        Raises:
            ValueError: a count below 1, a width that the heads cannot share, or a dropout outside [0, 1).
        """

        width: int = field(default=64, metadata={"help": "units of a row"})
        layers: int = field(default=2, metadata={"help": "layers in which rows read each other"})
        heads: int = field(default=4, metadata={"help": "ways of reading in a layer; they share the width"})
        rows: int = field(default=16, metadata={
            "help": "rows of a feature at most; of a longer one equal stretches are averaged. The cost of a layer grows"
                    " with its square"})
        dropout: float = field(default=0.2, metadata={"help": "share of units dropped while training"})

        def __post_init__(self) -> None:
            super().__post_init__()
            if min(self.width, self.layers, self.heads, self.rows) < 1:
                raise ValueError("width, layers, heads and rows are at least 1, found"
                                 f" {self.width}, {self.layers}, {self.heads} and {self.rows}")
            if self.width % self.heads:
                raise ValueError(f"{self.heads} heads cannot share a width of {self.width}; choose a multiple")
            if not 0 <= self.dropout < 1:
                raise ValueError(f"dropout is at least 0 and below 1, found {self.dropout}")

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        self.projections = nn.ModuleDict({part_name(name): nn.Linear(width(row), config.width)
                                          for name, row in inputs.items()})
        self.modality = nn.Parameter(CODE_SD * torch.randn(len(inputs), config.width))
        self.time = nn.Linear(num_waves(config.rows), config.width, bias=False)
        nn.init.normal_(self.time.weight, std=(2 / self.time.in_features) ** 0.5)   # units of a variance of 1
        self.tasks = nn.Parameter(CODE_SD * torch.randn(len(outputs), config.width))
        self.layers = nn.ModuleList(Layer(config.width, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.heads = heads(config.width, outputs)

    @property
    def embedding_width(self) -> int:
        units: int = len(self.outputs) * self.config.width
        return units

    def embed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        tasks = self.tasks.expand(len(next(iter(mask.values()))), -1, -1)   # (B, K, D), K tasks
        rows, real = [tasks], [torch.ones(tasks.shape[:2], dtype=torch.bool, device=tasks.device)]
        for name, code in zip(self.inputs, self.modality, strict=True):
            values, there, place = stretches(features[name], mask[name], self.config.rows)
            waves = self.time(waves_of(place, self.time.in_features))
            rows.append(self.projections[part_name(name)](values) + code + waves)
            real.append(there)
        hidden, known = torch.cat(rows, 1), torch.cat(real, 1)              # (B, K + S, D), (B, K + S)
        for layer in self.layers[:-1]:
            hidden = layer(hidden, known, hidden.shape[1])
        hidden = self.layers[-1](hidden, known, tasks.shape[1])             # none but the tasks' rows is read after it
        decided: Tensor = self.norm(hidden).flatten(1)                      # (B, K·D)
        return decided

    def decide(self, embedding: Tensor) -> dict[str, Tensor]:
        own = embedding.view(len(embedding), len(self.outputs), -1).unbind(1)
        return {task: self.heads[part_name(task)](units) for task, units in zip(self.outputs, own, strict=True)}


class Layer(nn.Module):
    """One layer: rows read each other, then each is worked over by itself.

    Half as costly on a processor as ``nn.TransformerEncoderLayer``, which drops units by slower chance and has no way
    to work out only some rows.

    Args:
        units: of a row.
        num_heads: ways of reading.
        dropout: share of units dropped while training.
    """

    def __init__(self, units: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.reading, self.working = nn.LayerNorm(units), nn.LayerNorm(units)
        self.asked, self.offered = nn.Linear(units, units), nn.Linear(units, 2 * units)
        self.read = nn.Sequential(nn.Linear(units, units), Dropout(dropout))
        self.worked = nn.Sequential(nn.Linear(units, 2 * units), nn.GELU(), Dropout(dropout),
                                    nn.Linear(2 * units, units), Dropout(dropout))

    def forward(self, rows: Tensor, real: Tensor, num_rows: int) -> Tensor:
        """What becomes of the first rows.

        Args:
            rows: float32 (B, S, D), finite.
            real: which may be read, bool (B, S); at least one of each clip.
            num_rows: how many are worked out.

        Returns:
            float32 (B, num_rows, D).
        """
        normed = self.reading(rows)
        asked = self.asked(normed[:, :num_rows]).unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, H, n, D/H)
        keys, values = self.offered(normed).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(asked, keys, values, attn_mask=real[:, None, None, :])
        rows = rows[:, :num_rows] + self.read(found.transpose(1, 2).flatten(2))
        worked: Tensor = rows + self.worked(self.working(rows))
        return worked


def stretches(values: Tensor, mask: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of one feature, with neighbours averaged where a clip has more than so many.

    Args:
        values: float32 (B, T, *row); anything, even NaN, where ``mask`` is False.
        mask: bool (B, T).
        most: rows that a clip keeps; its equal stretches differ by one row at most.

    Returns:
        Rows float32 (B, S, D), S at most ``most``, the real ones first and zeros behind; which are real, bool (B, S);
        the middle of each within its clip, from 0 to 1, float32 (B, S).

    >>> values, mask = torch.tensor([[[1.0], [3.0], [5.0], [9.0]]]), torch.tensor([[True, True, True, False]])
    >>> [part.tolist() for part in stretches(values, mask, 2)]
    [[[[2.0], [5.0]]], [[True, True]], [[0.25, 0.75]]]
    """
    count = mask.sum(1, keepdim=True)                                       # (B, 1)
    slots = torch.arange(min(most, mask.shape[1]), device=mask.device)
    kept = count.clamp(max=len(slots))
    which = (mask.cumsum(1) - 1) * kept // count.clamp(min=1)               # (B, T): stretch of each row
    inside = ((which.unsqueeze(1) == slots.view(1, -1, 1)) & mask.unsqueeze(1)).float()     # (B, S, T)
    weights = inside / inside.sum(2, keepdim=True).clamp(min=1)
    rows = torch.where(mask.unsqueeze(2), values.flatten(2), 0.0)
    return weights @ rows, slots < kept, (slots + 0.5) / kept.clamp(min=1)


def num_waves(rows: int) -> int:
    """Numbers by which :func:`waves_of` tells so many rows of a clip apart.

    >>> num_waves(1), num_waves(2), num_waves(16)
    (2, 4, 10)
    """
    return 2 * (math.ceil(math.log2(rows)) + 1)


def waves_of(place: Tensor, num: int) -> Tensor:
    """Places from 0 to 1 as sines and cosines in octaves, the slowest of which makes half a turn.

    Args:
        place: float32 (B, S).
        num: of the numbers; even.

    Returns:
        float32 (B, S, num).
    """
    turns = torch.pi * 2 ** torch.arange(num // 2, device=place.device) * place.unsqueeze(2)
    return torch.cat([turns.sin(), turns.cos()], dim=2)
