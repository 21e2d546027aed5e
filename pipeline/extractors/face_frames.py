"""Aligned crops of the followed face as rows of pixels, for models that look at faces themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import setting
from pipeline.faces.choice import choose
from pipeline.media import FeatureSequence, Media
from pipeline.networks.crops import FaceConfig, FaceSnippetExtractor, FaceSnippets, Followed
from pipeline.networks.snippets import LAYOUTS, SIDE
from pipeline.windows import Snippets

SPAN = LAYOUTS["sliding"].size      # frames in which one face is followed, as in a snippet of face_r3d18
ALL = 10 ** 9                       # of a clip's frames, however many


class FaceFrames(FaceSnippetExtractor):
    """One colour picture of the followed face for each frame in which it is seen, eyes level; uint8.

    The setting ``face`` chooses whom to follow, about a second (16 frames at 15 Hz) at a time. A frame in which that
    face is not seen, or not well enough, gives no row; the times say which frames are there. With ``face=all`` there is
    a row for each face of each frame, ordered by time, then track. A row of the usual size takes 38 kB: half a megabyte
    for each second of a face.
    """

    modality = "face"
    dtype = "uint8"

    @dataclass(frozen=True)
    class Config(FaceConfig):
        side: int = setting(SIDE, "height and width of a picture in pixels")
        every: int = setting(1, "take every so many frames of 15 a second: 1 is all, 3 is five a second")

        def __post_init__(self) -> None:
            super().__post_init__()
            if min(self.side, self.every) < 1:
                raise ValueError(f"side and every are at least 1, found {self.side} and {self.every}")

    @property
    def side(self) -> int:
        """Height and width of the crops in pixels."""
        found: int = self.config.side
        return found

    @property
    def layout(self) -> Snippets:
        """Each frame that is taken stands for itself."""
        return Snippets("sliding", size=1, hop=self.config.every, most=ALL)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return self.side, self.side, 3

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        found = [self.snippets(clip) for clip in media]
        return [FeatureSequence(self.describe(part), part.times) for part in found]

    def describe(self, found: FaceSnippets) -> np.ndarray:
        """The crops themselves, uint8 (N, side, side, 3)."""
        return np.asarray(found.crops[found.rows[:, 0]])

    def followed(self, clip: Media) -> Followed:
        faces, num_frames = self._candidates(clip), clip.frames[self.request].num_frames
        good = self.config.gates.passes(faces.rows) & (faces.frames % self.config.every == 0)
        rows = [place for start in range(0, num_frames, SPAN)
                for chosen in choose(self.config.face, faces, start, min(start + SPAN, num_frames))
                for place in chosen[good[chosen]].tolist()]
        rows.sort(key=lambda place: (int(faces.frames[place]), float(faces.rows[place, 0])))
        return Followed(faces, tuple(((int(faces.frames[row]), int(faces.frames[row]) + 1), np.array([row], np.int64))
                                     for row in rows))
