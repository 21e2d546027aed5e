"""Changes for training: pictures are turned, cut and mirrored, others are heard too; and sound that is out of step.

As in the training of TalkNet (Tao et al. 2021), where waveforms are added. Here only spectra are left of them, and
powers are added instead, as if the phases of two voices had nothing to do with each other: the usual approximation of
parallel model combination (M. Gales and S. Young, "Robust continuous speech recognition using parallel model
combination", 1996). Cepstra are first turned back into mel bands, which is exact but for what thirteen coefficients
leave out, the fine structure over frequency.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_CEPSTRA, NUM_BANDS, LIFTER = 13, 26, 22     # of python_speech_features, on which TalkNet was trained
NEPERS_PER_DB = math.log(10) / 10               # of power
MOST_DEGREES, LEAST_CROP, MOST_SNR_DB = 15.0, 0.7, 5.0
LEAST_SHIFT = 10                                # rows, 0.4 seconds: by then no mouth goes with the sound


def moved(pictures: Tensor, clips: Tensor, num_clips: int) -> Tensor:
    """Pictures of each clip as they are, mirrored, cut smaller or turned, each with the same chance.

    Args:
        pictures: float32 (N, H, W).
        clips: of which clip each is, int64 (N,).
        num_clips: B.
    """
    kind = torch.randint(4, (num_clips,), device=pictures.device)
    one = torch.ones(num_clips, device=pictures.device)
    angle = torch.empty_like(one).uniform_(-MOST_DEGREES, MOST_DEGREES).deg2rad() * (kind == 1)
    size = torch.where(kind == 2, torch.empty_like(one).uniform_(LEAST_CROP, 1.0), one)
    mirror = torch.where(kind == 3, -one, one)
    right, down = (torch.empty_like(one).uniform_(-1.0, 1.0) * (1 - size) for _ in range(2))
    turn = torch.stack([torch.stack([angle.cos() * size * mirror, -angle.sin(), right], 1),
                        torch.stack([angle.sin(), angle.cos() * size, down], 1)], 1)    # (B, 2, 3)
    values = pictures.unsqueeze(1)
    grid = F.affine_grid(turn[clips], list(values.shape), align_corners=False)
    return F.grid_sample(values, grid, align_corners=False)[:, 0]


def overheard(rows: Tensor, real: Tensor, chance: float) -> Tensor:
    """Sound in which another clip of the batch is heard too, as loud within 5 dB.

    Args:
        rows: spectra in their own units, float32 (B, T, S, F): of 13 numbers cepstra with lifter 22 whose first is the
            logarithm of the energy, of any other number mel bands in decibels.
        real: bool (B, T).
        chance: that a clip is changed.

    Returns:
        The same, for the real rows.
    """
    lengths = (real * torch.arange(1, real.shape[1] + 1, device=real.device)).amax(1)   # (B,)
    num_clips = len(rows)
    here = torch.arange(num_clips, device=rows.device)
    other = (here + torch.randint(1, max(2, num_clips), (num_clips,), device=rows.device)) % num_clips
    changed = (torch.rand(num_clips, device=rows.device) < chance) & (other != here)
    changed &= (lengths > 0) & (lengths[other] > 0)
    steps = torch.arange(real.shape[1], device=rows.device) % lengths[other].clamp(min=1).unsqueeze(1)
    beside = other.unsqueeze(1)
    is_heard = real[beside, steps] & real & changed.unsqueeze(1)                        # (B, T)
    bands, energy = levels(rows)
    gain = loudness(energy, real) - loudness(energy, real)[other]
    gain = gain - torch.empty_like(gain).uniform_(-MOST_SNR_DB, MOST_SNR_DB) * NEPERS_PER_DB
    both = torch.logaddexp(bands, bands[beside, steps] + gain.view(-1, 1, 1, 1))
    both_energy = torch.logaddexp(energy, energy[beside, steps] + gain.view(-1, 1, 1))
    return torch.where(is_heard[:, :, None, None], as_rows(both, both_energy, rows.shape[-1]), rows)


def out_of_step(real: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of each clip as from another time of it, at least :data:`LEAST_SHIFT` away, its end joined to its start.

    Args:
        real: where a clip has rows, bool (B, T).

    Returns:
        Place of the row that comes instead of each, int64 (B, T), and which clips are long enough to be moved, bool
        (B,); the others stay.
    """
    steps = torch.arange(real.shape[1], device=real.device)
    lengths = (real * (steps + 1)).amax(1)                                              # (B,)
    room = lengths - 2 * LEAST_SHIFT + 1
    shift = LEAST_SHIFT + (torch.rand(len(real), device=real.device) * room.clamp(min=1)).long()
    moved_on = (steps + shift.unsqueeze(1)) % lengths.clamp(min=1).unsqueeze(1)
    is_moved = room > 0
    return torch.where((steps < lengths.unsqueeze(1)) & is_moved.unsqueeze(1), moved_on, steps), is_moved


def levels(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Log powers of mel bands (…, bands) and of their sum (…) of spectra (…, F) as :func:`overheard` takes them."""
    if rows.shape[-1] != NUM_CEPSTRA:
        bands = rows * NEPERS_PER_DB
        return bands, bands.logsumexp(-1)
    shape = (rows / _lift(rows))[..., 1:] @ _cosines(rows)[1:]                          # the level is left out here
    return shape + (rows[..., :1] - shape.logsumexp(-1, keepdim=True)), rows[..., 0]


def as_rows(bands: Tensor, energy: Tensor, width: int) -> Tensor:
    """The inverse of :func:`levels`."""
    if width != NUM_CEPSTRA:
        return bands / NEPERS_PER_DB
    found = (bands @ _cosines(bands).T) * _lift(bands)
    return torch.cat([energy.unsqueeze(-1), found[..., 1:]], dim=-1)


def loudness(energy: Tensor, real: Tensor) -> Tensor:
    """Logarithm of the mean power of each clip, (B,), from log energies (B, T, S); of none 0."""
    count = real.sum(1).clamp(min=1) * energy.shape[2]
    total = torch.where(real.unsqueeze(2), energy, -torch.inf).flatten(1).logsumexp(1)
    return torch.where(real.any(1), total - count.log(), 0.0)


def _lift(like: Tensor) -> Tensor:
    """What python_speech_features multiplies its coefficients with, (13,)."""
    places = torch.arange(NUM_CEPSTRA, dtype=like.dtype, device=like.device)
    return 1 + LIFTER / 2 * (math.pi * places / LIFTER).sin()


def _cosines(like: Tensor) -> Tensor:
    """Orthonormal cosines over the bands, (13, 26)."""
    places = torch.arange(NUM_BANDS, dtype=like.dtype, device=like.device) + 0.5
    orders = torch.arange(NUM_CEPSTRA, dtype=like.dtype, device=like.device).unsqueeze(1)
    found = (math.pi / NUM_BANDS * orders * places).cos() * math.sqrt(2 / NUM_BANDS)
    found[0] /= math.sqrt(2)
    return found
