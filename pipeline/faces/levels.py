"""How thoroughly faces are sought: three named levels, each a choice between time and certainty.

Measured by ``tests/benchmarks/faces.py``. What the choice rests on: with the third network asked about every frame in
between, key frames 8 to 12 apart give boxes and landmarks at least as good as key frames 4 apart without it; the first
network, most of the cost, sees nothing below 12 pixels, so 180 lines keep a face of a fifteenth of the picture's
height, and 144 lines lose a listener in profile that 160 keep; a pyramid of .6 loses no face, one of .5 does.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.faces.mtcnn import REFERENCE, CascadeSettings

FULL_SIZE = 2 ** 16  # lines: more than any picture that decoding lets in has


@dataclass(frozen=True)
class DetectionLevel:
    """One level.

    Args:
        lines: height in pixels of the picture that faces are sought in; the picture's own where that is less.
        min_face_pixels: height in source pixels of the smallest face to find; in the picture that faces are sought in
            it is never below 12, which ties the two: 180 lines of 720 find faces of 48 source pixels.
        stride: frames of the grid from one key frame to the next.
        cascade: settings of MTCNN.
    """

    lines: int
    min_face_pixels: int
    stride: int
    cascade: CascadeSettings

    def __post_init__(self) -> None:
        if min(self.lines, self.min_face_pixels, self.stride) < 1:
            raise ValueError("lines, min_face_pixels and stride are at least 1")


LEVELS = {
    "fast": DetectionLevel(160, 24, 12, CascadeSettings()),
    "balanced": DetectionLevel(180, 24, 8, CascadeSettings()),
    # Every frame at full size with MTCNN's own settings: what the other two are measured against.
    "dense": DetectionLevel(FULL_SIZE, 20, 1, REFERENCE),
}
