"""Who speaks? For every frame of a face's track, from its pictures and the sound beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import Context, Model
from models._compact_speaker import CompactJoin, CompactPictures, CompactSound
from models._faces_in_view import FacesInView
from models._light_asd import STEPS, LightDetector, LightPictures, LightSound
from models._pooling import apply_heads, heads, part_name, width
from models._speaker_augmentation import moved, out_of_step, overheard
from models._talknet import WIDE, Attention, PictureTime, TalkNetPictures, TalkNetSound

SEEN = ("face", "video", "asd_faces")       # names of features of pictures begin so; all others are heard
UNITS = 128
GREY_MEAN, GREY_SD = 0.4161, 0.1688         # of faces in AVA, as in TalkNet
NOT_SPEAKING, SPEAKING = 0, 1               # of a task of two classes
MOST_SURE = 2.0                             # log odds: sound out of step is to fall this far below, and no further


class ActiveSpeaker(Model):
    """Speaking or not, frame by frame: a network for small corpora, and two of the literature, layer by layer.

    ``compact`` (``models/_compact_speaker``, 0.9 M parameters) sees small pictures and multiplies what moves by what
    sounds; it learns from little, without a graphics card. ``light`` is Light-ASD (Liao et al. 2023, 1.02 M):
    convolutions split into space and time, pictures and sound added, a GRU forwards and one backwards. ``talknet`` is
    TalkNet (Tao et al. 2021, 15.7 M): a 3-D convolution, ResNet-18 and convolutions over time for pictures, a ResNet-34
    with squeeze-and-excitation for sound, attention both ways between them and over both. While training, heads on
    either side alone learn too, at 0.4 of the loss, and of sound out of step the network learns that no mouth goes with
    it (``out_of_step``). With ``context_faces`` the faces of a scene look at one another (``models/_faces_in_view``).

    Features named ``face…``, ``video…`` or ``asd_faces…`` are seen, all others heard. Rows of two axes are pictures on
    the seen side and four spectra on the heard side; rows of any other shape, as encoders give them, are projected.
    Either side alone is enough, and a frame may lack either. No statistics are taken over padding: what a network
    answers in evaluation depends on the clip alone, or with ``context_faces`` on its scene.
    """

    level: ClassVar[Literal["clip", "frame"]] = "frame"
    preferred_inputs = ("asd_faces", "asd_audio")
    training_defaults = MappingProxyType({
        "epochs": 30, "batch_size": 4, "batch_rows": 600, "lr": 1e-3, "plateau": 12, "weight_decay": 0.01,
        "label_smoothing": 0.0, "class_weights": "none", "patience": 15})

    @dataclass(frozen=True)
    class Config(Model.Config):
        """Settings of the networks.

        Raises:
            ValueError: an unknown variant, a picture below 16 pixels, a share outside [0, 1), a weight below 0, pools.
        """

        variant: Literal["compact", "light", "talknet"] = field(default="compact", metadata={
            "help": "compact: learns from little; light: Light-ASD, a million parameters; talknet: TalkNet, sixteen"
                    " million"})
        picture_size: int = field(default=0, metadata={
            "help": "pixels to which pictures are averaged down first: 56 costs a quarter; 0: 28 of compact, else all"})
        augment: bool = field(default=True, metadata={
            "help": "while training mirror, cut and turn the pictures of three clips in four, as TalkNet does"})
        overheard: float = field(default=0.5, metadata={
            "help": "while training the share of clips in which another of the batch is heard too, within 5 dB"})
        out_of_step: float = field(default=1.0, metadata={
            "help": "while training the weight of answers to pictures beside sound of another time of their clip, to"
                    " which no mouth moves; for tasks of two classes, the first of which is not speaking; 0: none"})
        context_faces: bool = field(default=False, metadata={
            "help": "let the faces that are in view together look at one another; batches then hold whole scenes"})
        dropout: float = field(default=0.1, metadata={
            "help": "share of units dropped while training, of compact and talknet"})

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.pools:
                raise ValueError("every row is answered for, so pools stay empty")
            if self.variant not in ("compact", "light", "talknet"):
                raise ValueError(f"variant is compact, light or talknet, found {self.variant!r}")
            if self.picture_size != 0 and self.picture_size < 16:
                raise ValueError(f"picture_size is at least 16, or 0, found {self.picture_size}")
            if not (0 <= self.dropout < 1 and 0 <= self.overheard <= 1):
                raise ValueError(f"dropout is in [0, 1) and overheard in [0, 1], found {self.dropout} and"
                                 f" {self.overheard}")
            if self.out_of_step < 0:
                raise ValueError(f"out_of_step is at least 0, found {self.out_of_step}")

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        self.seen = nn.ModuleDict({part_name(name): Pictures(config) if len(row) == 2 else Numbers(width(row))
                                   for name, row in inputs.items() if name.startswith(SEEN)})
        self.heard = nn.ModuleDict({part_name(name): Sound(config, row) if is_sound(row) else Numbers(width(row))
                                    for name, row in inputs.items() if not name.startswith(SEEN)})
        self.both = bool(self.seen) and bool(self.heard)
        self.join: CompactJoin | LightJoin | TalkNetJoin
        if config.variant == "talknet":
            self.join = TalkNetJoin(config.dropout, self.both)
        else:
            self.join = LightJoin() if config.variant == "light" else CompactJoin(UNITS, config.dropout)
        setattr(self, "context", config.context_faces)
        self.in_view = FacesInView(self.join.width, config.dropout) if config.context_faces else None
        self.heads = heads(self.join.width, outputs)
        if self.both:
            self.picture_heads, self.sound_heads = heads(UNITS, outputs), heads(UNITS, outputs)
            self.auxiliary_weights = MappingProxyType({"picture": 0.4, "audio": 0.4, "late": config.out_of_step})

    @classmethod
    def reads_context(cls, config: Any) -> bool:
        return bool(config.context_faces)

    def use_units(self, units: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Sound of others is added in its own units; as long as these are not known, none is.

        Args:
            units: ``mean`` and ``sd`` of a row, by feature.
        """
        for name in self.inputs:
            if part_name(name) in self.heard and name in units:
                part = self.heard[part_name(name)]
                if isinstance(part, Sound):
                    part.use_units(units[name]["mean"], units[name]["sd"])

    def forward(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor],
                context: Context | None = None) -> dict[str, Tensor]:
        """Outputs of each task for each frame, float32 (B, T, C); in training mode others beside them.

        Args:
            features, mask: as for every model.
            context: with ``context_faces`` which clips are of one scene, and when their rows are; None: each is alone.
        """
        seen, is_seen = self._side(self.seen, features, mask)
        heard, is_heard = self._side(self.heard, features, mask)
        beside = None
        if self.training and self.both and self.config.out_of_step:
            index, is_moved = out_of_step(is_heard | is_seen)
            late, is_late = heard.gather(1, index.unsqueeze(2).expand_as(heard)), is_heard.gather(1, index)
            both = self.join(torch.cat([heard, late]), torch.cat([seen, seen]), torch.cat([is_heard, is_late]),
                             torch.cat([is_seen, is_seen]))
            (joined, beside), (heard, _), (seen, _) = (part.chunk(2) for part in both)
        else:
            joined, heard, seen = self.join(heard, seen, is_heard, is_seen)
        if self.in_view is not None and context is not None:
            joined = self.in_view(joined, is_heard | is_seen, context)
        found = apply_heads(self.heads, joined, self.outputs)
        if self.training and self.both:
            for name, layers, side in (("picture", self.picture_heads, seen), ("audio", self.sound_heads, heard)):
                alone = apply_heads(layers, side, self.outputs)
                found.update({f"{task}/{name}": values for task, values in alone.items()})
        if beside is not None:
            found.update(late_answers(found, apply_heads(self.heads, beside, self.outputs), is_moved))
        return found

    def _side(self, encoders: nn.ModuleDict, features: Mapping[str, Tensor],
              mask: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Numbers of one side (B, T, 128), zeros where it has no row, and where it has one, bool (B, T)."""
        like = next(iter(mask.values()))
        total, real = torch.zeros(*like.shape, UNITS, device=like.device), torch.zeros_like(like)
        for name in self.inputs:
            if part_name(name) in encoders:
                total = total + encoders[part_name(name)](features[name], mask[name])
                real = real | mask[name]
        return total, real


def late_answers(found: Mapping[str, Tensor], late: Mapping[str, Tensor], is_moved: Tensor) -> dict[str, Tensor]:
    """Where somebody speaks: does the sound in step go with the mouth, or the one out of step, or neither?

    The odds of speaking to either sound compete, and those to the first, up to a bound, are taken as they are; so the
    odds to sound out of step fall, and where nobody speaks hardly anything is learnt.

    Args:
        found: answers by task to the sound as it is, (B, T, C).
        late: to the sound of another time.
        is_moved: of which clips there is one, bool (B,).

    Returns:
        ``"TASK/late"`` of each task of two classes, (B, T, 2).
    """
    answers = {}
    for task, values in late.items():
        if values.shape[2] == 2:
            odds, other = (part[..., SPEAKING] - part[..., NOT_SPEAKING] for part in (found[task], values))
            either = F.softplus(torch.where(is_moved.unsqueeze(1), other, -torch.inf))
            answers[f"{task}/late"] = torch.stack([either, odds.detach().clamp(max=MOST_SURE)], dim=2)
    return answers


def is_sound(row: tuple[int, ...]) -> bool:
    """Are these four spectra?"""
    return len(row) == 2 and row[0] == STEPS


class Pictures(nn.Module):
    """Pictures of faces, grey in [0, 1], to 128 numbers a row.

    Args:
        config: of the model.
    """

    def __init__(self, config: ActiveSpeaker.Config) -> None:
        super().__init__()
        self.size, self.augment = config.picture_size, config.augment
        self.compact = CompactPictures(UNITS, self.size) if config.variant == "compact" else None
        if self.compact is None:
            self.encoder = LightPictures() if config.variant == "light" else TalkNetPictures()
        self.time = PictureTime(WIDE, UNITS) if config.variant == "talknet" else None

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """(B, T, H, W), anything where the mask (B, T) is False → (B, T, 128), zeros there."""
        pictures = rows[mask]                                               # (N, H, W)
        if len(pictures):
            if self.compact is None and self.size and self.size < pictures.shape[1]:
                pictures = F.adaptive_avg_pool2d(pictures, self.size)
            if self.training and self.augment:
                if self.compact is not None and 2 * self.compact.size < pictures.shape[1]:  # moving costs by the pixel
                    pictures = F.adaptive_avg_pool2d(pictures, 2 * self.compact.size)
                pictures = moved(pictures, mask.nonzero()[:, 0], len(mask))
        if self.compact is not None:
            small: Tensor = self.compact(pictures, mask)
            return small
        found: Tensor = self.encoder((pictures - GREY_MEAN) / GREY_SD, mask)
        return found if self.time is None else self.time(found, mask)


class Sound(nn.Module):
    """Four spectra a row, standardised, to 128 numbers a row.

    Args:
        config: of the model.
        row: shape of a row, (4, F).
    """

    def __init__(self, config: ActiveSpeaker.Config, row: tuple[int, ...]) -> None:
        super().__init__()
        self.overheard = config.overheard
        self.encoder: nn.Module = LightSound() if config.variant == "light" else TalkNetSound() \
            if config.variant == "talknet" else CompactSound(row[0] * row[1], UNITS)
        self.mean: Tensor
        self.sd: Tensor
        self.register_buffer("mean", torch.zeros(row), persistent=False)
        self.register_buffer("sd", torch.ones(row), persistent=False)
        self.units_known = False

    def use_units(self, mean: Tensor, sd: Tensor) -> None:
        """Be told by which numbers, (4, F), rows are standardised."""
        self.mean.copy_(mean)
        self.sd.copy_(sd)
        self.units_known = True

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """(B, T, 4, F), anything where the mask (B, T) is False → (B, T, 128), zeros there."""
        rows = torch.where(mask[:, :, None, None], rows, 0.0)
        if self.training and self.overheard and self.units_known and len(rows) > 1:
            mixed = overheard(rows * self.sd + self.mean, mask, self.overheard)
            rows = torch.where(mask[:, :, None, None], (mixed - self.mean) / self.sd, 0.0)
        found: Tensor = self.encoder(rows, mask)
        return found


class Numbers(nn.Module):
    """Rows that an encoder has made already, projected.

    Args:
        before: numbers of a row.
    """

    def __init__(self, before: int) -> None:
        super().__init__()
        self.projection = nn.Linear(before, UNITS)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """(B, T, *row), anything where the mask (B, T) is False → (B, T, 128), zeros there."""
        real = mask.unsqueeze(2)
        return F.relu(self.projection(torch.where(real, rows.flatten(2), 0.0))) * real


class LightJoin(nn.Module):
    """Both sides added, then looked over in time."""

    width = UNITS

    def __init__(self) -> None:
        super().__init__()
        self.detector = LightDetector(UNITS)

    def forward(self, heard: Tensor, seen: Tensor, is_heard: Tensor, is_seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sides (B, T, 128) with their masks → what is decided from, and each side as its own head gets it."""
        steps = torch.arange(1, is_seen.shape[1] + 1, device=is_seen.device)
        lengths = ((is_seen | is_heard) * steps).amax(1)
        return self.detector(heard + seen, lengths), heard, seen


class TalkNetJoin(nn.Module):
    """Attention both ways between the sides, then over both.

    Args:
        dropout: share of units dropped while training.
        both: are there two sides?
    """

    width = 2 * UNITS

    def __init__(self, dropout: float, both: bool) -> None:
        super().__init__()
        self.heard_by_seen = Attention(UNITS, dropout) if both else None
        self.seen_by_heard = Attention(UNITS, dropout) if both else None
        self.over_both = Attention(2 * UNITS, dropout)

    def forward(self, heard: Tensor, seen: Tensor, is_heard: Tensor, is_seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sides (B, T, 128) with their masks → what is decided from, and each side as its own head gets it."""
        if self.heard_by_seen is not None and self.seen_by_heard is not None:
            heard, seen = self.heard_by_seen(heard, seen, is_heard), self.seen_by_heard(seen, heard, is_seen)
        rows = torch.cat([heard, seen], dim=2)
        return self.over_both(rows, rows, is_heard | is_seen), heard, seen
