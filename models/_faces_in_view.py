"""Who speaks, of the faces that are in view together: each looks at the others, moment by moment.

Somebody else's mouth that goes with the voice says that this one does not. After J. Alcázar et al., "Active Speakers in
Context" (CVPR 2020), and the attention between speakers of X. Wang et al., "LoCoNet: Long-Short Context Network for
Active Speaker Detection" (CVPR 2024); here rows that both sides and time have already made look at one another.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import Context

NEAR_SECONDS = 0.03     # rows of two tracks are of one moment if their middles are so near: half a frame of 16 a second


class FacesInView(nn.Module):
    """Attention of each track to the others that are in view at that moment; a track that is alone stays as it is.

    Args:
        width: units of a row.
        dropout: share of units dropped while training.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.asks, self.keys, self.answers = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.first, self.second = nn.Linear(2 * width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Tensor, real: Tensor, context: Context) -> Tensor:
        """Rows (B, T, D) with their mask (B, T), and where and when they are, → the same shape.

        Scene by scene, as every track is laid beside every other of its scene, N·N·T·D numbers.
        """
        assert context.times is not None, "a frame model is given times"
        found = rows.clone()
        for scene in torch.unique(context.dialogue):
            tracks = (context.dialogue == scene).nonzero()[:, 0]
            if len(tracks) > 1:
                found[tracks] = self._together(rows[tracks], real[tracks], context.times[tracks])
        return found

    def _together(self, rows: Tensor, real: Tensor, times: Tensor) -> Tensor:
        """Rows (N, T, D) of the tracks of one scene."""
        nearest, together = meet(times, real)                               # (N, N, T)
        place = torch.arange(len(rows), device=rows.device).view(1, -1, 1)
        keys, answers = (layer(rows)[place, nearest] for layer in (self.keys, self.answers))        # (N, N, T, D)
        fits = torch.einsum("ntd,nmtd->nmt", self.asks(rows), keys) / rows.shape[2] ** 0.5
        met = together.any(1)                                               # (N, T)
        shares = fits.masked_fill(~together, -torch.inf).masked_fill(~met.unsqueeze(1), 0.0).softmax(1)
        heard_of = torch.einsum("nmt,nmtd->ntd", shares, answers)
        inner = self.dropout(F.relu(self.first(torch.cat([rows, heard_of], dim=2))))
        return rows + torch.where(met.unsqueeze(2), self.second(inner), 0.0)


def meet(times: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Which row of each other track is of the moment of each row.

    Args:
        times: seconds, rising, +inf where there is no row, (N, T).
        real: bool (N, T).

    Returns:
        Place of the row in track m that is nearest to row t of track n, int64 (N, N, T) by n, m and t; and whether it
        is there and near enough; never of a track and itself.
    """
    num_tracks, num_rows = times.shape
    asked = times.flatten().expand(num_tracks, -1).contiguous()             # of all, to each track m
    right = torch.searchsorted(times.contiguous(), asked).clamp(max=num_rows - 1)
    left = (right - 1).clamp(min=0)
    to_left, to_right = ((times.gather(1, index) - asked).abs().nan_to_num(torch.inf) for index in (left, right))
    nearest = torch.where(to_left <= to_right, left, right)
    near = torch.minimum(to_left, to_right) <= NEAR_SECONDS
    near &= real.gather(1, nearest) & real.flatten()
    nearest, near = (values.view(num_tracks, num_tracks, num_rows).transpose(0, 1) for values in (nearest, near))
    return nearest, near & ~torch.eye(num_tracks, dtype=torch.bool, device=times.device).unsqueeze(2)
