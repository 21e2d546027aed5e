"""Snippets of frames through a 3-D residual network: what the video and face extractors share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from pipeline import weights
from pipeline.config import setting
from pipeline.devices import DtypeChoice
from pipeline.extractors import Extractor
from pipeline.networks import build, optimised, weights_record
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


class R3D18:
    """R3D-18 (Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions") up to its global average.

    Args:
        choice: where the weights come from.
        dtype: compute type.
        device: where it runs.

    Raises:
        WeightsError: the weights are not to be had.
    """

    row_shape = (512,)

    def __init__(self, choice: str, *, dtype: str, device: torch.device) -> None:
        from torchvision.models.video import r3d_18
        network = build(r3d_18, choice, weights.R3D18)
        network.fc = torch.nn.Identity()
        self._network = optimised(network, dtype=dtype, device=device)
        self._device, self._dtype = device, getattr(torch, dtype)
        self._mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1, 1) * 255
        self._sd = torch.tensor(SD, device=device).view(1, 3, 1, 1, 1) * 255

    def __call__(self, frames: np.ndarray, rows: np.ndarray, *, batch_size: int) -> np.ndarray:
        """One embedding a snippet.

        Args:
            frames: uint8 RGB (T, 112, 112, 3).
            rows: frames of each snippet, int64 (N, 16).
            batch_size: snippets at a time.

        Returns:
            float32 (N, 512).
        """
        embeddings = [np.zeros((0, *self.row_shape), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(rows), batch_size):
                pixels = torch.from_numpy(frames[rows[start:start + batch_size]]).to(self._device)  # (B, 16, H, W, 3)
                inputs = (pixels.permute(0, 4, 1, 2, 3).float() - self._mean) / self._sd          # (B, 3, 16, H, W)
                embeddings.append(self._network(inputs.to(self._dtype)).float().cpu().numpy())
        return np.concatenate(embeddings)


class R3D18Extractor(Extractor):
    """What extractors that feed R3D-18 have in common; each says itself which pixels the network sees."""

    @property
    def row_shape(self) -> tuple[int, ...]:
        return R3D18.row_shape

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


def snippet_times(spans: np.ndarray, num_frames: int) -> np.ndarray:
    """Start and stop of each snippet in seconds, (N, 2), cut after the last frame."""
    return np.asarray(np.minimum(spans, num_frames) / RATE_HZ)
