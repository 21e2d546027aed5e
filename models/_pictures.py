"""What encoders of pictures share: only real pictures cost anything, and long clips are looked at piece by piece.

The rows of a batch are thought of as one strip of places, clip after clip with empty places between them; ``real`` (M,)
says where a picture stands, and only those N pictures are held. A convolution over time spreads them over the strip.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GAP = 2                 # empty places behind each clip: as far as any convolution over time reaches
PLACES_AT_ONCE = 128    # of the strip in evaluation: keeps the memory of long clips flat


class PictureEncoder(nn.Module):
    """Pictures of faces in numbers, each from itself and those shortly before and after it.

    Attributes:
        halo: places to either side of which numbers depend on.
        width: numbers of a row.
    """

    halo: ClassVar[int]
    width: ClassVar[int]

    def encode(self, pictures: Tensor, real: Tensor) -> Tensor:
        """Pictures (N, H, W) of the real places (M,) of a strip → (N, width); N is at least 1."""
        raise NotImplementedError

    def forward(self, pictures: Tensor, mask: Tensor) -> Tensor:
        """Pictures of clips.

        Args:
            pictures: float32 (N, H, W), those of the True places of ``mask``, clip after clip.
            mask: bool (B, T).

        Returns:
            float32 (B, T, width), zeros where no picture is.
        """
        found = pictures.new_zeros(*mask.shape, self.width)
        if not len(pictures):
            return found
        real = F.pad(mask, (0, GAP)).flatten()                              # (M,)
        if self.training or len(real) <= PLACES_AT_ONCE:
            found[mask] = self.encode(pictures, real)
            return found
        parts = [self._part(pictures, real, start) for start in range(0, len(real), PLACES_AT_ONCE)]
        found[mask] = torch.cat(parts)
        return found

    def _part(self, pictures: Tensor, real: Tensor, start: int) -> Tensor:
        """What the pictures of one stretch of the strip become; others around it are seen and left out."""
        stop = min(len(real), start + PLACES_AT_ONCE)
        first, last = max(0, start - self.halo), min(len(real), stop + self.halo)
        before, within = int(real[:first].sum()), int(real[first:last].sum())
        lead, count = int(real[first:start].sum()), int(real[start:stop].sum())
        if not count:
            return pictures.new_zeros(0, self.width)
        return self.encode(pictures[before:before + within], real[first:last])[lead:lead + count]


def spread(rows: Tensor, real: Tensor) -> Tensor:
    """Rows (N, …) at the real places (M,) of a strip, zeros between them, (M, …)."""
    strip = rows.new_zeros(len(real), *rows.shape[1:])
    strip[real] = rows
    return strip


class TimeConvolution(nn.Conv2d):
    """Convolution over time of every point of a picture by itself; its weight is (C', C, size, 1).

    Args:
        before, after: channels.
        size: places, odd.
    """

    def __init__(self, before: int, after: int, size: int) -> None:
        super().__init__(before, after, (size, 1), padding=(size // 2, 0), bias=False)

    def forward(self, pictures: Tensor, real: Tensor) -> Tensor:  # type: ignore[override]
        """Pictures (N, C, H, W) of the real places (M,) of a strip → (N, C', H, W)."""
        height, width = pictures.shape[2:]
        strip = spread(pictures.permute(0, 2, 3, 1), real)                  # (M, H, W, C): channels lie together
        flat = strip.view(1, len(real), height * width, -1).permute(0, 3, 1, 2)  # (1, C, M, H·W), nothing is moved
        found: Tensor = super().forward(flat)[0].permute(1, 2, 0)[real]     # (N, H·W, C')
        return found.view(len(found), height, width, -1).permute(0, 3, 1, 2)
