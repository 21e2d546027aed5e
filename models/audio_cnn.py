"""The recommended model of sound: a light net on log-mel rows, with the voice's handcrafted features where stored.

The spectrogram's branch adds up what is heard where somebody speaks: statistics of the bands and of their changes, and
of channels of convolutions over time, whose input is freed of the clip's own average spectrum, which says more of the
speaker than of the emotion (cepstral mean normalisation, B. Atal 1974). Channels are pooled by attention to mean and
standard deviation (K. Okabe et al., "Attentive statistics pooling for deep speaker embedding", 2018). While training,
clips change their pace, throat and loudness and get gaps (``models/_sound_augmentation.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import Model
from models._masked import MaskedNorm
from models._pooling import apply_heads, heads, part_name, pooled, width
from models._sound_augmentation import louder_or_softer, stretched, warped, with_gaps

SPECTROGRAM = "audio_logmel"    # features of this name, and variants of it, are heard over time
SILENCE = -1e4                  # a level below all; finite, as the difference of two must be
DEPTH, MARGIN = 2.2, 5          # below the loudest row, in standardised levels, nobody speaks; rows kept around speech
LEAST = 1e-5                    # added to variances, whose roots have no slope at 0


class AudioCnn(Model):
    """A branch for each input; the mean of what the branches say that the clip has.

    ``audio_logmel`` goes through :class:`SpectrogramBranch`; the rows of any other input, which are few or one, are
    averaged and go through one hidden layer. While training a clip's answer often hangs on a single one of its
    branches, so that each learns to answer alone and none is drowned by another.
    """

    preferred_inputs = ("audio_logmel", "audio_functionals")
    training_defaults = MappingProxyType({
        "epochs": 30, "batch_size": 32, "label_smoothing": 0.1, "plateau": 5, "patience": 12})

    @dataclass(frozen=True)
    class Config(Model.Config):
        """Settings of the sound's net.

        Raises:
            ValueError: a size below 1, or a share, speed, throat or loudness out of range.
        """

        width: int = field(default=64, metadata={"help": "channels of the convolutions"})
        hidden: int = field(default=256, metadata={"help": "units that each input becomes"})
        dropout: float = field(default=0.5, metadata={"help": "share of units dropped while training"})
        lone: float = field(default=0.6, metadata={
            "help": "share of training clips whose answer hangs on one input alone, of those they have"})
        speed: float = field(default=0.1, metadata={"help": "greatest change of a training clip's pace"})
        throat: float = field(default=0.06, metadata={"help": "greatest change of its frequencies"})
        loudness: float = field(default=0.1, metadata={
            "help": "standard deviation of its change of level, in standard deviations of the levels"})
        gap_bands: int = field(default=8, metadata={"help": "most bands of it that are blanked"})
        gap_rows: int = field(default=20, metadata={"help": "most rows of it that are blanked, 10 ms each"})

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.pools:
                raise ValueError("audio_cnn hears rows over time; leave pools empty")
            if min(self.width, self.hidden) < 1:
                raise ValueError(f"width and hidden are at least 1, found {self.width} and {self.hidden}")
            for name in ("dropout", "speed", "throat"):
                if not 0 <= getattr(self, name) < 1:
                    raise ValueError(f"{name} is at least 0 and below 1, found {getattr(self, name)}")
            if not 0 <= self.lone <= 1:
                raise ValueError(f"lone is a share from 0 to 1, found {self.lone}")
            if min(self.loudness, self.gap_bands, self.gap_rows) < 0:
                raise ValueError("loudness, gap_bands and gap_rows are at least 0")

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        self.branches = nn.ModuleDict({part_name(name): self._branch(name, width(row)) for name, row in inputs.items()})
        self.heads = heads(self.embedding_width, outputs)

    def _branch(self, name: str, num: int) -> nn.Module:
        if _is_spectrogram(name):
            return SpectrogramBranch(self.config, num)
        return nn.Sequential(nn.Linear(num, self.config.hidden), nn.ReLU())

    @property
    def embedding_width(self) -> int:
        units: int = self.config.hidden * len(self.inputs)
        return units

    def embed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        units = torch.stack([self._units(name, features, mask) for name in self.inputs], 1)     # (B, inputs, hidden)
        share = self._shares(torch.stack([mask[name].any(1) for name in self.inputs], 1))       # (B, inputs)
        return (units * share.unsqueeze(2)).flatten(1)

    def decide(self, embedding: Tensor) -> dict[str, Tensor]:
        return apply_heads(self.heads, embedding, self.outputs)

    def _units(self, name: str, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        branch = self.branches[part_name(name)]
        if _is_spectrogram(name):
            units: Tensor = branch(features[name].flatten(2), mask[name])
        else:
            units = branch(pooled(features, mask, name)[0])
        return F.dropout(units, self.config.dropout, self.training)

    def _shares(self, has: Tensor) -> Tensor:
        """Share of each input in the answer, float32 (B, inputs): equal for those that the clip has, bool."""
        if self.training:
            first = torch.rand(has.shape, device=has.device).masked_fill(~has, -1.0)
            alone = torch.rand(len(has), 1, device=has.device) < self.config.lone
            has = has & (~alone | (first == first.amax(1, keepdim=True)))
        return has.float() / has.sum(1, keepdim=True).clamp(min=1)


class SpectrogramBranch(nn.Module):
    """Levels of bands every 10 ms → units.

    Args:
        config: of the model.
        num_bands: of a row.
    """

    def __init__(self, config: AudioCnn.Config, num_bands: int) -> None:
        super().__init__()
        channels, reaches = config.width, (1, 2, 3)
        self.config = config
        self.edge = nn.Parameter(torch.tensor([4.0, 1.4]))  # how sharply speech ends, and how far below the loudest row
        self.first = nn.Conv1d(num_bands, channels, 7, stride=2, padding=3, bias=False)
        self.first_norm = MaskedNorm(channels)
        self.convolutions = nn.ModuleList(nn.Conv1d(channels, channels, 3, padding=reach, dilation=reach, bias=False)
                                          for reach in reaches)
        self.norms = nn.ModuleList(MaskedNorm(channels) for _ in reaches)
        self.attention = nn.Sequential(nn.Linear(channels, 32), nn.Tanh(), nn.Linear(32, 1))
        num_statistics = 4 * num_bands + 2 * channels * (1 + len(reaches))
        self.statistics_norm = MaskedNorm(num_statistics)
        self.units = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(num_statistics, config.hidden), nn.ReLU())

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """Rows (B, T, bands) with their mask (B, T) → units (B, hidden)."""
        rows, real = trimmed(*halved(rows, real))
        if self.training:
            rows, real = self._varied(rows, real)
        speech = self.speech(rows, real)                                    # (B, T, 1)
        share = speech / speech.sum(1, keepdim=True).clamp(min=1e-3)
        mean = share.mT @ rows                                              # (B, 1, bands)
        centred = torch.where(real.unsqueeze(2), rows - mean, 0.0)
        change = changes(rows, real)
        spread = torch.stack([centred.square(), change.square(), change.abs()], 2)              # (B, T, 3, bands)
        spread = (share.mT @ spread.flatten(2)).view(len(rows), 3, -1)                          # (B, 3, bands)
        statistics = [mean[:, 0], _root(spread[:, 0]), _root(spread[:, 1]), spread[:, 2],
                      *self._heard(centred, real, speech)]
        one = torch.cat(statistics, 1).unsqueeze(2)                         # (B, statistics, 1)
        units: Tensor = self.units(self.statistics_norm(one, real.any(1, keepdim=True))[..., 0])
        return units

    def speech(self, rows: Tensor, real: Tensor) -> Tensor:
        """How surely somebody speaks in each row, 0 to 1, by its level below the clip's loudest; (B, T, 1)."""
        level = rows.mean(2, keepdim=True).masked_fill(~real.unsqueeze(2), SILENCE)
        sharpness, depth = self.edge
        sure = torch.sigmoid(sharpness * (level - level.amax(1, keepdim=True) + depth))
        return torch.where(real.unsqueeze(2), sure, 0.0)

    def _varied(self, rows: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        config = self.config
        rows, real = stretched(rows, real, config.speed)
        rows = louder_or_softer(warped(rows, config.throat), config.loudness)
        rows = with_gaps(rows, real, bands=config.gap_bands, steps=config.gap_rows // 2)
        return torch.where(real.unsqueeze(2), rows, 0.0), real

    def _heard(self, rows: Tensor, real: Tensor, speech: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation over time of all channels, each (B, channels of all layers)."""
        real = real[:, ::2]                                                 # as the convolution's stride
        found = F.relu(self.first_norm(self.first(rows.mT), real))          # (B, channels, T), zeros where none is real
        layers = [found]
        for convolution, norm in zip(self.convolutions, self.norms):
            found = found + F.relu(norm(convolution(F.dropout1d(found, 0.1, self.training)), real))
            layers.append(found)
        scores = self.attention(found.mT).masked_fill(~real.unsqueeze(2), SILENCE)
        weight = scores.softmax(1) * speech[:, ::2]                         # (B, T, 1)
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
        channels = torch.cat(layers, 1)
        mean, power = (channels @ weight)[..., 0], (channels.square() @ weight)[..., 0]
        return mean, _root((power - mean.square()).clamp(min=0))


def halved(rows: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of every two rows, of the real ones alone: (B, T, D) and bool (B, T) → (B, ⌈T/2⌉, D) and its mask."""
    odd = rows.shape[1] % 2
    num_clips, _, num_bands = rows.shape
    rows = F.pad(torch.where(real.unsqueeze(2), rows, 0.0), (0, 0, 0, odd)).view(num_clips, -1, 2, num_bands)
    count = F.pad(real, (0, odd)).view(num_clips, -1, 2).sum(2)
    return rows.sum(2) / count.clamp(min=1).unsqueeze(2), count > 0


def trimmed(rows: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Clips from shortly before their first loud row to shortly behind their last: (B, T, D) and bool (B, T) → fewer T.

    Silence around speech takes time and says nothing. Quiet rows in between stay.
    """
    level = rows.mean(2).masked_fill(~real, SILENCE)
    loud = real & (level >= level.amax(1, keepdim=True) - DEPTH)
    place = torch.arange(rows.shape[1], device=rows.device)
    last = (loud * (place + MARGIN)).amax(1, keepdim=True).clamp(max=len(place) - 1)
    first = (loud.int().argmax(1, keepdim=True) - MARGIN).clamp(min=0)      # (B, 1)
    place = first + place[:int((last - first).max()) + 1]                   # (B, T)
    kept = (place <= last) & real.gather(1, place.clamp(max=len(real[0]) - 1))
    found = rows.gather(1, place.clamp(max=len(real[0]) - 1).unsqueeze(2).expand(-1, -1, rows.shape[2]))
    return torch.where(kept.unsqueeze(2), found, 0.0), kept


def changes(rows: Tensor, real: Tensor) -> Tensor:
    """Difference of the rows around each; 0 where one of them is not real; (B, T, D)."""
    if rows.shape[1] < 3:
        return torch.zeros_like(rows)
    both = (real[:, 2:] & real[:, :-2] & real[:, 1:-1]).unsqueeze(2)
    return F.pad(torch.where(both, rows[:, 2:] - rows[:, :-2], 0.0), (0, 0, 1, 1))


def _root(variance: Tensor) -> Tensor:
    return (variance + LEAST).sqrt()


def _is_spectrogram(name: str) -> bool:
    return name.split("@")[0] == SPECTROGRAM
