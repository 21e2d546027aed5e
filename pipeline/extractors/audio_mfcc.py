"""Mel-frequency cepstral coefficients of the sound: one row every 10 ms, with their change if asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torchaudio

from pipeline.config import setting
from pipeline.extractors import Extractor
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media, Needs
from pipeline.sound.spectrogram import MelSettings, frame_times, log_mel

MEL = MelSettings(bands=40, low_hz=20.0)
_MOST = MEL.bands
_ORDERS = {"none": 0, "first": 1, "second": 2}


class AudioMfcc(Extractor):
    """Cosine transform of 40 log-mel bands (dB), 25 ms windows every 10 ms, as torchaudio has it.

    Levels are relative to full scale, which only the first coefficient shows. Changes are taken by regression over five
    rows, the ends held.
    """

    modality = "audio"

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        coefficients: int = setting(13, f"how many, at least 1 and at most {_MOST}; the first is the level")
        deltas: Literal["none", "first", "second"] = setting(
            "none", "first: the change of each coefficient stands behind them all; second: and the change of that")

        def __post_init__(self) -> None:
            if not 1 <= self.coefficients <= _MOST:
                raise ValueError(f"coefficients are at least 1 and at most {_MOST}, found {self.coefficients}")

    @property
    def needs(self) -> Needs:
        return Needs(waveform=True)

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """``mfcc0`` …, then ``mfcc0_de`` … and ``mfcc0_de_de`` …"""
        return tuple(f"mfcc{number}{'_de' * order}" for order in range(_ORDERS[self.config.deltas] + 1)
                     for number in range(self.config.coefficients))

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (len(self.columns),)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._of(clip.waveform) for clip in media]

    def _of(self, waveform: np.ndarray | None) -> FeatureSequence:
        assert waveform is not None
        levels = torch.from_numpy(log_mel(waveform, MEL))
        if not len(levels):
            return FeatureSequence.empty(self.row_shape)
        rows = [levels @ torchaudio.functional.create_dct(self.config.coefficients, MEL.bands, "ortho")]
        for _ in range(_ORDERS[self.config.deltas]):
            rows.append(torchaudio.functional.compute_deltas(rows[-1].T[None], win_length=5)[0].T)
        times = np.minimum(frame_times(len(levels), MEL), np.float32(len(waveform) / SAMPLE_RATE_HZ))
        return FeatureSequence(torch.cat(rows, 1).numpy(), times)
