"""Hidden states of a vision encoder on aligned face crops (DINOv2, ViT, BEiT …): all layers pooled, or a row a crop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pipeline.config import setting
from pipeline.errors import WeightsError
from pipeline.media import FeatureSequence, Media
from pipeline.networks.crops import FaceConfig, FaceSnippetExtractor, FaceSnippets
from pipeline.networks.encoders import Encoder, EncoderConfig
from pipeline.networks.hidden_states import default_architecture
from pipeline.windows import Snippets

# What DINOv2's preprocessor_config.json says: ImageNet's constants.
DINOV2_PREPROCESSOR = {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "do_normalize": True,
                       "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
MOST_SPECIAL = 32  # tokens that are no patches: class, distillation, registers
LARGEST_SIDE = 1024  # pixels; above any published encoder's, below what a hostile file could make of memory


class FaceEncoder(Encoder, FaceSnippetExtractor):
    """Any encoder of transformers that cuts pictures into patches, on crops of the followed face.

    One crop every ``hop`` frames of 15 Hz in which the face is seen, eyes level, as large as the model's
    preprocessor_config.json says, with its mean and standard deviation; nothing is cut off at the sides, for a crop is
    made in that size. A crop becomes its class token or the mean of its patches. See
    :class:`pipeline.networks.crops.FaceSnippetExtractor` for who is followed.
    """

    modality = "face"
    name = "face_encoder"
    subject = "pictures in patches"
    input_name = "pixel_values"
    signature = ("hidden_size", "num_hidden_layers", "patch_size")
    hint = "a model without a class token needs tokens=patches"
    known = {"facebook/dinov2-small": ("DINOv2, small", "Apache-2.0", 88.2,
                                       "ed25f3a31f01632728cabb09d1542f84ab7b0056")}

    @dataclass(frozen=True)
    class Config(FaceConfig, EncoderConfig):
        model: str = setting("facebook/dinov2-small",
                             "name on the Hugging Face hub, or a folder with config and weights (safetensors)")
        tokens: Literal["class", "patches"] = setting("class", "what stands for a crop: the class token, or the mean of"
                                                               " the patches")
        hop: int = setting(5, "frames of 15 Hz from one crop to the next: 5 gives three a second")
        most: int = setting(32, "the greatest number of crops' times of a clip, spread evenly over it")

        def __post_init__(self) -> None:
            FaceConfig.__post_init__(self)
            EncoderConfig.__post_init__(self)
            for name in ("hop", "most"):
                if getattr(self, name) < 1:
                    raise ValueError(f"{name} is at least 1, found {getattr(self, name)}")
            if self.face == "all" and self.layers == "all":
                raise ValueError("layers=all gives one row a clip, which would mix the people of face=all; also set"
                                 " layers=last, or follow one of them")

        @property
        def layout(self) -> Snippets:
            """Single frames."""
            return Snippets("sliding", size=1, hop=self.hop, most=self.most)

    @property
    def random_architecture(self) -> dict[str, Any]:
        return default_architecture("dinov2", hidden_size=384, num_attention_heads=6, patch_size=14, image_size=518)

    @property
    def random_preprocessor(self) -> dict[str, Any]:
        return DINOV2_PREPROCESSOR

    @property
    def trial(self) -> tuple[Tensor, range]:
        least = self.num_patches + (self.config.tokens == "class")
        picture = torch.linspace(-1, 1, 3 * self.side ** 2).view(1, 3, self.side, self.side)
        return picture, range(least, self.num_patches + MOST_SPECIAL + 1)

    @cached_property
    def side(self) -> int:
        """Height and width of the crops in pixels.

        Raises:
            WeightsError: the model does not say, or wants none that is a square.
        """
        cropped = self.preprocessor.get("do_center_crop", False)
        size = self.preprocessor.get("crop_size" if cropped else "size")
        sides = set(size.values()) if isinstance(size, Mapping) else {size}
        found = sides.pop() if len(sides) == 1 else None
        if not isinstance(found, int) or not 1 <= found <= LARGEST_SIDE:
            raise WeightsError(f"{self.folder}: preprocessor_config.json asks for pictures of {size}; expected a square"
                               f" of at most {LARGEST_SIDE} pixels")
        return found

    @cached_property
    def constants(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of the network's input for pixels of 0 to 255, three each.

        Raises:
            WeightsError: the model does not say.
        """
        found = self.preprocessor
        scale = found.get("rescale_factor", 1 / 255) if found.get("do_rescale", True) else 1.0
        mean, sd = ([0.0] * 3, [1.0] * 3) if not found.get("do_normalize", True) \
            else (found.get("image_mean"), found.get("image_std"))
        for values in (mean, sd):
            if not isinstance(values, list) or len(values) != 3 or not all(map(_is_number, [scale, *values])) \
                    or scale <= 0 or (values is sd and min(values) <= 0):
                raise WeightsError(f"{self.folder}: preprocessor_config.json has image_mean={mean}, image_std={sd},"
                                   f" rescale_factor={scale}; expected three numbers each and a factor above 0")
        assert mean is not None and sd is not None
        return tuple(value / scale for value in mean), tuple(value / scale for value in sd)

    @property
    def num_patches(self) -> int:
        """Patches of a crop; the model's last tokens."""
        patch = self.architecture["patch_size"]
        if not isinstance(patch, int):
            raise WeightsError(f"{self.folder}/config.json: patch_size is {patch}; expected the side of a square")
        return (self.side // patch) ** 2

    def settings(self) -> dict[str, Any]:
        mean, sd = self.constants
        return {**super().settings(), "mean": list(mean), "sd": list(sd)}

    def describe(self, found: FaceSnippets) -> np.ndarray:
        mean, sd = (torch.tensor(values).view(1, 3, 1, 1) for values in self.constants)
        crops, rows = found.crops[found.rows[:, 0]], []
        for start in range(0, len(crops), self.config.batch_size):
            pixels = torch.from_numpy(crops[start:start + self.config.batch_size]).permute(0, 3, 1, 2).float()
            states = self.states((pixels - mean) / sd)                                # (B, K, T, D)
            rows.append(states[:, :, 0] if self.config.tokens == "class" else states[:, :, -self.num_patches:].mean(2))
        # (N, K, D); with all layers K is L + 1
        return torch.cat(rows).cpu().numpy().reshape(len(crops), *self.row_shape)

    def _extract_one(self, clip: Media) -> FeatureSequence:
        sequence = super()._extract_one(clip)
        if self.config.layers != "all" or not len(sequence.values):
            return sequence
        times = np.array([[sequence.times[0, 0], sequence.times[-1, 1]]], np.float32)
        return FeatureSequence(sequence.values.mean(0, keepdims=True), times)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
