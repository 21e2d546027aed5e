"""Raw sound around each frame: one row of samples a frame, for models that learn from the wave itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import setting
from pipeline.extractors import Extractor
from pipeline.extractors.audio_functionals import windows_on_grid
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media, Needs


class AudioWindows(Extractor):
    """Samples at 16 kHz in [-1, 1] as they were decoded, ``window_seconds`` about the middle of each frame.

    Row ``k`` belongs to frame ``k`` of a video at ``rate_hz`` frames a second. Where a window reaches past the clip its
    samples are 0, and its times end with the clip. Rows are float32 and stand in the store as they are: windows as long
    as a frame take 64 kB for each second of sound, longer ones overlap and take as much more.
    """

    modality = "audio"

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        window_seconds: float = setting(0.066, "length of a window, 0.001 to 10 s; 0.066 is one frame at 15 a second")
        rate_hz: float = setting(15.0, "frames a second; 15 is the rate at which faces are looked for")

        def __post_init__(self) -> None:
            if not 0.001 <= self.window_seconds <= 10:
                raise ValueError(f"window_seconds is 0.001 to 10, found {self.window_seconds}")
            if not 0.1 <= self.rate_hz <= 1000:
                raise ValueError(f"rate_hz is 0.1 to 1000, found {self.rate_hz}")

    @property
    def needs(self) -> Needs:
        return Needs(waveform=True)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (round(self.config.window_seconds * SAMPLE_RATE_HZ),)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._of(clip.waveform) for clip in media]

    def _of(self, wave: np.ndarray | None) -> FeatureSequence:
        assert wave is not None
        if not len(wave):
            return FeatureSequence.empty(self.row_shape)
        size, = self.row_shape
        hop = 1 / self.config.rate_hz
        times = windows_on_grid(len(wave) / SAMPLE_RATE_HZ, self.config.window_seconds, hop)
        middles = np.round((np.arange(len(times)) + 0.5) * hop * SAMPLE_RATE_HZ).astype(np.int64)
        # The last frame may be of the clip by less than its half: its window then begins behind the sound.
        padded = np.pad(wave, (size, size + round(hop * SAMPLE_RATE_HZ)))
        starts = middles - size // 2 + size
        rows = np.lib.stride_tricks.sliding_window_view(padded, size)[starts]
        return FeatureSequence(np.ascontiguousarray(rows, np.float32), times.astype(np.float32))
