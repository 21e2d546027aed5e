"""Spectra of the sound at given moments: four for each frame of a picture, whatever its rate. Pure functions.

A spectrogram with a fixed hop drifts away from the picture where the hop is no whole number of samples: at 29.97 frames
a second by half a frame in ten seconds. Here every window is placed for itself.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torchaudio
from scipy.fft import dct

from pipeline.media import SAMPLE_RATE_HZ
from pipeline.sound.spectrogram import full_scale_power

ROWS_PER_FRAME = 4
HOPS_PER_WINDOW = 2.5    # 25 ms every 10 ms at 25 frames a second
NUM_CEPSTRA, NUM_BANDS = 13, 64
_FILTERS = 26            # this and what follows: defaults of python_speech_features
_PREEMPHASIS, _LIFTER = 0.97, 22
_FULL_SCALE = 32768      # it works on 16-bit whole numbers
_LOW_HZ, _HIGH_HZ = 50.0, 8000.0  # of the mel bands, as in pipeline.sound.spectrogram
_FLOOR_DB = -100.0
_BLOCK_WINDOWS = 2 ** 12


def window_samples(rate_hz: float) -> int:
    """Length of a window in samples at so many frames a second.

    >>> window_samples(25.0), window_samples(30.0)
    (400, 333)
    """
    return int(np.floor(HOPS_PER_WINDOW * SAMPLE_RATE_HZ / (ROWS_PER_FRAME * rate_hz) + 0.5))


def window_starts(times: np.ndarray, rate_hz: float) -> np.ndarray:
    """First sample of each window: four a frame, a quarter of a frame apart, int64 (4 T,).

    Args:
        times: when each frame is shown, seconds, (T,).
        rate_hz: frames a second.

    >>> window_starts(np.array([0.0, 0.04]), 25.0).tolist()
    [0, 160, 320, 480, 640, 800, 960, 1120]
    """
    quarters = np.asarray(times, np.float64)[:, None] + np.arange(ROWS_PER_FRAME) / (ROWS_PER_FRAME * rate_hz)
    return np.floor(quarters.ravel() * SAMPLE_RATE_HZ + 0.5).astype(np.int64)


def cepstra(waveform: np.ndarray, starts: np.ndarray, window: int) -> np.ndarray:
    """Mel-frequency cepstral coefficients as python_speech_features 0.6 gives them, which TalkNet was trained on: 26
    filters up to 8 kHz, preemphasis 0.97, lifter 22, and the log of the energy in place of the first.

    A window that would reach past the end is moved back to it: nothing is made up.

    Args:
        waveform: float32 (S,) in [-1, 1] at 16 kHz, S ≥ 1.
        starts: first sample of each window, int64 (N,).
        window: samples of each.

    Returns:
        float32 (N, 13).
    """
    sound = waveform.astype(np.float64) * _FULL_SCALE
    sound[1:] -= _PREEMPHASIS * sound[:-1].copy()
    size = fft_size(window)
    lift = 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(NUM_CEPSTRA) / _LIFTER)
    rows = np.empty((len(starts), NUM_CEPSTRA), np.float32)
    for place in range(0, len(starts), _BLOCK_WINDOWS):
        here = slice(place, place + _BLOCK_WINDOWS)
        power = np.abs(np.fft.rfft(_windows(sound, starts[here], window), size)) ** 2 / size
        bands = np.log(_positive(_weighted(power, _triangles(size))))
        found = dct(bands, type=2, axis=1, norm="ortho")[:, :NUM_CEPSTRA] * lift
        found[:, 0] = np.log(_positive(power.sum(1)))
        rows[here] = found
    return rows


def mel_levels(waveform: np.ndarray, starts: np.ndarray, window: int) -> np.ndarray:
    """Power in 64 mel bands from 50 Hz to 8 kHz in decibels relative to full scale, Hann windows; as :func:`cepstra`.

    Returns:
        float32 (N, 64).
    """
    size, hann = fft_size(window), np.hanning(window + 1)[:-1]
    sound = waveform.astype(np.float64)
    rows = np.empty((len(starts), NUM_BANDS), np.float32)
    for place in range(0, len(starts), _BLOCK_WINDOWS):
        here = slice(place, place + _BLOCK_WINDOWS)
        power = np.abs(np.fft.rfft(_windows(sound, starts[here], window) * hann, size)) ** 2
        levels = _weighted(power, _mel_bands(size)) / full_scale_power(window)
        rows[here] = 10 * np.log10(np.maximum(levels, 10 ** (_FLOOR_DB / 10)))
    return rows


def fft_size(window: int) -> int:
    """The power of two that holds a window."""
    return 1 << (window - 1).bit_length()


def _windows(sound: np.ndarray, starts: np.ndarray, window: int) -> np.ndarray:
    """(N, window); sound that is shorter than one window is followed by silence."""
    if len(sound) < window:
        sound = np.pad(sound, (0, window - len(sound)))
    places = np.minimum(starts, len(sound) - window)
    return np.asarray(sound[places[:, None] + np.arange(window)])


def _weighted(power: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Power (N, bins) in bands (N, B) by filters (bins, B). Torch keeps to the threads of its worker; numpy's product
    takes every core, which for so small a one costs ten times the work."""
    return np.asarray((torch.from_numpy(power) @ torch.from_numpy(filters)).numpy())


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values == 0, np.finfo(np.float64).eps, values)


@lru_cache(maxsize=4)
def _triangles(size: int) -> np.ndarray:
    """Filters over the bins of a spectrum, their corners on whole bins, (size / 2 + 1, 26)."""
    top = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, _FILTERS + 2) / 2595) - 1)
    bins = np.floor((size + 1) * corners / SAMPLE_RATE_HZ)
    low, middle, high = bins[:-2, None], bins[1:-1, None], bins[2:, None]
    here = np.arange(size // 2 + 1)
    rising = (here - low) / np.maximum(middle - low, 1)
    falling = (high - here) / np.maximum(high - middle, 1)
    shares = np.where((here >= low) & (here < middle), rising, np.where((here >= middle) & (here < high), falling, 0.0))
    return np.ascontiguousarray(shares.T)


@lru_cache(maxsize=4)
def _mel_bands(size: int) -> np.ndarray:
    found = torchaudio.functional.melscale_fbanks(size // 2 + 1, _LOW_HZ, _HIGH_HZ, NUM_BANDS, SAMPLE_RATE_HZ)
    return np.asarray(found.numpy(), np.float64)  # (size / 2 + 1, 64)
