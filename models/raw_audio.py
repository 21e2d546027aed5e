"""Branches of 128 units, fused to 32: raw sound by convolutions over its samples, all else by its average.

The fusions of two and three branches (128 each, then 32) are those of a system for two people in dialogue: face, raw
sound in windows about each frame, and handcrafted features of the same windows. Convolutions straight on samples:
W. Dai et al., "Very deep convolutional neural networks for raw waveforms", ICASSP 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models import Model
from models._masked import MaskedNorm
from models._pooling import apply_heads, heads, part_name, pooled, width

WAVES = "audio_windows"     # features of this name, and variants of it, are samples in order of time
REACH, STRIDE = 9, 4        # of each convolution: four of them turn 1,056 samples into 5 steps


class RawAudio(Model):
    """A branch of 128 units for each input, zeros where a clip lacks it; side by side they become 32, then answers.

    Rows of ``audio_windows`` each go through :class:`WaveBranch`, which then weighs them by attention. Rows of any
    other input are averaged and go through one layer. Asked about single rows, each is all there is.
    """

    @dataclass(frozen=True)
    class Config(Model.Config):
        """Settings of the branches.

        Raises:
            ValueError: pools, a size below 1, or a dropout out of range.
        """

        channels: int = field(default=32, metadata={"help": "channels of the convolutions over samples"})
        branch: int = field(default=128, metadata={"help": "units that each input becomes"})
        hidden: int = field(default=32, metadata={"help": "units that all become together"})
        dropout: float = field(default=0.3, metadata={"help": "share of units dropped while training"})

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.pools:
                raise ValueError("raw_audio weighs rows itself; leave pools empty")
            if min(self.channels, self.branch, self.hidden) < 1:
                raise ValueError(f"channels, branch and hidden are at least 1, found {self.channels}, {self.branch} and"
                                 f" {self.hidden}")
            if not 0 <= self.dropout < 1:
                raise ValueError(f"dropout is at least 0 and below 1, found {self.dropout}")

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        self.branches = nn.ModuleDict({
            part_name(name): WaveBranch(config.channels, config.branch) if is_wave(name)
            else nn.Sequential(nn.Linear(width(row), config.branch), nn.ReLU()) for name, row in inputs.items()})
        self.dropout = nn.Dropout(config.dropout)
        self.fusion = nn.Sequential(nn.Linear(config.branch * len(inputs), config.hidden), nn.ReLU())
        self.heads = heads(config.hidden, outputs)

    @property
    def embedding_width(self) -> int:
        units: int = self.config.hidden
        return units

    def embed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        parts = [self._units(name, features, mask) for name in self.inputs]
        hidden: Tensor = self.fusion(self.dropout(torch.cat(parts, 1)))     # (B, hidden)
        return hidden

    def decide(self, embedding: Tensor) -> dict[str, Tensor]:
        return apply_heads(self.heads, embedding, self.outputs)

    def _units(self, name: str, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        """(B, branch), zeros for clips without the input."""
        branch = self.branches[part_name(name)]
        if is_wave(name):
            units: Tensor = branch(features[name].flatten(2), mask[name])
        else:
            units = branch(pooled(features, mask, name)[0])
        return torch.where(mask[name].any(1, keepdim=True), units, 0.0)


class WaveBranch(nn.Module):
    """Windows of samples → units of each, and of these an average in which attention says how much each counts.

    Args:
        channels: of the convolutions.
        units: width of what comes out.
    """

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        widths = (1, channels, channels, 2 * channels, 2 * channels)
        self.units_width = units
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, REACH, stride=STRIDE, padding=REACH // 2, bias=False)
            for before, after in zip(widths, widths[1:]))
        self.norms = nn.ModuleList(MaskedNorm(after) for after in widths[1:])
        self.units = nn.Sequential(nn.Linear(widths[-1], units), nn.ReLU())
        self.attention = nn.Linear(units, 1)

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """Windows (B, T, S) with their mask (B, T) → units (B, units); zeros where no row is real."""
        heard = rows.new_zeros(*real.shape, self.units_width)
        heard[real] = self.windows(rows[real])                              # (B, T, units)
        weight = self.attention(heard).squeeze(2).masked_fill(~real, -torch.inf)
        # A clip without rows would get NaN, also as its gradient.
        weight = torch.where(real.any(1, keepdim=True), weight, 0.0).softmax(1)
        return (weight.unsqueeze(1) @ heard).squeeze(1)

    def windows(self, samples: Tensor) -> Tensor:
        """Windows (N, S), of which there may be none → (N, units)."""
        steps = samples.unsqueeze(1)                                        # (N, 1, S)
        for convolution, norm in zip(self.convolutions, self.norms):
            steps = convolution(steps)
            steps = norm.whole(steps).relu() if len(steps) else steps       # type: ignore[operator]
        found: Tensor = self.units(steps.mean(2))
        return found


def is_wave(name: str) -> bool:
    """Is a feature, by its name, made of samples?"""
    return name.split("@")[0] == WAVES
