"""Grey pictures of faces for active-speaker networks, 112 by 112: of face tracks as they come, or cut out of videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from pipeline.config import setting
from pipeline.errors import ClipError
from pipeline.extractors import Extractor
from pipeline.faces.alignment import SPEAKER_CROP, BoxRecipe, cut, resized
from pipeline.faces.retiming import RetimedTrack, retime, steadied, track_spans
from pipeline.media import FeatureSequence, FrameRequest, Frames, Media, Needs, PictureRequest

RATE_HZ = 25.0
SIDE = 112
CROPS = {"loose": SPEAKER_CROP, "box": BoxRecipe("box as it is", 0.0, 0.0, 0.0, square=False)}


class AsdFaces(Extractor):
    """One grey picture of a face for each frame, uint8.

    A clip that is a face track gives its own pictures, one row each. In a video every track that ``faces`` has found
    gives 25 rows a second, one track after the other; :mod:`pipeline.faces.retiming` says which rows are whose.
    """

    modality = "face"
    dtype = "uint8"

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        clips: Literal["videos", "tracks"] = setting(
            "videos", "what clips are, which the dataset tells: videos, or face tracks that are cut out already")
        part: Literal["whole", "middle"] = setting(
            "whole", "whole: all of the picture, as TalkNet reads AVA's; middle: the middle half of its height and"
                     " width, as TalkNet's demonstration cuts it from a loose crop")
        crop: Literal["loose", "box"] = setting(
            "loose", "in videos, what is cut out: loose: a square with 40 % more to each side and below, as active-"
                     "speaker networks want it; box: the face's box, as AVA's tracks are cut")
        lines: int = setting(360, "height in pixels of the picture that faces are cut from in videos, at most")

        def __post_init__(self) -> None:
            if self.lines < 1:
                raise ValueError(f"lines is at least 1, found {self.lines}")

    @property
    def picture(self) -> PictureRequest:
        """How a picture is scaled and cut."""
        return PictureRequest(SIDE) if self.config.part == "whole" else PictureRequest(2 * SIDE, SIDE)

    @property
    def request(self) -> FrameRequest:
        """All frames of a video, at the pace of lips."""
        return FrameRequest(RATE_HZ, lines=self.config.lines)

    @property
    def needs(self) -> Needs:
        if self.config.clips == "tracks":
            return Needs(pictures=(self.picture,))
        return Needs(frames=(self.request,), features=("faces",))

    @property
    def row_shape(self) -> tuple[int, ...]:
        return SIDE, SIDE

    def settings(self) -> dict[str, Any]:
        settings = super().settings()
        if self.config.clips == "tracks":
            return {name: settings[name] for name in ("clips", "part")}
        return {**settings, "crop": CROPS[self.config.crop].name}

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._of_track(clip) if self.config.clips == "tracks" else self._of_video(clip) for clip in media]

    def _of_track(self, clip: Media) -> FeatureSequence:
        if clip.track is None:
            raise ClipError("is no face track, as the other clips of its corpus are", stage="asd_faces")
        return FeatureSequence(clip.track.pictures[self.picture], clip.track.times)

    def _of_video(self, clip: Media) -> FeatureSequence:
        faces, frames = clip.features["faces"], clip.frames[self.request]
        tracks = retime(faces.values, faces.times, RATE_HZ) if len(frames) else []
        if not tracks:
            return FeatureSequence.empty(self.row_shape, self.dtype)
        values = np.empty((sum(map(len, tracks)), *self.row_shape), np.uint8)
        for track, span in zip(tracks, track_spans(tracks)):
            values[span] = self._crops(frames, track)
        grid = np.concatenate([track.frames for track in tracks])
        return FeatureSequence(values, clip.cut(np.stack([grid, grid + 1], axis=1) / RATE_HZ))

    def _crops(self, frames: Frames, track: RetimedTrack) -> np.ndarray:
        """Pictures of a track, uint8 (T, side, side)."""
        shrink = np.array([frames.shape[2], frames.shape[1]]) / np.maximum(frames.source_size[::-1], 1)
        smaller, picture = resized(steadied(track.rows), shrink), self.picture
        low = (picture.size - SIDE) // 2
        crops = np.empty((len(track), SIDE, SIDE), np.uint8)
        for place, row in enumerate(frames.at(track.frames).tolist()):
            crop = cut(frames.take(slice(row, row + 1))[0], smaller[place], CROPS[self.config.crop], picture.size)
            crops[place] = np.asarray(Image.fromarray(crop).convert("L"))[low:low + SIDE, low:low + SIDE]
        return crops
