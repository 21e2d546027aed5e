"""Who speaks, by long looks: temporal encoders of pictures and sound, attention both ways between them, and over both.

After R. Tao et al., "Is Someone Speaking? Exploring Long-term Temporal Features for Audio-visual Active Speaker
Detection" (ACM Multimedia 2021). The layers and their order are the published ones, so that published weights fit. The
published code lets a convolution reach from one clip of a batch into the next; here every clip stands alone, as there
when it scores.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models._light_asd import STEPS, norm_2d
from models._masked import ClipNorm, MaskedNorm
from models._pictures import PictureEncoder, spread

STEM = 64               # channels behind the first convolution
REACH = 2               # places to either side that it sees
WIDE = 512              # numbers of a picture
NUM_TEMPORAL = 5        # blocks over time
SOUND_CHANNELS = 16, 32, 64, 128
SOUND_BLOCKS = 3, 4, 6, 3       # as in ResNet-34
SOUND_STRIDES = 1, 2, 2, 1
SQUEEZE = 8             # channels to units of squeeze-and-excitation
NUM_HEADS = 8


class TalkNetPictures(PictureEncoder):
    """A convolution over five pictures, a ResNet-18 with the activation last, then convolutions over time to 128."""

    halo = REACH
    width = WIDE

    def __init__(self) -> None:
        super().__init__()
        # Over 5 × 7 × 7 of time and space: five pictures as five channels give the same.
        self.stem = nn.Conv2d(2 * REACH + 1, STEM, 7, 2, 3, bias=False)
        self.stem_norm = norm_2d(STEM)
        self.blocks = nn.Sequential(*(ResidualPair(max(STEM, STEM * 2 ** place // 2), STEM * 2 ** place)
                                      for place in range(4)))

    def encode(self, pictures: Tensor, real: Tensor) -> Tensor:
        strip = F.pad(spread(pictures, real), (0, 0, 0, 0, REACH, REACH))   # (M + 4, H, W)
        seen = strip.unfold(0, 2 * REACH + 1, 1).permute(0, 3, 1, 2)[real]  # (N, 5, H, W)
        values = F.relu(self.stem_norm(self.stem(seen.contiguous(memory_format=torch.channels_last))))
        found: Tensor = self.blocks(F.max_pool2d(values, 3, 2, 1))
        return found.mean((2, 3))                                           # (N, 512)


class ResidualPair(nn.Module):
    """Two residual blocks, whose shortcut takes what stands before normalisation and activation.

    Args:
        before, after: channels; where they differ the picture is halved.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 1 if before == after else 2
        self.convolutions = nn.ModuleList(nn.Conv2d(before if place == 0 else after, after, 3,
                                                    stride if place == 0 else 1, 1, bias=False) for place in range(4))
        self.norms = nn.ModuleList(norm_2d(after) for _ in range(4))
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H', W')."""
        first, second, third, fourth = self.convolutions
        inner = F.relu(self.norms[0](first(values)))
        joined = second(inner) + self.shortcut(values)
        inner = F.relu(self.norms[2](third(F.relu(self.norms[1](joined)))))
        found: Tensor = F.relu(self.norms[3](fourth(inner) + joined))
        return found


class PictureTime(nn.Module):
    """Convolutions over time: five separable ones, then from 512 to 128.

    Args:
        before, after: numbers of a row.
    """

    def __init__(self, before: int = WIDE, after: int = 128) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SeparableBlock(before) for _ in range(NUM_TEMPORAL))
        self.narrow = nn.Conv1d(before, before // 2, 5, padding=2)
        self.norm = MaskedNorm(before // 2)
        self.last = nn.Conv1d(before // 2, after, 1)

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """Rows (B, T, 512), zeros where the mask (B, T) is False → (B, T, 128)."""
        values = rows.mT                                                    # (B, 512, T)
        for block in self.blocks:
            values = block(values, real)
        values = F.relu(self.norm(self.narrow(values), real))
        found: Tensor = self.last(values) * real.unsqueeze(1)
        return found.mT


class SeparableBlock(nn.Module):
    """A convolution over time of each channel, then one over channels, around which a shortcut leads.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = MaskedNorm(channels)
        self.time = nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.slope = nn.PReLU()
        self.clip_norm = ClipNorm(channels)
        self.mix = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """(B, C, T), zeros where the mask (B, T) is False → the same."""
        inner = self.slope(self.time(self.norm(F.relu(values), real)))
        found: Tensor = self.mix(self.clip_norm(inner, real)) + values
        return found


class TalkNetSound(nn.Module):
    """A ResNet-34 of few channels with squeeze-and-excitation, from four steps a row to one."""

    width = SOUND_CHANNELS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, SOUND_CHANNELS[0], 7, (2, 1), 3, bias=False)
        self.stem_norm = MaskedNorm(SOUND_CHANNELS[0])
        before = (SOUND_CHANNELS[0], *SOUND_CHANNELS)
        self.blocks = nn.ModuleList(nn.ModuleList(
            SoundBlock(before[stage] if place == 0 else SOUND_CHANNELS[stage], SOUND_CHANNELS[stage],
                       stride if place == 0 else 1) for place in range(count))
            for stage, (count, stride) in enumerate(zip(SOUND_BLOCKS, SOUND_STRIDES)))
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """Rows (B, T, 4, F), zeros where the mask (B, T) is False → (B, T, 128)."""
        steps = real.repeat_interleave(STEPS, 1)                            # (B, 4·T)
        values = self.stem(rows.flatten(1, 2).mT.unsqueeze(1))              # (B, 16, F / 2, 4·T)
        found: Tensor = F.relu(self.stem_norm(values, steps))
        for stage, stride in zip(self.blocks, SOUND_STRIDES):
            steps = steps[:, ::stride]
            for block in stage:  # type: ignore[attr-defined]
                found = block(found, steps)
        return found.mean(2).mT


class SoundBlock(nn.Module):
    """A residual block with squeeze-and-excitation.

    Args:
        before, after: channels.
        stride: over coefficients and time.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.first_norm, self.second_norm = MaskedNorm(after), MaskedNorm(after)
        self.squeeze, self.excite = nn.Linear(after, after // SQUEEZE), nn.Linear(after // SQUEEZE, after)
        self.shortcut = None if stride == 1 and before == after else nn.Conv2d(before, after, 1, stride, bias=False)
        self.shortcut_norm = None if self.shortcut is None else MaskedNorm(after)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """(B, C, F, S), zeros where no step is → (B, C', F', S'), zeros where the mask (B, S') is False."""
        inner = self.first_norm(F.relu(self.first(values)), real)
        inner = self.second_norm(self.second(inner), real)
        mean = inner.sum((2, 3)) / (real.sum(1, keepdim=True) * inner.shape[2]).clamp(min=1)
        gate = self.excite(F.relu(self.squeeze(mean))).sigmoid()            # (B, C')
        if self.shortcut is not None and self.shortcut_norm is not None:
            values = self.shortcut_norm(self.shortcut(values), real)
        return F.relu(inner * gate[:, :, None, None] + values)


class Attention(nn.Module):
    """One side asks, the other answers and is then thought over: a layer of a transformer.

    Args:
        width: units of a row.
        dropout: share of units dropped while training.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, NUM_HEADS, dropout=dropout, batch_first=True)
        self.first, self.second = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, answers: Tensor, asks: Tensor, real: Tensor) -> Tensor:
        """Rows that answer, where the mask (B, T) is True, and rows that ask, (B, T, D) → (B, T, D).

        A side without any real row answers nothing.
        """
        any_real = real.any(1)
        seen = real | ~any_real.unsqueeze(1)                                # softmax over nothing is no number
        found = self.attention(asks, answers, answers, key_padding_mask=~seen, need_weights=False)[0]
        joined = self.first_norm(answers + self.dropout(found * any_real.view(-1, 1, 1)))
        inner = self.second(self.dropout(F.relu(self.first(joined))))
        rows: Tensor = self.second_norm(joined + self.dropout(inner))
        return rows
