"""Crops of faces: turned, scaled and cut so that the face lies where a network expects it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from pipeline.faces import COLUMNS

# The five points of a frontal face in a 112-pixel crop (InsightFace's alignment template): eyes, nose, mouth corners.
FIVE_POINTS = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
                        [70.7299, 92.2041]]) / 112


@dataclass(frozen=True)
class Place:
    """Where a crop lies in its picture: a parallelogram, as complex numbers x + iy in pixels.

    Args:
        corner: the crop's upper left corner.
        across, down: its upper and its left edge.
    """

    corner: complex
    across: complex
    down: complex

    @property
    def side(self) -> float:
        """The longer edge in pixels of the picture; a crop with more pixels than that is enlarged."""
        return max(abs(self.across), abs(self.down))


@dataclass(frozen=True)
class CropRecipe:
    """Where a face's landmarks lie in its crop; the face is turned level.

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

    def place(self, face: np.ndarray) -> Place:
        """Where the crop of a face (16,) lies: the least-squares similarity over five points (Umeyama 1991)."""
        turn, shift = similarity(self.template, landmarks_of(face))
        return Place(shift, turn, 1j * turn)


@dataclass(frozen=True)
class BoxRecipe:
    """How much a crop shows around a face's box; the face is not turned.

    Args:
        name: written into the recipe of every feature made with it.
        beside, above, below: what is added to the box on both sides, over and under it, in parts of its side.
        square: enlarge the box to a square about its middle first; else it is stretched to the crop's shape.
    """

    name: str
    beside: float
    above: float
    below: float
    square: bool

    def place(self, face: np.ndarray) -> Place:
        """Where the crop of a face (16,) lies."""
        low, high = np.asarray(face[1:3], np.float64), np.asarray(face[3:5], np.float64)
        size = np.full(2, (high - low).max()) if self.square else high - low
        corner = (low + high) / 2 - size / 2 - size * (self.beside, self.above)
        width, height = size * (1 + 2 * self.beside, 1 + self.above + self.below)
        return Place(complex(*corner), complex(width), 1j * float(height))


Recipe = CropRecipe | BoxRecipe

# Eyes level at 35 % from the top and sides keep forehead and chin in view, which the recognition template cuts off.
EXPRESSION_CROP = CropRecipe("eyes at .35", (0.35, 0.35), (0.65, 0.35))
# Networks for recognition (ArcFace and its kin) at 112 and 224 pixels.
FIVE_POINT_CROP = CropRecipe("five points", (38.2946 / 112, 51.6963 / 112), (73.5318 / 112, 51.5014 / 112))
# InceptionResnetV1 at 160 pixels: facenet-pytorch's box, stretched, with the margin of its evaluation on LFW (14 of
# the 160 pixels).
IDENTITY_CROP = BoxRecipe("box, margin 14 of 160", 7 / 146, 7 / 146, 7 / 146, square=False)
# Active-speaker networks at 112 pixels: TalkNet's demonstration cuts 40 % of half the box's side more at both sides
# and 80 % below, so that chin and jaw stay in view while someone speaks.
SPEAKER_CROP = BoxRecipe("square, margin .4", 0.2, 0.0, 0.4, square=True)
RECIPES = {recipe.name: recipe for recipe in (EXPRESSION_CROP, FIVE_POINT_CROP, IDENTITY_CROP, SPEAKER_CROP)}


def landmarks_of(faces: np.ndarray) -> np.ndarray:
    """The five points x, y of rows of :data:`pipeline.faces.COLUMNS`, (..., 16) → (..., 5, 2)."""
    return faces[..., 6:len(COLUMNS)].reshape(*faces.shape[:-1], 5, 2)


def resized(faces: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Rows (R, 16) as they are in the picture made ``factor`` (x, y) times as large."""
    found = np.array(faces, np.float32)
    for first in (1, 3, *range(6, len(COLUMNS), 2)):
        found[:, first:first + 2] *= factor
    return found


def align(picture: np.ndarray, landmarks: np.ndarray, recipe: CropRecipe, side: int) -> np.ndarray:
    """:func:`cut` for a face of which the landmarks alone are known, (5, 2) in pixels of the picture."""
    return cut(picture, np.concatenate([np.zeros(6), np.asarray(landmarks, np.float64).ravel()]), recipe, side)


def cut(picture: np.ndarray, face: np.ndarray, recipe: Recipe, side: int) -> np.ndarray:
    """Cut a face out of a picture, placed as the recipe says.

    Faces larger than the crop are averaged down, not skipped over; what lies outside the picture repeats its edge.

    Args:
        picture: uint8 RGB (H, W, 3).
        face: row of :data:`pipeline.faces.COLUMNS` in pixels of ``picture``, (16,).
        recipe: where the face lies in the crop.
        side: height and width of the crop in pixels.

    Returns:
        uint8 RGB (side, side, 3).
    """
    place = recipe.place(face)
    least, most = sorted((abs(place.across) / side, abs(place.down) / side))   # picture's pixels a pixel of the crop
    height, width = picture.shape[:2]
    edges = _pairs(place.corner + np.array([0, place.across, place.down, place.across + place.down]))
    low = np.clip(np.floor(edges.min(0)) - 1, 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(edges.max(0)) + 2, low + 1, [width, height]).astype(int)
    region = np.ascontiguousarray(picture[low[1]:high[1], low[0]:high[0]])
    # Whole pixels are averaged in the picture, what is left (1 to 2) in the crop: few points have to be looked up.
    coarser = max(1, int(min(least, max(height, width))))
    finer = int(np.clip(np.ceil(most / coarser), 1, 8))
    if coarser > 1:
        region = np.array(Image.fromarray(region).reduce(coarser))  # three times as fast as torch's average
    pixels = torch.from_numpy(region).permute(2, 0, 1)[None].float()
    grid = _grid(place, low, np.array(pixels.shape[:1:-1]) * coarser, side * finer)
    crop = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    crop = functional.avg_pool2d(crop, finer) if finer > 1 else crop
    return crop[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def _grid(place: Place, low: np.ndarray, extent: np.ndarray, side: int) -> torch.Tensor:
    """Where each pixel of a crop lies in a region of the picture, −1 to 1, (1, side, side, 2).

    Args:
        place: of the crop.
        low: x, y of the region's corner.
        extent: width and height of the region.
        side: of the crop in pixels.
    """
    middle = place.corner + (place.across + place.down) / 2
    # affine_grid runs from −1 to 1 in the crop: its middle, and half an edge either way.
    columns = _pairs(np.array([place.across / 2, place.down / 2, middle - complex(*low)])) * 2 / extent    # (3, 2)
    columns[2] -= 1
    theta = torch.from_numpy(columns.T.astype(np.float32))[None]
    return functional.affine_grid(theta, [1, 1, side, side], align_corners=False)


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
