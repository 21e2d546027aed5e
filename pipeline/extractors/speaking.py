"""Who is speaking: for every row of ``faces`` how sure it is that this face speaks there, from mouth and sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import setting
from pipeline.extractors import Extractor
from pipeline.faces import SPEAKING_COLUMNS
from pipeline.faces.mouths import measure_mouths
from pipeline.faces.speaking import speaking_scores
from pipeline.media import FeatureSequence, FrameRequest, Media, Needs
from pipeline.voice import Voice

RATE_HZ = 25.0  # lips open and shut up to eight times a second


class Speaking(Extractor):
    """Mouth motion beyond the head's, against the voice's envelope and activity; no trained weights.

    The score is 0 to 1 and means the same for every face of every clip: from 0.5 on the face speaks. It is low where
    nobody is heard, where the mouth is still, and where mouth and sound do not go together.
    """

    modality = "face"
    columns = SPEAKING_COLUMNS
    trainable_input = False

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        lines: int = setting(360, "height in pixels of the picture that mouths are watched in")

        def __post_init__(self) -> None:
            if self.lines < 1:
                raise ValueError(f"lines is at least 1, found {self.lines}")

    @property
    def request(self) -> FrameRequest:
        """All frames, at the pace of lips."""
        return FrameRequest(RATE_HZ, lines=self.config.lines)

    @property
    def needs(self) -> Needs:
        return Needs(frames=(self.request,), waveform=True, features=("faces",))

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (len(SPEAKING_COLUMNS),)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        faces = clip.features["faces"]
        if not len(faces.values):
            return FeatureSequence.empty(self.row_shape)
        rows = np.column_stack([faces.values[:, :5], self._scores(clip)])
        return FeatureSequence(rows.astype(np.float32), faces.times, faces.times_kind)

    def _scores(self, clip: Media) -> np.ndarray:
        """One score for each row of ``faces``; the place where a scorer is chosen."""
        faces = clip.features["faces"]
        assert clip.waveform is not None, "needs.waveform"
        voice = Voice.of(clip.waveform)
        scores = np.zeros(len(faces.values), np.float32)
        for mouth in measure_mouths(clip.frames[self.request], faces.values, faces.times[:, 0]):
            scores[mouth.rows] = speaking_scores(mouth, voice)
        return scores
