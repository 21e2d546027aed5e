"""Who speaks, for small corpora and no graphics card: little pictures, their motion and sound multiplied.

A face of 28 pixels, freed of its mean brightness, goes through three 3-D convolutions; four spectra a row through two
convolutions over time. What decides is the product of both sides beside each of them, looked over for some 17 rows (two
thirds of a second), so that the network is given at once what it must find out: do mouth and voice move together?
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models._masked import MaskedNorm

SIZE = 28                           # pixels to which pictures are averaged down
CHANNELS = (32, 32, 64)             # of the convolutions over pictures
CONTRAST = 4.0                      # brings the spread of a face's pixels about its mean to about 1
REACH = 9                           # rows that a convolution over both sides spans


class CompactPictures(nn.Module):
    """Convolutions over space and time, each halving the picture.

    Args:
        units: numbers of a row.
        size: pixels to which pictures are averaged down; 0 for :data:`SIZE`.
    """

    def __init__(self, units: int, size: int) -> None:
        super().__init__()
        self.size = size or SIZE
        first, second, third = CHANNELS
        self.convolutions = nn.ModuleList([
            nn.Conv3d(1, first, 5, (1, 2, 2), 2, bias=False), nn.Conv3d(first, second, 3, (1, 2, 2), 1, bias=False),
            nn.Conv3d(second, third, 3, (1, 2, 2), 1, bias=False)])
        self.norms = nn.ModuleList(MaskedNorm(number) for number in CHANNELS)
        self.units = nn.Linear(third * 16, units)

    def forward(self, pictures: Tensor, real: Tensor) -> Tensor:
        """Pictures (N, H, W) in [0, 1] of the rows where the mask (B, T) is True → (B, T, units), zeros elsewhere."""
        small = F.adaptive_avg_pool2d(pictures.unsqueeze(1), self.size)[:, 0] if len(pictures) \
            else pictures.new_zeros(0, self.size, self.size)
        grid = small.new_zeros(*real.shape, self.size, self.size)
        grid[real] = (small - small.mean((1, 2), keepdim=True)) * CONTRAST
        values = grid.unsqueeze(1)                                          # (B, 1, T, H, W)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            values = convolution(values)
            shape = values.shape
            by_step = norm(values.movedim(2, 4).flatten(2, 3), real)        # (B, C, H·W, T), zeros where none is real
            values = F.relu(by_step.view(*shape[:2], *shape[3:], shape[2]).movedim(4, 2))
        places = F.adaptive_avg_pool2d(values.movedim(2, 1).flatten(0, 1), 4)               # (B·T, C, 4, 4)
        found: Tensor = F.relu(self.units(places.flatten(1))).view(*real.shape, -1)
        return found * real.unsqueeze(2)


class CompactSound(nn.Module):
    """Convolutions over the rows of sound.

    Args:
        numbers: of a row.
        units: that a row becomes.
    """

    def __init__(self, numbers: int, units: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv1d(before, units, 5, padding=2, bias=False) for before in (numbers, units))
        self.norms = nn.ModuleList(MaskedNorm(units) for _ in range(2))

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """Rows (B, T, 4, F), zeros where the mask (B, T) is False → (B, T, units), zeros there."""
        values = F.relu(self.norms[0](self.first(rows.flatten(2).mT), real))
        return F.relu(self.norms[1](self.second(values), real)).mT


class CompactJoin(nn.Module):
    """Both sides and their product, looked over in time.

    Args:
        units: of a row of either side.
    """

    def __init__(self, units: int, dropout: float) -> None:
        super().__init__()
        self.width = units
        self.first = nn.Conv1d(3 * units, units, REACH, padding=REACH // 2, bias=False)
        self.second = nn.Conv1d(units, units, REACH, padding=REACH // 2)
        self.norm, self.dropout = MaskedNorm(units), nn.Dropout(dropout)

    def forward(self, heard: Tensor, seen: Tensor, is_heard: Tensor, is_seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sides (B, T, units) with their masks → what is decided from, and each side as its own head gets it."""
        real = is_heard | is_seen
        values = torch.cat([heard, seen, heard * seen], dim=2).mT
        values = self.dropout(F.relu(self.norm(self.first(values), real)))
        found = F.relu(self.second(values)).mT * real.unsqueeze(2)
        return found, heard, seen
