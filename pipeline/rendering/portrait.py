"""The one photograph, and how it is coloured to pass for several people."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_closing, gaussian_filter
from skimage import color, data

from pipeline.rendering.script import Speaker

# All in pixels of skimage.data.astronaut() (512 x 512), (x, y). The box is MTCNN's (facenet-pytorch 2.5.3, probability
# 1.0000); the rest was read off enlargements of the picture and agrees with MTCNN's five points to 2 pixels.
FACE_BOX = (181.0, 62.0, 268.0, 172.0)
HEAD_CENTRE = (226.0, 92.0)
NECK = (224.0, 182.0)
NOSE = (224.0, 122.0)
BROW_POINTS = (((189.0, 91.0), (198.0, 88.0), (213.0, 92.3)), ((262.0, 96.0), (254.0, 92.3), (239.0, 93.5)))
_HEAD_WINDOW = (slice(0, 160), slice(136, 318))
_HAIR_HUES = (.094, .19)  # skin lies at .06 to .09 of the hue circle


def photograph() -> np.ndarray:
    """Eileen Collins, photographed by NASA, public domain; float32 RGB (512, 512, 3) in [0, 1].

    It ships inside scikit-image, so nothing is fetched.
    """
    picture: np.ndarray = data.astronaut().astype(np.float32) / np.float32(255)
    return picture


def portray(speaker: Speaker, *, exposure: float = 1.0) -> np.ndarray:
    """The photograph coloured for a speaker, not yet mirrored: float32 RGB (512, 512, 3) in [0, 1].

    Args:
        speaker: whose colours.
        exposure: brightness of the clip.
    """
    picture = photograph()
    hair = _hair_mask(picture)[..., None]
    picture *= hair * np.asarray(speaker.hair, np.float32) + (1 - hair) * np.asarray(speaker.skin, np.float32)
    picture *= 1 - .85 * speaker.brow_darkness * _brow_mask()[..., None]
    return np.asarray(np.clip(picture * np.float32(exposure), 0, 1))


def _hair_mask(picture: np.ndarray) -> np.ndarray:
    """Hair: yellower or darker than skin, inside the head's outline and outside the face's, float32 (512, 512)."""
    rows, columns = _HEAD_WINDOW
    hsv = color.rgb2hsv(picture[rows, columns])
    y, x = np.mgrid[rows, columns].astype(np.float32)
    head = ((x - 227) / 80) ** 2 + ((y - 78) / 68) ** 2 < 1
    face = ((x - 225) / 47) ** 2 + ((y - 130) / 46) ** 2 < 1
    brown = (hsv[..., 0] > _HAIR_HUES[0]) & (hsv[..., 0] < _HAIR_HUES[1]) & (hsv[..., 1] > .18)
    hair = binary_closing(head & ~face & (brown | (hsv[..., 2] < .48)), iterations=2)
    mask = np.zeros(picture.shape[:2], np.float32)
    mask[rows, columns] = gaussian_filter(hair.astype(np.float32), 1.2)
    return mask


def _brow_mask() -> np.ndarray:
    """Thickness of drawn brows, float32 (512, 512) in [0, 1]."""
    rows, columns = _HEAD_WINDOW
    y, x = np.mgrid[rows, columns].astype(np.float32)
    mask = np.zeros((512, 512), np.float32)
    for points in BROW_POINTS:
        ordered = np.array(sorted(points))
        centre = np.interp(x, ordered[:, 0], ordered[:, 1])
        ends = np.clip(np.minimum(x - ordered[0, 0], ordered[-1, 0] - x) / 4 + .5, 0, 1)
        drawn = ends * np.exp(-((y - centre) / 1.5) ** 2)
        mask[rows, columns] = np.maximum(mask[rows, columns], drawn)
    return mask
