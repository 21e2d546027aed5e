"""Log-mel spectrogram of the sound: one row of band levels (dB) every 10 ms, stored raw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.config import setting
from pipeline.extractors import Extractor
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media, Needs
from pipeline.sound.spectrogram import MelSettings, frame_times, log_mel

PRESETS = {
    "speech": MelSettings(),
    "meld_joint": MelSettings(window_seconds=0.064, hop_seconds=0.032, low_hz=0.0),
}


class AudioLogmel(Extractor):
    """Log-mel spectrogram of :mod:`pipeline.sound.spectrogram`.

    Levels are neither centred nor scaled: loudness is information, and a model's scaler does it from the training
    split.
    """

    modality = "audio"

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        preset: Literal["speech", "meld_joint"] = setting(
            "speech", "speech: 25 ms windows every 10 ms; meld_joint: 64 ms every 32 ms, as the joint MELD model has")

    @property
    def needs(self) -> Needs:
        return Needs(waveform=True)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (PRESETS[self.config.preset].bands,)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        settings = PRESETS[self.config.preset]
        sequences = []
        for clip in media:
            assert clip.waveform is not None
            values = log_mel(clip.waveform, settings)
            times = np.minimum(frame_times(len(values), settings), np.float32(len(clip.waveform) / SAMPLE_RATE_HZ))
            sequences.append(FeatureSequence(values, times))
        return sequences
