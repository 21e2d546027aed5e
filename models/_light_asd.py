"""Who speaks, with a million parameters: pictures and sound by convolutions split into space and time, and two GRUs.

After J. Liao et al., "A Light Weight Model for Active Speaker Detection" (CVPR 2023). The layers and their order are
the published ones, so that published weights fit.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models._masked import MaskedNorm, backwards
from models._pictures import PictureEncoder, TimeConvolution

# Of every normalisation. Published is a momentum of 0.01, whose statistics need hundreds of steps: more than a small
# corpus has in an epoch, so that the networks would be far worse in evaluation than in training.
MOMENTUM, EPSILON = 0.1, 0.001
CHANNELS = 32, 64, 128
KERNELS = 3, 5
STEPS = 4                           # of sound for each row; the published encoder halves them twice


class LightPictures(PictureEncoder):
    """Three blocks on pictures of 28, 28 and 14 pixels (for 112), then the largest number of each channel."""

    halo = len(CHANNELS) * (max(KERNELS) // 2)
    width = CHANNELS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(PictureBlock(before, after, stride=2 if before == 1 else 1)
                                    for before, after in zip((1, *CHANNELS), CHANNELS))
        initialise(self)

    def encode(self, pictures: Tensor, real: Tensor) -> Tensor:
        values = pictures.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        for place, block in enumerate(self.blocks):
            if place:
                values = F.max_pool2d(values, 3, 2, 1)
            values = block(values, real)
        return values.amax((2, 3))                                          # (N, 128)


class PictureBlock(nn.Module):
    """Two paths of other reach, each over space and then over time, added and mixed.

    Args:
        before, after: channels.
        stride: over space.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.space = nn.ModuleList(nn.Conv2d(before, after, size, stride, size // 2, bias=False) for size in KERNELS)
        self.time = nn.ModuleList(TimeConvolution(after, after, size) for size in KERNELS)
        self.space_norms = nn.ModuleList(norm_2d(after) for _ in KERNELS)
        self.time_norms = nn.ModuleList(norm_2d(after) for _ in KERNELS)
        self.mix, self.mix_norm = nn.Conv2d(after, after, 1, bias=False), norm_2d(after)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """Pictures (N, C, H, W) of the real places (M,) → (N, C', H', W')."""
        paths = []
        for space, space_norm, time, time_norm in zip(self.space, self.space_norms, self.time, self.time_norms):
            path = F.relu(space_norm(space(values)))
            paths.append(F.relu(time_norm(time(path, real))))
        return F.relu(self.mix_norm(self.mix(paths[0] + paths[1])))


class LightSound(nn.Module):
    """Three blocks on four steps a row, halved twice, then the mean over the coefficients."""

    width = CHANNELS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SoundBlock(before, after) for before, after in zip((1, *CHANNELS), CHANNELS))
        initialise(self)

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """Rows (B, T, 4, F), zeros where the mask (B, T) is False → (B, T, 128)."""
        values = rows.flatten(1, 2).mT.unsqueeze(1)                         # (B, 1, F, 4·T)
        steps = real.repeat_interleave(STEPS, 1)
        for place, block in enumerate(self.blocks):
            if place:
                values = F.max_pool2d(values, (1, 3), (1, 2), (0, 1))       # never below 0, so zeros beyond the end
                steps = steps[:, ::2]                                       # change nothing
                values = values * steps[:, None, None]
            values = block(values, steps)
        return values.mean(2).mT


class SoundBlock(nn.Module):
    """The like of :class:`PictureBlock` over coefficients and time.

    Args:
        before, after: channels.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.bands = nn.ModuleList(nn.Conv2d(before, after, (size, 1), padding=(size // 2, 0), bias=False)
                                   for size in KERNELS)
        self.time = nn.ModuleList(nn.Conv2d(after, after, (1, size), padding=(0, size // 2), bias=False)
                                  for size in KERNELS)
        self.band_norms = nn.ModuleList(masked_norm(after) for _ in KERNELS)
        self.time_norms = nn.ModuleList(masked_norm(after) for _ in KERNELS)
        self.mix, self.mix_norm = nn.Conv2d(after, after, 1, bias=False), masked_norm(after)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """(B, C, F, S), zeros where the mask (B, S) is False → (B, C', F, S), zeros there too."""
        paths = []
        for bands, band_norm, time, time_norm in zip(self.bands, self.band_norms, self.time, self.time_norms):
            path = F.relu(band_norm(bands(values), real))
            paths.append(F.relu(time_norm(time(path), real)))
        return F.relu(self.mix_norm(self.mix(paths[0] + paths[1]), real))


class LightDetector(nn.Module):
    """A GRU forwards over what is seen and heard, and one backwards over what that one gives.

    Args:
        width: units of a row.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.forwards = nn.GRU(width, width, batch_first=True)
        self.backwards = nn.GRU(width, width, batch_first=True)

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Rows (B, T, D), as many of each clip as ``lengths`` (B,) says → (B, T, D)."""
        found = F.gelu(self.forwards(rows)[0])
        return F.gelu(backwards(self.backwards(backwards(found, lengths))[0], lengths))


def norm_2d(channels: int) -> nn.BatchNorm2d:
    """Normalisation of pictures with the published settings."""
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)


def masked_norm(channels: int) -> MaskedNorm:
    """Normalisation of steps of sound with the published settings."""
    return MaskedNorm(channels, eps=EPSILON, momentum=MOMENTUM)


def initialise(network: nn.Module) -> None:
    """Start all convolutions as published."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
