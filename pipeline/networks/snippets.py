"""Snippets of frames through a 3-D residual network: what the video and face extractors share.

Both networks get 16 frames on a grid of 15 Hz. R3D-18 was trained so; R3D-101 was trained on consecutive frames of the
videos as they came, mostly 25 or 30 a second, and sees here half as many over the same time, because faces are followed
on that grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from pipeline import weights
from pipeline.config import setting
from pipeline.devices import DtypeChoice
from pipeline.extractors import Extractor
from pipeline.media import Frames
from pipeline.networks import r3d101
from pipeline.networks.backbones import build, optimised, weights_record
from pipeline.networks.checkpoints import load_backbone
from pipeline.windows import Snippets

RATE_HZ = 15.0  # torchvision's video networks were trained on 16 frames at 15 a second
SIDE = 112
# Input constants of torchvision's R3D_18_Weights.KINETICS400_V1.
MEAN = (0.43216, 0.394666, 0.37645)
SD = (0.22803, 0.22145, 0.216989)

LAYOUTS = {
    "sliding": Snippets("sliding", size=16, hop=8, most=32),
    "six_by_sixteen": Snippets("spread", size=16, most=6),
}


@dataclass(frozen=True)
class SnippetConfig(Extractor.Config):
    """Settings of the R3D-18 extractors."""

    weights: str = setting("pretrained", "pretrained, random, a weight file, or a folder that holds it")
    snippets: Literal["sliding", "six_by_sixteen"] = setting(
        "sliding", "sliding: 16 frames at 15 Hz every 8, at most 32; six_by_sixteen: six, spread over the clip")
    dtype: DtypeChoice = setting("auto", "compute type; auto: bfloat16 where the hardware multiplies it")
    batch_size: int = setting(2, "snippets at a time; few are best on a CPU", machine=True)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size is at least 1, found {self.batch_size}")

    @property
    def layout(self) -> Snippets:
        """How frames are cut."""
        return LAYOUTS[self.snippets]


@dataclass(frozen=True)
class R3D101Config(SnippetConfig):
    """Settings of the R3D-101 extractors."""

    snippets: Literal["sliding", "six_by_sixteen"] = setting(
        "six_by_sixteen", "six_by_sixteen: six, spread over the clip; sliding: 16 frames at 15 Hz every 8, at most 32")
    rows: Literal["maps", "pooled"] = setting(
        "maps", "maps: 2048 channels by the places of the last maps, for attention over space; pooled: their mean")
    side: int = setting(112, "height and width of the network's picture in pixels: 112 gives maps of 4×4, as it was"
                             " trained; 256 gives 8×8 at five times the cost")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.side < 1:
            raise ValueError(f"side is at least 1, found {self.side}")

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Channels, and with maps the places of a map, row by row."""
        return (r3d101.WIDTH, r3d101.map_side(self.side) ** 2) if self.rows == "maps" else (r3d101.WIDTH,)


class FrozenNetwork:
    """A network that turns snippets into rows, one without regard to the others.

    Args:
        network: frozen, in evaluation mode: (B, 3, 16, H, W) → (B, D, …).
        row_shape: of what it gives for a snippet; places beyond that are averaged.
        constants: mean and standard deviation of its input for values in [0, 1], three each.
        dtype: compute type.
        device: where it runs.
    """

    def __init__(self, network: nn.Module, row_shape: tuple[int, ...], constants: Sequence[Sequence[float]], *,
                 dtype: str, device: torch.device) -> None:
        self.row_shape = row_shape
        self._network = optimised(network, dtype=dtype, device=device)
        self._device, self._dtype = device, getattr(torch, dtype)
        self._mean, self._sd = (torch.tensor(values, device=device).view(1, 3, 1, 1, 1) * 255 for values in constants)

    def __call__(self, frames: np.ndarray, rows: np.ndarray, *, batch_size: int) -> np.ndarray:
        """One row a snippet.

        Args:
            frames: uint8 RGB (T, H, W, 3).
            rows: frames of each snippet, int64 (N, 16).
            batch_size: snippets at a time.

        Returns:
            float32 (N, *row_shape).
        """
        embeddings = [np.zeros((0, *self.row_shape), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(rows), batch_size):
                pixels = torch.from_numpy(frames[rows[start:start + batch_size]]).to(self._device)  # (B, 16, H, W, 3)
                inputs = (pixels.permute(0, 4, 1, 2, 3).float() - self._mean) / self._sd          # (B, 3, 16, H, W)
                embeddings.append(self._rows(self._network(inputs.to(self._dtype)).float()).cpu().numpy())
        return np.concatenate(embeddings)

    def _rows(self, outputs: Tensor) -> Tensor:
        """(B, D, …) → (B, *row_shape)."""
        places = outputs.flatten(2) if outputs.ndim > 2 else outputs.unsqueeze(2)
        return places if len(self.row_shape) > 1 else places.mean(2)


class R3D18(FrozenNetwork):
    """R3D-18 (Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions") up to its global average: 512 numbers.

    Args:
        choice: where the weights come from.
        dtype: compute type.
        device: where it runs.

    Raises:
        WeightsError: the weights are not to be had.
    """

    def __init__(self, choice: str, *, dtype: str, device: torch.device) -> None:
        from torchvision.models.video import r3d_18
        network = build(r3d_18, choice, weights.R3D18)
        network.fc = nn.Identity()
        super().__init__(network, (512,), (MEAN, SD), dtype=dtype, device=device)


class R3D101(FrozenNetwork):
    """The published 3-D ResNet-101 (:mod:`pipeline.networks.r3d101`) up to its last maps, or their mean over space.

    Args:
        choice: where the weights come from.
        row_shape: (2048, places) for maps, (2048,) for their mean.
        dtype: compute type.
        device: where it runs.

    Raises:
        WeightsError: the weights are not to be had.
    """

    def __init__(self, choice: str, row_shape: tuple[int, ...], *, dtype: str, device: torch.device) -> None:
        network = build(r3d101.ResNet101Maps, choice, weights.R3D101, partial(load_backbone, heads=r3d101.HEAD))
        super().__init__(network, row_shape, (r3d101.MEAN, r3d101.SD), dtype=dtype, device=device)


class R3D18Extractor(Extractor):
    """What extractors that feed R3D-18 have in common; each says itself which pixels the network sees."""

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (512,)

    @property
    def sources(self) -> tuple[weights.Published, ...]:
        return (weights.R3D18,) if self.config.weights == "pretrained" else ()

    @property
    def weights(self) -> tuple[weights.WeightsRecord, ...]:
        return (weights_record("r3d_18", self.config.weights, weights.R3D18),)

    @cached_property
    def network(self) -> R3D18:
        """The network, loaded at first use."""
        return R3D18(self.config.weights, dtype=self.compute_dtype, device=self.device)


class R3D101Extractor(Extractor):
    """What extractors that feed R3D-101 have in common; each says itself which pixels the network sees."""

    @property
    def row_shape(self) -> tuple[int, ...]:
        found: tuple[int, ...] = self.config.row_shape
        return found

    @property
    def sources(self) -> tuple[weights.Published, ...]:
        return (weights.R3D101,) if self.config.weights == "pretrained" else ()

    @property
    def weights(self) -> tuple[weights.WeightsRecord, ...]:
        return (weights_record("r3d101", self.config.weights, weights.R3D101),)

    @cached_property
    def network(self) -> R3D101:
        """The network, loaded at first use."""
        return R3D101(self.config.weights, self.row_shape, dtype=self.compute_dtype, device=self.device)


def middle(frames: np.ndarray, side: int) -> np.ndarray:
    """The middle square of each picture, its shorter side scaled to ``side``: as R3D-101's authors test it.

    Args:
        frames: uint8 (T, H, W, 3).
        side: pixels.

    Returns:
        uint8 (T, side, side, 3).
    """
    height, width = frames.shape[1:3]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = torch.from_numpy(frames[:, top:top + short, left:left + short]).permute(0, 3, 1, 2)
    scaled = nn.functional.interpolate(square, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())


def snippet_rows(frames: Frames, spans: np.ndarray) -> np.ndarray:
    """Place in ``frames`` of each frame of each span, int64 (N, size); beyond the end the last frame is held."""
    return np.stack([frames.at(np.arange(start, stop)) for start, stop in spans])


def snippet_times(spans: np.ndarray, num_frames: int) -> np.ndarray:
    """Start and stop of each snippet in seconds, (N, 2), cut after the last frame."""
    return np.asarray(np.minimum(spans, num_frames) / RATE_HZ)
