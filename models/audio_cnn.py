"""The recommended model of sound: a light net on log-mel rows, with the voice's handcrafted features where stored.

Over few actors a net hears who speaks sooner than how. So the spectrogram's branch looks at pictures freed of the
clip's own average spectrum, which says more of the speaker than of the emotion (cepstral mean normalisation, B. Atal
1974): convolutions over bands and time, then over time alone, whose channels are pooled by attention to mean and
standard deviation (K. Okabe et al., "Attentive statistics pooling for deep speaker embedding", 2018). Beside these
stand statistics of the bands and of their changes. While training, clips change their pace, throat and loudness and get
gaps (``models/_sound_augmentation.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import Model
from models._averaged import averaged, follow
from models._masked import MaskedNorm
from models._pooling import apply_heads, heads, masked_mean, part_name, width
from models._sound_augmentation import louder_or_softer, stretched, warped, with_gaps

SPECTROGRAM = "audio_logmel"    # features of this name, and variants of it, are heard over time
SILENCE = -1e4                  # a level below all; finite, as the difference of two must be
DEPTH, MARGIN = 2.2, 5          # below the loudest row, in standardised levels, nobody speaks; rows kept around speech
EDGE, SHARPNESS = 1.4, 4.0      # a row so far below the loudest is speech by half; how soon that goes to none and all
LEAST = 1e-5                    # added to variances, whose roots have no slope at 0


class AudioCnn(Model):
    """A branch for each input; the mean of what the branches say that the clip has.

    ``audio_logmel`` goes through :class:`SpectrogramBranch`; the rows of any other input, which are few or one, are
    averaged and go through one hidden layer, as in ``early``. Each branch learns by the loss of its own answer, which
    is given under ``"TASK/INPUT"`` in training mode, and none by that of the mean: branches that learn together lean on
    the one that learns sooner, and on unseen actors answer worse than the better of them does alone.
    """

    preferred_inputs = ("audio_logmel", "audio_functionals")
    training_defaults = MappingProxyType({
        "epochs": 20, "batch_size": 32, "label_smoothing": 0.1, "plateau": 5, "patience": 20})

    @dataclass(frozen=True)
    class Config(Model.Config):
        """Settings of the sound's net.

        Raises:
            ValueError: a size below 1, or a share, speed, throat or loudness out of range.
        """

        width: int = field(default=64, metadata={"help": "channels over time; over bands a quarter and a half of it"})
        hidden: int = field(default=256, metadata={"help": "units that an input without a spectrogram becomes"})
        average: float = field(default=0.995, metadata={
            "help": "share of the weights' running average that a step leaves; 0: the last weights answer"})
        dropout: float = field(default=0.5, metadata={"help": "share of units dropped while training"})
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
            if self.width < 4 or self.hidden < 1:
                raise ValueError(f"width is at least 4 and hidden 1, found {self.width} and {self.hidden}")
            for name in ("average", "dropout", "speed", "throat"):
                if not 0 <= getattr(self, name) < 1:
                    raise ValueError(f"{name} is at least 0 and below 1, found {getattr(self, name)}")
            if min(self.loudness, self.gap_bands, self.gap_rows) < 0:
                raise ValueError("loudness, gap_bands and gap_rows are at least 0")

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        branches = {part_name(name): (SpectrogramBranch if is_spectrogram(name) else PooledBranch)(config, width(row))
                    for name, row in inputs.items()}
        self.num_units = sum(branch.num_units for branch in branches.values())
        self.branches = averaged(branches, config.average)
        self.heads = averaged(dict(heads(self.num_units, outputs).items()), config.average)
        if len(inputs) > 1:
            self.auxiliary_weights = MappingProxyType(dict.fromkeys(inputs, 1.0))

    @property
    def embedding_width(self) -> int:
        return self.num_units

    def embed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        return side_by_side(*self._units(features, mask))

    def decide(self, embedding: Tensor) -> dict[str, Tensor]:
        return apply_heads(self.heads, embedding, self.outputs)

    def forward(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs of each task, float32 (B, C); in training mode those of each of several inputs beside them."""
        units, has = self._units(features, mask)
        mean = self.decide(side_by_side(units, has))
        if not self.training or len(self.inputs) == 1:
            return mean
        found = {task: values.detach() for task, values in mean.items()}
        for place, name in enumerate(self.inputs):
            only = torch.zeros_like(has)
            only[:, place] = has[:, place]
            for task, values in self.decide(side_by_side(units, only)).items():
                found[f"{task}/{name}"] = torch.where(only[:, place:place + 1], values, found[task])
        return found

    def _units(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        """What each input becomes, (B, its units), and which of them the clips have, bool (B, inputs)."""
        if self.training:
            follow(self)
        has = torch.stack([mask[name].any(1) for name in self.inputs], 1)
        return [self.branches[part_name(name)](features[name], mask[name]) for name in self.inputs], has


def side_by_side(units: Sequence[Tensor], has: Tensor) -> Tensor:
    """Units of all inputs, each (B, its own), scaled so that a linear layer gives its mean over those the clips have.

    Args:
        units: of each input.
        has: which a clip has, bool (B, inputs).
    """
    share = has.float() / has.sum(1, keepdim=True).clamp(min=1)
    return torch.cat([part * share[:, place:place + 1] for place, part in enumerate(units)], 1)


class PooledBranch(nn.Module):
    """The mean of a clip's rows → units.

    Args:
        config: of the model.
        num: numbers of a row.
    """

    def __init__(self, config: AudioCnn.Config, num: int) -> None:
        super().__init__()
        self.num_units = config.hidden
        self.layers = nn.Sequential(nn.Linear(num, config.hidden), nn.ReLU(), nn.Dropout(config.dropout))

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """Rows (B, T, …) with their mask (B, T) → units (B, num_units)."""
        units: Tensor = self.layers(masked_mean(rows, real))
        return units


class SpectrogramBranch(nn.Module):
    """Levels of bands every 10 ms → units.

    Args:
        config: of the model.
        num_bands: of a row.
    """

    def __init__(self, config: AudioCnn.Config, num_bands: int) -> None:
        super().__init__()
        channels, reaches = config.width, (1, 2)
        few, more = channels // 4, channels // 2
        self.config = config
        self.pictures = nn.ModuleList([nn.Conv2d(1, few, 5, stride=2, padding=2, bias=False),
                                       nn.Conv2d(few, more, 3, stride=2, padding=1, bias=False)])
        self.picture_norms = nn.ModuleList([MaskedNorm(few), MaskedNorm(more)])
        self.mix = nn.Conv1d(more * -(-num_bands // 4), channels, 1, bias=False)
        self.mix_norm = MaskedNorm(channels)
        self.convolutions = nn.ModuleList(nn.Conv1d(channels, channels, 3, padding=reach, dilation=reach, bias=False)
                                          for reach in reaches)
        self.norms = nn.ModuleList(MaskedNorm(channels) for _ in reaches)
        self.attention = nn.Sequential(nn.Linear(channels, 32), nn.Tanh(), nn.Linear(32, 1))
        self.num_units = 4 * num_bands + 2 * channels * (1 + len(reaches))
        self.norm = MaskedNorm(self.num_units)

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        """Rows (B, T, bands) with their mask (B, T) → units (B, num_units)."""
        rows, real = trimmed(*halved(rows.flatten(2), real))
        if self.training:
            rows, real = self._varied(rows, real)
        sure = speech(rows, real)                                           # (B, T, 1)
        share = sure / sure.sum(1, keepdim=True).clamp(min=1e-3)
        mean = share.mT @ rows                                              # (B, 1, bands)
        centred = torch.where(real.unsqueeze(2), rows - mean, 0.0)
        change = changes(rows, real)
        spread = torch.stack([centred.square(), change.square(), change.abs()], 2)              # (B, T, 3, bands)
        spread = (share.mT @ spread.flatten(2)).view(len(rows), 3, -1)                          # (B, 3, bands)
        units = torch.cat([mean[:, 0], _root(spread[:, 0]), _root(spread[:, 1]), spread[:, 2],
                           *self._heard(centred, real, sure)], 1)
        units = self.norm(units.unsqueeze(2), real.any(1, keepdim=True))[..., 0]
        return F.dropout(units, self.config.dropout, self.training)

    def _varied(self, rows: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        config = self.config
        rows, real = stretched(rows, real, config.speed)
        rows = louder_or_softer(warped(rows, config.throat), config.loudness)
        rows = with_gaps(rows, real, bands=config.gap_bands, steps=config.gap_rows // 2)
        return torch.where(real.unsqueeze(2), rows, 0.0), real

    def _heard(self, rows: Tensor, real: Tensor, sure: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation over time of all channels over time, each (B, channels of all layers)."""
        picture = rows.mT.unsqueeze(1)                                      # (B, 1, bands, T)
        for convolution, norm in zip(self.pictures, self.picture_norms):
            real, sure = real[:, ::2], sure[:, ::2]                         # as the convolution's stride
            picture = F.relu(norm(convolution(picture), real))              # zeros where none is real
        found = F.relu(self.mix_norm(self.mix(self._thinned(picture.flatten(1, 2))), real))     # (B, channels, T/4)
        layers = [found]
        for convolution, norm in zip(self.convolutions, self.norms):
            found = found + F.relu(norm(convolution(self._thinned(found)), real))
            layers.append(found)
        scores = self.attention(found.mT).masked_fill(~real.unsqueeze(2), SILENCE)
        weight = scores.softmax(1) * sure                                   # (B, T/4, 1)
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
        channels = torch.cat(layers, 1)
        mean, power = (channels @ weight)[..., 0], (channels.square() @ weight)[..., 0]
        return mean, _root((power - mean.square()).clamp(min=0))

    def _thinned(self, channels: Tensor) -> Tensor:
        return F.dropout1d(channels, 0.1, self.training)


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


def speech(rows: Tensor, real: Tensor) -> Tensor:
    """How surely somebody speaks in each row, 0 to 1, by its level below the clip's loudest; (B, T, 1)."""
    level = rows.mean(2, keepdim=True).masked_fill(~real.unsqueeze(2), SILENCE)
    sure = torch.sigmoid(SHARPNESS * (level - level.amax(1, keepdim=True) + EDGE))
    return torch.where(real.unsqueeze(2), sure, 0.0)


def changes(rows: Tensor, real: Tensor) -> Tensor:
    """Difference of the rows around each; 0 where one of them is not real; (B, T, D)."""
    if rows.shape[1] < 3:
        return torch.zeros_like(rows)
    both = (real[:, 2:] & real[:, :-2] & real[:, 1:-1]).unsqueeze(2)
    return F.pad(torch.where(both, rows[:, 2:] - rows[:, :-2], 0.0), (0, 0, 1, 1))


def _root(variance: Tensor) -> Tensor:
    return (variance + LEAST).sqrt()


def is_spectrogram(name: str) -> bool:
    """Is an input of this name heard over time?"""
    return name.split("@")[0] == SPECTROGRAM
