"""Aligned crops: a face turned, scaled and cut so that its landmarks lie where a network expects them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

# The five points of a frontal face in a 112-pixel crop (InsightFace's alignment template): eyes, nose, mouth corners.
FIVE_POINTS = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
                        [70.7299, 92.2041]]) / 112


@dataclass(frozen=True)
class CropRecipe:
    """Where a face lies in its crop.

    Args:
        name: written into the recipe of every feature made with it.
        left_eye, right_eye: places of the eyes, as parts of the crop's side.
    """

    name: str
    left_eye: tuple[float, float]
    right_eye: tuple[float, float]

    @property
    def template(self) -> np.ndarray:
        """The five landmarks in parts of the crop's side, (5, 2): the standard shape, moved to these eyes."""
        source, target = _complex(FIVE_POINTS[:2]), _complex(np.array([self.left_eye, self.right_eye]))
        turn = (target[1] - target[0]) / (source[1] - source[0])
        return _pairs((_complex(FIVE_POINTS) - source[0]) * turn + target[0])


# Eyes level at 35 % from the top and sides keep forehead and chin in view, which the recognition template cuts off.
EXPRESSION_CROP = CropRecipe("eyes at .35", (0.35, 0.35), (0.65, 0.35))


def align(picture: np.ndarray, landmarks: np.ndarray, recipe: CropRecipe, side: int) -> np.ndarray:
    """Cut a face out of a picture, turned and scaled so that its landmarks lie on the recipe's.

    The similarity transform is the least-squares one over five points (Umeyama 1991, no reflection). Faces larger than
    the crop are averaged down, not skipped over; what lies outside the picture repeats its edge.

    Args:
        picture: uint8 RGB (H, W, 3).
        landmarks: x, y of the five points in pixels of ``picture``, (5, 2).
        recipe: where the face lies in the crop.
        side: height and width of the crop in pixels.

    Returns:
        uint8 RGB (side, side, 3).
    """
    turn, shift = similarity(recipe.template, landmarks)       # crop's unit square → picture
    per_pixel = abs(turn) / side                               # picture's pixels a pixel of the crop
    finer = int(np.clip(np.ceil(per_pixel), 1, 8))
    grid = (np.arange(side * finer) + 0.5) / (side * finer)
    points = _pairs(turn * (grid[None] + 1j * grid[:, None]) + shift)                      # (s, s, 2)
    height, width = picture.shape[:2]
    low = np.clip(np.floor(points.min((0, 1))).astype(int) - 1, 0, [width - 1, height - 1])
    high = np.clip(np.ceil(points.max((0, 1))).astype(int) + 2, low + 1, [width, height])
    region = np.ascontiguousarray(picture[low[1]:high[1], low[0]:high[0]])
    pixels = torch.from_numpy(region).permute(2, 0, 1)[None].float()
    coarser = max(1, int(np.ceil(per_pixel / finer)))          # beyond 8 to 1 the picture is averaged first
    if coarser > 1:
        pixels = functional.avg_pool2d(pixels, coarser, ceil_mode=True)
    extent = np.array(pixels.shape[:1:-1]) * coarser
    place = (points - low) / extent * 2 - 1
    crop = functional.grid_sample(pixels, torch.from_numpy(place.astype(np.float32))[None], mode="bilinear",
                                  padding_mode="border", align_corners=False)
    crop = functional.avg_pool2d(crop, finer) if finer > 1 else crop
    return crop[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[complex, complex]:
    """Least-squares turn-and-scale ``a`` and shift ``b`` with ``a * source + b ≈ target``, x + iy for points (N, 2)."""
    z, w = _complex(source), _complex(target)
    centred = z - z.mean()
    turn = complex(np.vdot(centred, w - w.mean()) / max(np.vdot(centred, centred).real, 1e-12))
    return turn, complex(w.mean() - turn * z.mean())


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0].astype(np.float64) + 1j * points[..., 1]


def _pairs(numbers: np.ndarray) -> np.ndarray:
    return np.stack([numbers.real, numbers.imag], axis=-1)
