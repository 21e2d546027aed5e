"""Cross-modal attention: what is seen, over space, channels and time, and what is heard, over time, read each other.

After B. Mocanu, R. Tapu, T. Zaharia: "Multimodal emotion recognition using cross modal audio-video fusion with
attention and deep metric learning" (Image and Vision Computing 133, 2023), which joins the maps of a 3-D ResNet-101 for
six snippets with a ResNet-18's rows for six parts of the sound. The correlation of the two sides' steps is that of
R. G. Praveen et al., "Cross Attentional Audio-Visual Fusion" (2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import Model
from models._pooling import apply_heads, heads, part_name, width

SEEN = ("face", "video")        # names of features of pictures begin so; all others are of the side that is heard
SIDES = ("seen", "heard")
CHANNEL_RATIO = 16              # channels to units of the channel attention, as in squeeze-and-excitation (Hu 2018)


class CrossAttention(Model):
    """Two sides of six steps each, a learnt 6×6 correlation between them, softmax both ways, heads on 6 × 1024 units.

    Features named ``face…`` or ``video…`` are seen, all others are heard. Rows of two axes on the seen side are maps
    (channels, places) and get attention over places and channels; rows of numbers go straight on. Each feature's rows,
    however many, become ``steps`` steps: the means of equal parts of them, so that six rows stay as they are. Features
    of one side are averaged over those that the clip has. A missing feature leaves its say to the others; the steps
    that read a missing side read nothing.
    """

    @dataclass(frozen=True)
    class Config(Model.Config):
        """Settings of cross-modal attention.

        Raises:
            ValueError: a count below 1, or a dropout outside [0, 1).
        """

        width: int = field(default=512, metadata={"help": "units of a step of either side"})
        steps: int = field(default=6, metadata={"help": "steps that a clip's rows become on either side"})
        dropout: float = field(default=0.5, metadata={"help": "share of the joined units dropped while training"})

        def __post_init__(self) -> None:
            super().__post_init__()
            if min(self.width, self.steps) < 1:
                raise ValueError(f"width and steps are at least 1, found {self.width} and {self.steps}")
            if not 0 <= self.dropout < 1:
                raise ValueError(f"dropout is at least 0 and below 1, found {self.dropout}")

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        self.maps = nn.ModuleDict({part_name(name): MapAttention(row[0]) for name, row in inputs.items()
                                   if side_of(name) == "seen" and len(row) == 2})
        self.projections = nn.ModuleDict({part_name(name): nn.Linear(
            row[0] if part_name(name) in self.maps else width(row), config.width) for name, row in inputs.items()})
        self.time = nn.ModuleDict({side: TimeAttention(config.width) for side in SIDES})
        self.correlation = nn.Parameter(torch.empty(config.width, config.width))
        nn.init.xavier_uniform_(self.correlation)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = heads(self.embedding_width, outputs)

    @property
    def embedding_width(self) -> int:
        width: int = self.config.steps * 2 * self.config.width
        return width

    def embed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        return self._look(features, mask)[0]

    def decide(self, embedding: Tensor) -> dict[str, Tensor]:
        return apply_heads(self.heads, self.dropout(embedding), self.outputs)

    def attention(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the model looks at.

        Args:
            features, mask: as for :meth:`forward`.

        Returns:
            By name, detached, float32; S steps, F a feature's name, T its rows:

            * ``space/F`` (B, T, places): shares of a map's places, which sum to 1; zeros for rows that are none.
            * ``channels/F`` (B, T, channels): gate of each channel, 0 to 1; zeros for rows that are none.
            * ``time/seen``, ``time/heard`` (B, S): shares of the steps, which sum to 1; zeros for a side that is not
              there.
            * ``heard_by_seen`` (B, S, S): how much each step that is seen (second axis) reads of each that is heard
              (third axis), which sums to 1; ``seen_by_heard`` the other way round. Zeros where the side that is read
              is not there.
        """
        with torch.no_grad():
            return {name: values.detach() for name, values in self._look(features, mask)[1].items()}

    def _look(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Joined units (B, S·2D) and all attentions."""
        looks: dict[str, Tensor] = {}
        sides, present = {}, {}
        for side in SIDES:
            steps, present[side] = self._steps(side, features, mask, looks)
            sides[side], looks[f"time/{side}"] = self.time[side](steps, present[side])  # (B, S, D), (B, S)
        seen, heard = sides["seen"], sides["heard"]
        scores = seen @ self.correlation @ heard.mT / self.correlation.shape[0] ** 0.5  # (B, S seen, S heard)
        looks["heard_by_seen"] = scores.softmax(2) * present["heard"].view(-1, 1, 1)
        looks["seen_by_heard"] = scores.mT.softmax(2) * present["seen"].view(-1, 1, 1)
        seen_too = seen + looks["heard_by_seen"] @ heard * present["seen"].view(-1, 1, 1)
        heard_too = heard + looks["seen_by_heard"] @ seen * present["heard"].view(-1, 1, 1)
        return torch.cat([seen_too, heard_too], dim=2).flatten(1), looks                # (B, S·2D)

    def _steps(self, side: str, features: Mapping[str, Tensor], mask: Mapping[str, Tensor],
               looks: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Steps of one side (B, S, D), zeros where the clip has none of its features, and whether it has, (B,)."""
        like = next(iter(features.values()))
        total, count = like.new_zeros(len(like), self.config.steps, self.config.width), like.new_zeros(len(like))
        for name in self.inputs:
            if side_of(name) == side:
                real = mask[name]
                values = torch.where(real.view(*real.shape, *[1] * (features[name].ndim - 2)), features[name], 0.0)
                if part_name(name) in self.maps:
                    values, space, channels = self.maps[part_name(name)](values)        # (B, T, C)
                    looks[f"space/{name}"] = space * real.unsqueeze(2)
                    looks[f"channels/{name}"] = channels * real.unsqueeze(2)
                rows = F.relu(self.projections[part_name(name)](values.flatten(2)))     # (B, T, D)
                total = total + parts(real, self.config.steps) @ rows
                count = count + real.any(1)
        return total / count.clamp(min=1).view(-1, 1, 1), (count > 0).to(total)


class MapAttention(nn.Module):
    """Attention over the places of a map, then over its channels.

    Args:
        channels: of a map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // CHANNEL_RATIO)
        self.space = nn.Sequential(nn.Linear(channels, inner), nn.Tanh(), nn.Linear(inner, 1))
        self.channels = nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid())

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (B, T, C, P) → rows (B, T, C), shares of the places (B, T, P), gates of the channels (B, T, C)."""
        space = self.space(maps.mT).squeeze(3).softmax(2)                   # (B, T, P)
        rows = (maps @ space.unsqueeze(3)).squeeze(3)                       # (B, T, C)
        channels = self.channels(rows)
        return rows * channels, space, channels


class TimeAttention(nn.Module):
    """Attention over steps: each is weighed by its share, times their number, so that equal shares change nothing.

    Args:
        units: of a step.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(units, units // 4 + 1), nn.Tanh(), nn.Linear(units // 4 + 1, 1))

    def forward(self, steps: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Steps (B, S, D) of clips that have them where ``present`` (B,) is 1 → weighed steps, shares (B, S)."""
        shares = self.score(steps).squeeze(2).softmax(1) * present.unsqueeze(1)
        return steps * shares.unsqueeze(2) * steps.shape[1], shares


def side_of(name: str) -> str:
    """The side that a feature is on, by its name.

    >>> side_of("face_r3d101@six"), side_of("audio_resnet18")
    ('seen', 'heard')
    """
    return "seen" if name.startswith(SEEN) else "heard"


def parts(mask: Tensor, num_parts: int) -> Tensor:
    """Weights that average equal, possibly overlapping parts of each clip's real rows.

    Args:
        mask: bool (B, T).
        num_parts: of each clip; where it has fewer rows some parts share one.

    Returns:
        float32 (B, num_parts, T): rows sum to 1, or are zeros for a clip without rows.

    >>> parts(torch.tensor([[True, True, False]]), 2).tolist()
    [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    place = (mask.cumsum(1) - 1).unsqueeze(1)                               # (B, 1, T): which real row it is
    count = mask.sum(1).view(-1, 1, 1)
    part = torch.arange(num_parts, device=mask.device).view(1, -1, 1)
    first, last = part * count // num_parts, -(-(part + 1) * count // num_parts)
    inside = ((place >= first) & (place < last) & mask.unsqueeze(1)).float()
    return inside / inside.sum(2, keepdim=True).clamp(min=1)
