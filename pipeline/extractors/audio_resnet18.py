"""ResNet-18 on patches of the log-mel spectrogram: one 512-d row a patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from pipeline import weights
from pipeline.config import setting
from pipeline.devices import DtypeChoice
from pipeline.extractors import Extractor
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media, Needs
from pipeline.networks import build, optimised, weights_record
from pipeline.spectrogram import MelSettings, frame_times, log_mel
from pipeline.windows import Snippets

# The published weights' own input constants (torchvision, ResNet18_Weights.IMAGENET1K_V1).
MEAN = (0.485, 0.456, 0.406)
SD = (0.229, 0.224, 0.225)
MEL = MelSettings()
RANGE_DB = (-80.0, 0.0)  # shown as black to white; quiet room noise lies near the lower end


class AudioResnet18(Extractor):
    """Patches of about a second, scaled to a square grey picture, through ResNet-18 up to its spatial average.

    As few patches as cover the clip, spread evenly from its first window to its last, overlapping as that needs.
    """

    modality = "audio"

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        weights: str = setting("pretrained", "pretrained, random, a weight file, or a folder that holds it")
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
        return Needs(waveform=True)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (512,)

    @property
    def sources(self) -> tuple[weights.Published, ...]:
        return (weights.RESNET18,) if self.config.weights == "pretrained" else ()

    @property
    def weights(self) -> tuple[weights.WeightsRecord, ...]:
        return (weights_record("resnet18", self.config.weights, weights.RESNET18),)

    @cached_property
    def network(self) -> torch.nn.Module:
        """ResNet-18 without its classifier: (B, 3, side, side) → (B, 512)."""
        from torchvision.models import resnet18
        network = build(resnet18, self.config.weights, weights.RESNET18)
        network.fc = torch.nn.Identity()
        return optimised(network, dtype=self.compute_dtype, device=self.device)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        assert clip.waveform is not None
        levels = log_mel(clip.waveform, MEL)
        if not len(levels):
            return FeatureSequence.empty(self.row_shape)
        size = self.config.patch_windows
        spans = Snippets("spread", size=size, most=min(self.config.most, -(-len(levels) // size))).spans(len(levels))
        window_times = frame_times(len(levels), MEL)
        times = np.stack([window_times[spans[:, 0], 0], window_times[np.minimum(spans[:, 1], len(levels)) - 1, 1]], 1)
        pictures = torch.from_numpy(self._patches(levels, spans))
        rows = []
        with torch.inference_mode():
            for start in range(0, len(pictures), self.config.batch_size):
                rows.append(self.network(self._as_input(pictures[start:start + self.config.batch_size])).float().cpu())
        end = np.float32(len(clip.waveform) / SAMPLE_RATE_HZ)
        return FeatureSequence(torch.cat(rows).numpy(), np.minimum(times, end))

    def _patches(self, levels: np.ndarray, spans: np.ndarray) -> np.ndarray:
        """Patches in [0, 1], float32 (N, bands, patch_windows); a clip shorter than one is filled with silence."""
        low, high = RANGE_DB
        patches = np.zeros((len(spans), levels.shape[1], self.config.patch_windows), np.float32)
        for patch, (start, stop) in zip(patches, spans, strict=True):
            scaled = np.clip((levels[start:stop] - low) / (high - low), 0, 1)
            patch[:, :len(scaled)] = scaled.T
        return patches

    def _as_input(self, patches: torch.Tensor) -> torch.Tensor:
        """(N, bands, windows) → (N, 3, side, side), normalised as the network was trained."""
        side = self.config.side
        pictures = functional.interpolate(patches[:, None], (side, side), mode="bilinear", align_corners=False)
        mean, sd = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(SD).view(1, 3, 1, 1)
        return ((pictures - mean) / sd).to(self.device, getattr(torch, self.compute_dtype))
