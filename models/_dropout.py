"""Dropout that draws 16 bits a unit, from torch's own chance or, for stacked networks, from one generator each.

torch draws a 53-bit number a unit; on a processor that takes longer than the products of a small network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 2 ** 16                # a share is met to within half of one in so many


class Dropout(nn.Module):
    """Units set to 0 by chance while training, the others scaled up so that the mean stays (Srivastava et al. 2014).

    Args:
        share: of the units that are dropped, at least 0 and below 1.

    Attributes:
        chances: None for torch's own chance. Several networks that run as one under ``torch.func.vmap`` have a
            generator each here, and every one drops what it would drop alone if torch's chance stood as its generator.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.chances: Sequence[torch.Generator] | None = None

    def extra_repr(self) -> str:
        return f"share={self.share}"

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return values
        if self.chances is None:
            return values * kept(values, self.share)
        dropped: Tensor = _Stacked.apply(values, self.share, self.chances)  # type: ignore[no-untyped-call]
        return dropped


def kept(values: Tensor, share: float, chance: torch.Generator | None = None) -> Tensor:
    """What to multiply units by: 0 for those that are dropped, else what keeps the mean; of the shape of ``values``."""
    count, dropped = values.numel(), min(LEVELS - 1, round(share * LEVELS))
    drawn = torch.empty(-(-count // 4), dtype=torch.int64, device=values.device)
    drawn.random_(torch.iinfo(torch.int64).min, None, generator=chance)
    keep = torch.empty(values.shape, dtype=values.dtype, device=values.device)
    torch.ge(drawn.view(torch.int16)[:count].view(values.shape), dropped - LEVELS // 2, out=keep)
    return keep.mul_(LEVELS / (LEVELS - dropped))


class _Stacked(torch.autograd.Function):
    """Dropout under ``vmap``, each network by its own generator."""

    @staticmethod
    def forward(values: Tensor, share: float, chances: Sequence[torch.Generator]) -> Tensor:
        return values * kept(values, share, *chances)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept: :meth:`vmap` is made of steps that torch derives by itself."""

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], values: Tensor, share: float,
             chances: Sequence[torch.Generator]) -> tuple[Tensor, int]:
        stacked = values.movedim(in_dims[0] or 0, 0)                        # (networks, …)
        return stacked * torch.stack([kept(part, share, chance)
                                      for part, chance in zip(stacked, chances, strict=True)]), 0
