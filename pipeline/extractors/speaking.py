"""Who is speaking: for every row of ``faces`` how sure it is that this face speaks there, from mouth and sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import setting
from pipeline.extractors import Extractor
from pipeline.faces import SPEAKING_COLUMNS
from pipeline.faces.mouths import measure_mouths
from pipeline.faces.retiming import nearest_rows, retime, track_spans
from pipeline.faces.speaking import speaking_scores
from pipeline.media import FeatureSequence, FrameRequest, Media, Needs
from pipeline.sound.voice import Voice
from pipeline.speaking.active_speaker import SpeakerRun, SpeakerScorer

RATE_HZ = 25.0  # lips open and shut up to eight times a second


class Speaking(Extractor):
    """Mouth motion beyond the head's, against the voice's envelope and activity, or an active-speaker network.

    The score is 0 to 1 and means the same for every face of every clip: from 0.5 on the face speaks. It is low where
    nobody is heard, where the mouth is still, and where mouth and sound do not go together. The network is that of a
    run of ``train --model active_speaker``, and its scores mean what its labels did; without one nothing is trained.
    """

    modality = "face"
    columns = SPEAKING_COLUMNS
    trainable_input = False

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        lines: int = setting(360, "without a run: height in pixels of the picture that mouths are watched in")
        speaking_run: str = setting("", "run of an active-speaker network that scores; none: mouth motion and sound")

        def __post_init__(self) -> None:
            if self.lines < 1:
                raise ValueError(f"lines is at least 1, found {self.lines}")

    @property
    def request(self) -> FrameRequest:
        """All frames, at the pace of lips."""
        return FrameRequest(RATE_HZ, lines=self.config.lines)

    @property
    def needs(self) -> Needs:
        if self.config.speaking_run:
            return Needs(features=("faces", *self.run.inputs))
        return Needs(frames=(self.request,), waveform=True, features=("faces",))

    @cached_property
    def run(self) -> SpeakerRun:
        """The run that scores.

        Raises:
            TrainingError: no run, or a damaged one.
            UsageError: it does not tell who speaks.
        """
        return SpeakerRun.open(Path(self.config.speaking_run))

    @cached_property
    def scorer(self) -> SpeakerScorer:
        """Its networks, loaded at first use."""
        return self.run.scorer(self.device)

    def settings(self) -> dict[str, Any]:
        settings = super().settings()
        del settings["speaking_run"]
        return {"speaking_run": self.run.digest} if self.config.speaking_run else settings

    def check_recipes(self, recipes: Mapping[str, Mapping[str, Any]]) -> None:
        if self.config.speaking_run:
            self.run.check_recipes(recipes)

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
        if self.config.speaking_run:
            tracks = retime(faces.values, faces.times, RATE_HZ)
            found: np.ndarray = self.scorer.scores(clip.features, track_spans(tracks))[nearest_rows(tracks)]
            return found
        assert clip.waveform is not None, "needs.waveform"
        voice = Voice.of(clip.waveform)
        scores = np.zeros(len(faces.values), np.float32)
        for mouth in measure_mouths(clip.frames[self.request], faces.values, faces.times[:, 0]):
            scores[mouth.rows] = speaking_scores(mouth, voice)
        return scores
