"""Layers over the rows of padded clips that answer as if each clip stood alone: what is no row is zero and counts not.

Shape letters: B clips, T rows, C channels; S steps of time, as many as rows or several for each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-8  # of Conv-TasNet's global layer normalisation


class MaskedNorm(nn.BatchNorm1d):
    """Batch normalisation of the steps that are real; zeros elsewhere.

    While training its statistics are those of the real steps of the batch; a single number has none, and then, as in
    evaluation, the running ones count.
    """

    def forward(self, values: Tensor, real: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, S) or (B, C, F, S) with the mask (B, S) → the same shape."""
        steps = values.movedim(-1, 1)                                       # (B, S, C, F)
        found = torch.zeros_like(steps)
        if real.any():
            found[real] = self.whole(steps[real])
        return found.movedim(1, -1)

    def whole(self, rows: Tensor) -> Tensor:
        """(N, C) or (N, C, L), N at least 1 and every step real → the same shape; nothing is picked out and put back.
        """
        if self.training and rows.numel() == rows.shape[1]:
            return nn.functional.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias,
                                            eps=self.eps)
        found: Tensor = super().forward(rows)
        return found


class ClipNorm(nn.Module):
    """Normalisation of each clip by all its channels and real rows, as Conv-TasNet's global layer normalisation.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """(B, C, T) with the mask (B, T) → the same shape, zeros where no row is."""
        real = real.unsqueeze(1)
        centred = torch.where(real, values - masked_average(values, real), 0.0)
        scaled = centred / (masked_average(centred.square(), real) + EPSILON).sqrt()
        return torch.where(real, scaled * self.weight.unsqueeze(1) + self.bias.unsqueeze(1), 0.0)


def masked_average(values: Tensor, real: Tensor) -> Tensor:
    """Mean over all axes but the first of the numbers (B, …) whose steps are real, (B, 1, …); 0 where none is."""
    total = torch.where(real, values, 0.0).flatten(1).sum(1)
    count = real.expand(values.shape).flatten(1).sum(1).clamp(min=1)
    return (total / count).view(-1, *[1] * (values.ndim - 1))


def backwards(values: Tensor, lengths: Tensor) -> Tensor:
    """The first ``lengths`` rows of each clip in the opposite order, those behind as they are; (B, T, C)."""
    steps = torch.arange(values.shape[1], device=values.device)
    turned = lengths.unsqueeze(1) - 1 - steps                               # (B, T)
    index = torch.where(turned >= 0, turned, steps)
    return values.gather(1, index.unsqueeze(2).expand_as(values))
