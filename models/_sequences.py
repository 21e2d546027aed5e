"""Rows of a clip in order of time → one vector: their mean, an average weighed by attention, or a GRU's.

Each takes rows (B, T, D) with a mask (B, T), gives (B, width), and zeros for a clip without rows; what stands where the
mask is False, and how much of it, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models._pooling import masked_mean

Head = Literal["mean", "attention", "gru"]


class Mean(nn.Module):
    """The mean of a clip's rows.

    Args:
        units: D, and the width of what comes out.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.width = units

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """(B, T, D) with the mask (B, T) → (B, D)."""
        return masked_mean(rows, real)


class Attention(nn.Module):
    """An average in which a small network says how much each row counts.

    After Z. Lin et al., "A structured self-attentive sentence embedding" (2017), with one hop.

    Args:
        units: D, and the width of what comes out.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.width = units
        # Without a bias at its end: a constant under the softmax says nothing.
        self.score = nn.Sequential(nn.Linear(units, max(1, units // 4)), nn.Tanh(),
                                   nn.Linear(max(1, units // 4), 1, bias=False))

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """(B, T, D) with the mask (B, T) → (B, D)."""
        rows = torch.where(real.unsqueeze(2), rows, 0.0)
        return (self.shares(rows, real).unsqueeze(1) @ rows).squeeze(1)

    def shares(self, rows: Tensor, real: Tensor) -> Tensor:
        """How much each row counts, (B, T): sums to 1, or to 0 for a clip without rows."""
        scores = self.score(rows).squeeze(2).masked_fill(~real, -torch.inf)
        # A clip without rows would get NaN, also as its gradient.
        scores = torch.where(real.any(1, keepdim=True), scores, 0.0)
        return scores.softmax(1) * real


class Gru(nn.Module):
    """What a gated recurrent network in both directions (K. Cho et al. 2014) says of the rows, averaged over them.

    Args:
        units: D; a direction has half as many, rounded up.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        each = -(-units // 2)
        self.width = 2 * each
        self.network = nn.GRU(units, each, batch_first=True, bidirectional=True)

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """(B, T, D) with the mask (B, T) → (B, width)."""
        first = (~real).to(torch.uint8).argsort(dim=1, stable=True)           # real rows to the front, in their order
        rows = torch.where(real.unsqueeze(2), rows, 0.0).gather(1, first.unsqueeze(2).expand_as(rows))
        lengths = real.sum(1).clamp(min=1).cpu()                            # none cannot be packed
        packed = pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.network(packed)[0], batch_first=True, total_length=rows.shape[1])
        return masked_mean(states, real.gather(1, first))


HEADS: dict[Head, Callable[[int], nn.Module]] = {"mean": Mean, "attention": Attention, "gru": Gru}
