"""Is a crop good enough: size, pose, the detector's probability, sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.faces import COLUMNS
from pipeline.faces.alignment import landmarks_of

# How far the tip of the nose stands out before the eyes, in parts of the distance between these: 135 of 315 units in
# the generic head that is used to estimate poses from five points.
NOSE_DEPTH = 0.43
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma of ITU-R BT.601


@dataclass(frozen=True)
class Gates:
    """What a face has to pass to be seen by a network.

    Args:
        least_face_pixels: height of its box in source pixels.
        least_probability: that it is a face.
        most_yaw_degrees: turned to the side, estimated from five landmarks; 90 is no limit.
        most_roll_degrees: leant to the side; crops are turned level, so only the unusual is refused; 180 is no limit.
        least_sharpness: variance of the Laplacian of the crop's grey levels; 0 is no limit.

    Raises:
        ValueError: a limit outside its range.
    """

    least_face_pixels: float = 0.0
    least_probability: float = 0.0
    most_yaw_degrees: float = 90.0
    most_roll_degrees: float = 180.0
    least_sharpness: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("least_face_pixels", np.inf), ("least_probability", 1.0), ("most_yaw_degrees", 90.0),
                           ("most_roll_degrees", 180.0), ("least_sharpness", np.inf)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is 0 or more" + (f" and at most {most:g}" if np.isfinite(most) else "")
                                 + f", found {getattr(self, name)}")

    def passes(self, faces: np.ndarray) -> np.ndarray:
        """Which rows (R, 16), in source pixels, pass what can be told without their pixels; bool (R,)."""
        heights, likely = faces[:, 4] - faces[:, 2], faces[:, COLUMNS.index("probability")]
        return np.asarray((heights >= self.least_face_pixels) & (likely >= self.least_probability)
                          & (np.abs(yaw_degrees(faces)) <= self.most_yaw_degrees)
                          & (np.abs(roll_degrees(faces)) <= self.most_roll_degrees))

    def sharp(self, crops: np.ndarray) -> np.ndarray:
        """Which crops, uint8 (T, side, side, 3), are sharp enough; bool (T,)."""
        if not self.least_sharpness:
            return np.ones(len(crops), bool)
        return sharpness(crops) >= self.least_sharpness


def roll_degrees(faces: np.ndarray) -> np.ndarray:
    """How far each face leans: angle of the line through its eyes, (R,) in (−180, 180]; clockwise is positive."""
    left, right = landmarks_of(faces.astype(np.float64))[:, :2].swapaxes(0, 1)
    return np.asarray(np.rad2deg(np.arctan2(right[:, 1] - left[:, 1], right[:, 0] - left[:, 0])))


def yaw_degrees(faces: np.ndarray) -> np.ndarray:
    """How far each face is turned to the side, estimated, (R,) in [−90, 90]; towards the picture's right is positive.

    With the head turned by ψ the eyes come together by cos ψ and the tip of the nose, which stands out before them,
    moves along their line by sin ψ: the tangent is the nose's place beside the eyes' middle over the distance of the
    eyes, divided by :data:`NOSE_DEPTH`. A head that looks up or down leaves this as it is.
    """
    points = landmarks_of(faces.astype(np.float64))
    left, right, nose = points[:, 0], points[:, 1], points[:, 2]
    line = right - left
    distance = np.hypot(*line.T)
    along = np.einsum("rx,rx->r", nose - (left + right) / 2, line)
    return np.asarray(np.rad2deg(np.arctan2(along, NOSE_DEPTH * distance ** 2)))


def sharpness(crops: np.ndarray) -> np.ndarray:
    """Variance of the Laplacian of each crop's grey levels, float32 (T,).

    The usual measure of focus (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy"); it depends
    on the crop's scale, and so is asked of crops that a network would see.

    Args:
        crops: uint8 RGB (T, H, W, 3), 3 pixels or more high and wide.
    """
    found = np.zeros(len(crops), np.float32)
    for place, crop in enumerate(crops):
        grey = crop @ GREY
        edges = (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1])
        found[place] = edges.var()
    return found
