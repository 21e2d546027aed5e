"""ResNet-18 on patches of the log-mel spectrogram: one 512-d row a patch; any ResNet-18's weights may be given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from pipeline import weights
from pipeline.config import setting
from pipeline.devices import DtypeChoice
from pipeline.errors import ClipError
from pipeline.extractors import Extractor
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media, Needs
from pipeline.networks.backbones import build, optimised, weights_record
from pipeline.networks.checkpoints import backbone_state, load_backbone
from pipeline.sound.spectrogram import MelSettings, frame_times, log_mel
from pipeline.windows import Snippets

# The published weights' own input constants (torchvision, ResNet18_Weights.IMAGENET1K_V1).
MEAN = (0.485, 0.456, 0.406)
SD = (0.229, 0.224, 0.225)
MEL = MelSettings()
NUM_PARTS = 6
CLASSIFIER = "fc"  # of torchvision's network; left out as a matter of course
RANGE_DB = (-80.0, 0.0)  # shown as black to white; quiet room noise lies near the lower end


class AudioResnet18(Extractor):
    """Patches of about a second, scaled to a square grey picture, through ResNet-18 up to its spatial average.

    As few patches as cover the clip, spread evenly from its first window to its last, overlapping as that needs; or, as
    Mocanu, Tapu and Zaharia (2023) have it, six equal parts of the clip, each a patch; or, for networks that answer
    frame by frame, one around the middle of each row of ``asd_faces``, with that row's times and silence beyond the
    sound's ends.

    A checkpoint of another ResNet-18 may be given, as training scripts leave them (:func:`load_backbone`), with a first
    convolution for pictures of three channels or of one. Layers that no ResNet-18 has are dropped, which the record of
    the weights says.
    """

    modality = "audio"

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        weights: str = setting("pretrained", "pretrained, random, a weight file, or a folder that holds it")
        clips: Literal["videos", "tracks"] = setting(
            "videos", "what clips are, which the dataset tells: videos, or face tracks that are cut out already")
        patches: Literal["cover", "six_parts", "frames"] = setting(
            "cover", "cover: as few patches of patch_windows as cover the clip; six_parts: the clip in six equal parts;"
                     " frames: one of patch_windows around each row of asd_faces, as many rows at the same times")
        patch_windows: int = setting(96, "10 ms windows per patch: 0.96 s, about four syllables")
        most: int = setting(32, "the greatest number of patches of a clip")
        side: int = setting(128, "height and width in pixels that a patch is scaled to")
        dtype: DtypeChoice = setting("auto", "compute type; auto: bfloat16 where the hardware multiplies it")
        batch_size: int = setting(4, "patches at a time", machine=True)

        def __post_init__(self) -> None:
            for name in ("patch_windows", "most", "side", "batch_size"):
                if getattr(self, name) < 1:
                    raise ValueError(f"{name} is at least 1, found {getattr(self, name)}")

    @property
    def needs(self) -> Needs:
        beside_faces = self.config.patches == "frames" and self.config.clips == "videos"
        return Needs(waveform=True, features=("asd_faces",) if beside_faces else ())

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (512,)

    @property
    def sources(self) -> tuple[weights.Published, ...]:
        return (weights.RESNET18,) if self.config.weights == "pretrained" else ()

    @property
    def weights(self) -> tuple[weights.WeightsRecord, ...]:
        record = weights_record("resnet18", self.config.weights, weights.RESNET18)
        if record.source == "file":
            _, dropped = _load(weights.locate(self.config.weights, weights.RESNET18))
            others = sorted({name.split(".")[0] for name in dropped} - {CLASSIFIER})
            record = replace(record, name=f"{record.name} without {', '.join(others)}") if others else record
        return (record,)

    def settings(self) -> dict[str, Any]:
        """The settings that count in the layout of patches that is set."""
        settings = super().settings()
        unused = {"cover": ("clips", "patches"), "six_parts": ("clips", "patch_windows", "most"), "frames": ("most",)}
        return {name: value for name, value in settings.items() if name not in unused[self.config.patches]}

    @cached_property
    def network(self) -> torch.nn.Module:
        """ResNet-18 without its classifier: (B, 1 or 3, side, side) → (B, 512)."""
        if self.config.weights == "random":
            network = build(_trunk, "random", weights.RESNET18)
        else:
            network, _ = _load(weights.locate(self.config.weights, weights.RESNET18))
            network.eval().requires_grad_(False)
        return optimised(network, dtype=self.compute_dtype, device=self.device)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        assert clip.waveform is not None
        if not len(clip.waveform):
            return FeatureSequence.empty(self.row_shape)
        if self.config.patches == "frames":
            times = self._frame_times(clip)
            return FeatureSequence(self._describe(self._around(clip.waveform, times.mean(1))), times) if len(times) \
                else FeatureSequence.empty(self.row_shape)
        pictures, times = self._six_parts(clip.waveform) if self.config.patches == "six_parts" \
            else self._cover(clip.waveform)
        end = np.float32(len(clip.waveform) / SAMPLE_RATE_HZ)
        return FeatureSequence(self._describe(torch.split(pictures, self.config.batch_size)), np.minimum(times, end))

    def _describe(self, batches: Iterable[torch.Tensor]) -> np.ndarray:
        """Pictures (n, 1, side, side), some at a time → float32 (N, 512)."""
        with torch.inference_mode():
            return torch.cat([self.network(self._as_input(batch)).float().cpu() for batch in batches]).numpy()

    def _frame_times(self, clip: Media) -> np.ndarray:
        """Times of the rows of ``asd_faces``, float32 (T, 2)."""
        if self.config.clips == "videos":
            return clip.features["asd_faces"].times
        if clip.track is None:
            raise ClipError("is no face track, as the other clips of its corpus are", stage="audio_resnet18")
        return clip.track.times

    def _around(self, waveform: np.ndarray, middles: np.ndarray) -> Iterator[torch.Tensor]:
        """Pictures (≤ batch_size, 1, side, side) of the patches centred nearest to moments (T,) in seconds."""
        size, levels = self.config.patch_windows, log_mel(waveform, MEL)
        centres = frame_times(len(levels), MEL).mean(1)
        starts = np.round((middles - centres[0]) / MEL.hop_seconds - (size - 1) / 2).astype(np.int64)
        for first in range(0, len(starts), self.config.batch_size):
            some = starts[first:first + self.config.batch_size]
            yield self._picture(torch.from_numpy(self._patches(levels, np.stack([some, some + size], 1))))

    def _cover(self, waveform: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """Pictures (N, 1, side, side) of patches that cover the clip, and their times (N, 2)."""
        levels, size = log_mel(waveform, MEL), self.config.patch_windows
        spans = Snippets("spread", size=size, most=min(self.config.most, -(-len(levels) // size))).spans(len(levels))
        window_times = frame_times(len(levels), MEL)
        times = np.stack([window_times[spans[:, 0], 0], window_times[np.minimum(spans[:, 1], len(levels)) - 1, 1]], 1)
        return self._picture(torch.from_numpy(self._patches(levels, spans))), times

    def _six_parts(self, waveform: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """Pictures (6, 1, side, side) of the sixths of the clip, and their times (6, 2).

        Each part is cut before its spectrogram is made, so that no window hears the next part; of a clip of fewer
        samples than parts some are heard twice.
        """
        edges = np.arange(NUM_PARTS + 1) * len(waveform) / NUM_PARTS
        pictures = []
        for start, stop in zip(edges[:-1].astype(int), edges[1:], strict=True):
            levels = log_mel(waveform[start:max(int(stop), start + 1)], MEL)
            pictures.append(self._picture(torch.from_numpy(_scaled(levels).T[None].copy())))
        times = np.stack([edges[:-1], edges[1:]], 1) / SAMPLE_RATE_HZ
        return torch.cat(pictures), times.astype(np.float32)

    def _patches(self, levels: np.ndarray, spans: np.ndarray) -> np.ndarray:
        """Patches in [0, 1], float32 (N, bands, patch_windows), with silence where one reaches beyond the clip."""
        patches = np.zeros((len(spans), levels.shape[1], self.config.patch_windows), np.float32)
        for patch, (start, stop) in zip(patches, spans, strict=True):
            lead, part = max(0, -start), _scaled(levels[max(0, start):max(0, stop)])
            patch[:, lead:lead + len(part)] = part.T
        return patches

    def _picture(self, patches: torch.Tensor) -> torch.Tensor:
        """(N, bands, windows) in [0, 1] → (N, 1, side, side)."""
        side = self.config.side
        return functional.interpolate(patches[:, None], (side, side), mode="bilinear", align_corners=False)

    def _as_input(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, 1, side, side) → (N, 1 or 3, side, side), normalised as the network was trained.

        A network for one channel gets the mean of the three constants, the usual way to make a grey network of one that
        was trained in colour.
        """
        mean, sd = torch.tensor(MEAN), torch.tensor(SD)
        if self.network.get_parameter("conv1.weight").shape[1] == 1:
            mean, sd = mean.mean(0, keepdim=True), sd.mean(0, keepdim=True)
        inputs = (pictures - mean.view(1, -1, 1, 1)) / sd.view(1, -1, 1, 1)
        return inputs.to(self.device, getattr(torch, self.compute_dtype))


def _scaled(levels: np.ndarray) -> np.ndarray:
    """Decibels of ``RANGE_DB`` as black to white, in [0, 1]."""
    low, high = RANGE_DB
    return np.clip((levels - low) / (high - low), 0, 1)


def _trunk() -> torch.nn.Module:
    from torchvision.models import resnet18
    network: torch.nn.Module = resnet18()
    network.fc = torch.nn.Identity()
    return network


def _load(path: Path) -> tuple[torch.nn.Module, tuple[str, ...]]:
    """ResNet-18 from a checkpoint, and the names of the weights that were dropped.

    Raises:
        WeightsError: the checkpoint holds no ResNet-18 for pictures of one or three channels.
    """
    network = _trunk()
    first = backbone_state(path, network).get("conv1.weight")
    if isinstance(first, torch.Tensor) and tuple(first.shape[1:2]) == (1,):
        network.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    return load_backbone(network, path)
