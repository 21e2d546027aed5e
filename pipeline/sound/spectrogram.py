"""Log-mel spectrograms of speech: pure functions on waveforms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torchaudio

from pipeline.media import SAMPLE_RATE_HZ

_BLOCK_WINDOWS = 2 ** 13  # at a time: their spectra take ten times the memory of their sound


@dataclass(frozen=True)
class MelSettings:
    """Settings of a log-mel spectrogram; the defaults suit speech.

    Args:
        window_seconds: length of the Hann window.
        hop_seconds: time between the starts of windows, at most a window.
        bands: number of mel bands.
        low_hz, high_hz: edges of the lowest and highest band.
        floor_db: power below this, relative to full scale, is set to it.

    Raises:
        ValueError: a hop longer than the window or below one sample, no band, or bands beyond half the sample rate.
    """

    window_seconds: float = 0.025
    hop_seconds: float = 0.010
    bands: int = 64
    low_hz: float = 50.0
    high_hz: float = 8000.0
    floor_db: float = -100.0

    def __post_init__(self) -> None:
        window, hop = window_and_hop(self)
        if not 1 <= hop <= window:
            raise ValueError(f"the hop is at least one sample and at most the window, found {self.hop_seconds} and"
                             f" {self.window_seconds} s")
        if self.bands < 1:
            raise ValueError(f"bands are at least 1, found {self.bands}")
        if not 0 <= self.low_hz < self.high_hz <= SAMPLE_RATE_HZ / 2:
            raise ValueError(f"the bands lie within 0–{SAMPLE_RATE_HZ // 2} Hz, found {self.low_hz}–{self.high_hz}")


def window_and_hop(settings: MelSettings) -> tuple[int, int]:
    """Window and hop in samples."""
    return round(settings.window_seconds * SAMPLE_RATE_HZ), round(settings.hop_seconds * SAMPLE_RATE_HZ)


def log_mel(waveform: np.ndarray, settings: MelSettings = MelSettings()) -> np.ndarray:
    """Power in mel bands, in decibels relative to full scale.

    Window ``k`` covers samples from ``k * hop``; the last one is filled up with silence, so that every sample is in
    some window. No samples give no windows.

    Args:
        waveform: float32 (S,) in [-1, 1] at ``SAMPLE_RATE_HZ``.
        settings: window, hop and bands.

    Returns:
        float32 (T, bands).

    Raises:
        ValueError: ``waveform`` is not one-dimensional.
    """
    if waveform.ndim != 1:
        raise ValueError(f"a waveform is (S,), found {waveform.shape}")
    if len(waveform) == 0:
        return np.zeros((0, settings.bands), np.float32)
    window, hop = window_and_hop(settings)
    fft = _fft_size(window)
    lead = (fft - window) // 2
    num_windows = num_frames(len(waveform), settings)
    levels = np.empty((num_windows, settings.bands), np.float32)
    for start in range(0, num_windows, _BLOCK_WINDOWS):
        stop = min(start + _BLOCK_WINDOWS, num_windows)
        first, part = start * hop - lead, np.zeros((stop - 1 - start) * hop + fft, np.float32)
        samples = waveform[max(0, first):first + len(part)]
        part[max(0, -first):][:len(samples)] = samples
        power = _mel_filter(settings)(torch.from_numpy(part)).T / full_scale_power(window)
        levels[start:stop] = 10 * torch.log10(power.clamp_min(10 ** (settings.floor_db / 10)))
    return levels


def num_frames(num_samples: int, settings: MelSettings) -> int:
    """How many windows cover a waveform; at least one if there is a sample."""
    window, hop = window_and_hop(settings)
    return 0 if num_samples == 0 else 1 + max(0, -(-(num_samples - window) // hop))


def frame_times(num_windows: int, settings: MelSettings) -> np.ndarray:
    """Start and stop of each window in seconds, float32 (T, 2)."""
    window, hop = window_and_hop(settings)
    starts = np.arange(num_windows) * hop
    return (np.stack([starts, starts + window], axis=1) / SAMPLE_RATE_HZ).astype(np.float32)


@lru_cache(maxsize=4)
def _mel_filter(settings: MelSettings) -> torchaudio.transforms.MelSpectrogram:
    window, hop = window_and_hop(settings)
    return torchaudio.transforms.MelSpectrogram(
        SAMPLE_RATE_HZ, n_fft=_fft_size(window), win_length=window, hop_length=hop, f_min=settings.low_hz,
        f_max=settings.high_hz, n_mels=settings.bands, center=False, power=2.0, norm=None, mel_scale="htk")


def full_scale_power(window: int) -> float:
    """Power that a sine of amplitude 1 has in its bin under a Hann window of ``window`` samples: 0 dB."""
    return float(torch.hann_window(window).sum() / 2) ** 2


def _fft_size(window: int) -> int:
    return 1 << (window - 1).bit_length()
