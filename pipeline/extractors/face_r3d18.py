"""R3D-18 on snippets of aligned face crops: one 512-d row a snippet in which a face is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import setting
from pipeline.faces.alignment import EXPRESSION_CROP, align
from pipeline.faces.choice import largest_track
from pipeline.media import FeatureSequence, FrameRequest, Frames, Media, Needs
from pipeline.snippets import RATE_HZ, SIDE, R3D18Extractor, SnippetConfig, snippet_times


class FaceR3d18(R3D18Extractor):
    """The largest face of each snippet, eyes level, 112×112.

    Within a snippet one track is followed: the one that covers most area. Frames where it is not seen repeat its
    nearest crop; a snippet without any face gives no row.
    """

    modality = "face"

    @dataclass(frozen=True)
    class Config(SnippetConfig):
        lines: int = setting(720, "crops are cut from the picture at this height at most")

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.lines < 1:
                raise ValueError(f"lines is at least 1, found {self.lines}")

    @property
    def request(self) -> FrameRequest:
        """The frames that the snippets use, large."""
        return FrameRequest(RATE_HZ, lines=self.config.lines, snippets=self.config.layout)

    @property
    def needs(self) -> Needs:
        return Needs(frames=(self.request,), features=("faces",))

    def settings(self) -> dict[str, object]:
        return {**super().settings(), "crop": EXPRESSION_CROP.name}

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        frames, faces = clip.frames[self.request], clip.features["faces"]
        if not len(frames):
            return FeatureSequence.empty(self.row_shape)
        spans = self.config.layout.spans(frames.num_frames)
        face_frames = np.round(faces.times[:, 0] * RATE_HZ).astype(int)
        crops, snippets, seen = _Crops(frames), [], []
        for place, (start, stop) in enumerate(spans):
            track = largest_track(face_frames, faces.values, start, stop)
            if track:
                known = np.array(sorted(track))
                nearest = known[np.abs(known[None] - np.arange(start, stop)[:, None]).argmin(1)]
                snippets.append([crops.row(int(frame), track[int(frame)]) for frame in nearest])
                seen.append(place)
        if not seen:
            return FeatureSequence.empty(self.row_shape)
        values = self.network(np.stack(crops.pictures), np.array(snippets), batch_size=self.config.batch_size)
        return FeatureSequence(values, clip.cut(snippet_times(spans[seen], frames.num_frames)))


class _Crops:
    """Aligned crops of one clip, each cut once."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        height, width = frames.source_size
        self._shrink = np.array([frames.shape[2] / width, frames.shape[1] / height])
        self._rows: dict[tuple[int, int], int] = {}
        self.pictures: list[np.ndarray] = []

    def row(self, frame: int, face: np.ndarray) -> int:
        """Place in :attr:`pictures` of a face (16,) at a frame of the grid."""
        key = (int(face[0]), frame)
        if key not in self._rows:
            picture = self._frames.take(self._frames.at(np.array([frame])))[0]
            self._rows[key] = len(self.pictures)
            self.pictures.append(align(picture, face[6:].reshape(5, 2) * self._shrink, EXPRESSION_CROP, SIDE))
        return self._rows[key]
