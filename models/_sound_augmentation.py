"""Changes that a listener hardly takes for another mood, for training on spectrograms: pace, throat, loudness, gaps.

Pace by stretching over time (T. Ko et al., "Audio augmentation for speech recognition", 2015, on waveforms); length of
the vocal tract by stretching over frequency (N. Jaitly and G. Hinton, "Vocal tract length perturbation improves speech
recognition", 2013); gaps over time and frequency (D. Park et al., "SpecAugment", 2019). Chance is torch's own.
"""

from __future__ import annotations

import torch
from torch import Tensor


def stretched(rows: Tensor, real: Tensor, most: float) -> tuple[Tensor, Tensor]:
    """Each clip faster or slower, by straight lines between its rows.

    Args:
        rows: float32 (B, T, D).
        real: bool (B, T).
        most: greatest change of the pace, in [0, 1): 0.1 is 0.9 to 1.1 times as fast.

    Returns:
        Rows (B, T', D) and which are real (B, T'); T' is the longest clip now, at least 1.
    """
    last = rows.shape[1] - 1
    pace = _around_one(len(rows), most, rows)                               # (B, 1)
    place = torch.arange(int(last / (1 - most)) + 1, device=rows.device) * pace     # (B, T'), in old rows
    kept = real.gather(1, place.round().long().clamp(max=last)) & (place <= last)
    length = max(1, int((kept * torch.arange(1, kept.shape[1] + 1, device=kept.device)).max()))
    place, kept = place[:, :length].clamp(max=last), kept[:, :length]
    below = place.floor().long()
    above = (below + 1).clamp(max=last)
    above = torch.where(real.gather(1, above), above, below)                # past the last row there is nothing
    width = (-1, -1, rows.shape[2])
    values = torch.lerp(rows.gather(1, below.unsqueeze(2).expand(width)), rows.gather(1, above.unsqueeze(2).expand(
        width)), (place - below).unsqueeze(2))
    return torch.where(kept.unsqueeze(2), values, 0.0), kept


def warped(rows: Tensor, most: float) -> Tensor:
    """Each clip's bands stretched or squeezed from the lowest on; the highest is repeated.

    Args:
        rows: float32 (B, T, D), D bands.
        most: greatest change, in [0, 1).
    """
    num_bands = rows.shape[2]
    place = (torch.arange(num_bands, device=rows.device) * _around_one(len(rows), most, rows)).clamp(max=num_bands - 1)
    below = place.floor().long()                                            # (B, D)
    above = (below + 1).clamp(max=num_bands - 1)
    share = place - below
    turn = rows.new_zeros(len(rows), num_bands, num_bands)
    turn.scatter_add_(1, below.unsqueeze(1), (1 - share).unsqueeze(1))
    turn.scatter_add_(1, above.unsqueeze(1), share.unsqueeze(1))
    return rows @ turn


def louder_or_softer(rows: Tensor, sd: float) -> Tensor:
    """Each clip's levels (B, T, D) moved by one number with mean 0 and this standard deviation."""
    return rows + sd * torch.randn(len(rows), 1, 1, device=rows.device)


def with_gaps(rows: Tensor, real: Tensor, *, bands: int, steps: int) -> Tensor:
    """One run of bands and one of rows of each clip set to 0, the average of standardised levels.

    Args:
        rows: float32 (B, T, D).
        real: bool (B, T).
        bands, steps: longest run, of bands and of rows; its length is drawn from 0 to this.
    """
    num_rows = real.sum(1, keepdim=True)
    gaps = _run(rows.new_full((len(rows), 1), rows.shape[2]), min(bands, rows.shape[2]), rows.shape[2]).unsqueeze(1)
    return rows.masked_fill(gaps | _run(num_rows.to(rows), steps, rows.shape[1]).unsqueeze(2), 0.0)


def _run(lengths: Tensor, longest: int, size: int) -> Tensor:
    """True for a run of 0 to ``longest`` places that begins below ``lengths`` (B, 1); bool (B, size)."""
    start = (torch.rand_like(lengths) * lengths).floor()
    stop = start + (torch.rand_like(lengths) * (longest + 1)).floor()
    place = torch.arange(size, device=lengths.device)
    return (place >= start) & (place < stop)


def _around_one(num: int, most: float, like: Tensor) -> Tensor:
    """Factors between 1 − most and 1 + most, (num, 1)."""
    return 1 + most * (2 * torch.rand(num, 1, device=like.device) - 1)
