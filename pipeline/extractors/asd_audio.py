"""The sound beside each row of ``asd_faces``: four spectra a frame, whatever the frame rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.config import setting
from pipeline.errors import ClipError
from pipeline.extractors import Extractor
from pipeline.extractors.asd_faces import RATE_HZ
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media, Needs
from pipeline.sound.frame_spectra import (NUM_BANDS, NUM_CEPSTRA, ROWS_PER_FRAME, cepstra, mel_levels, window_samples,
                                          window_starts)


class AsdAudio(Extractor):
    """Four spectra for each row of ``asd_faces``, a quarter of a frame apart; the same number of rows and times.

    The sound of a face track ends with it at the latest; a window that would reach past its end is moved back to it. A
    video's sound that ends before its picture is followed by silence. A clip without sound has no rows.
    """

    modality = "audio"

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        clips: Literal["videos", "tracks"] = setting(
            "videos", "what clips are, which the dataset tells: videos, or face tracks that are cut out already")
        spectra: Literal["mfcc", "logmel"] = setting(
            "mfcc", "mfcc: 13 coefficients as TalkNet has them (python_speech_features); logmel: 64 mel bands in dB")

    @property
    def needs(self) -> Needs:
        return Needs(waveform=True, features=() if self.config.clips == "tracks" else ("asd_faces",))

    @property
    def row_shape(self) -> tuple[int, ...]:
        return ROWS_PER_FRAME, NUM_CEPSTRA if self.config.spectra == "mfcc" else NUM_BANDS

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._of_track(clip) if self.config.clips == "tracks" else self._of_video(clip) for clip in media]

    def _of_track(self, clip: Media) -> FeatureSequence:
        if clip.track is None:
            raise ClipError("is no face track, as the other clips of its corpus are", stage="asd_audio")
        assert clip.waveform is not None, "needs.waveform"
        return self._rows(clip.waveform, clip.track.times, clip.track.rate_hz)

    def _of_video(self, clip: Media) -> FeatureSequence:
        assert clip.waveform is not None, "needs.waveform"
        missing = round(clip.duration_seconds * SAMPLE_RATE_HZ) - len(clip.waveform)
        sound = np.pad(clip.waveform, (0, max(0, missing))) if len(clip.waveform) else clip.waveform
        return self._rows(sound, clip.features["asd_faces"].times, RATE_HZ)

    def _rows(self, sound: np.ndarray, times: np.ndarray, rate_hz: float) -> FeatureSequence:
        if not len(sound) or not len(times):
            return FeatureSequence.empty(self.row_shape)
        starts = window_starts(times[:, 0], rate_hz)
        found = (cepstra if self.config.spectra == "mfcc" else mel_levels)(sound, starts, window_samples(rate_hz))
        return FeatureSequence(found.reshape(-1, *self.row_shape), times)
