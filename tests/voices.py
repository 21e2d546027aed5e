"""Voices of known pitch, irregularity and resonances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import lfilter

from pipeline.media import SAMPLE_RATE_HZ


def pulses(f0_hz: float, *, seconds: float = 1.0, jitter: float = 0.0, shimmer: float = 0.0) -> np.ndarray:
    """Pulses without overtones beyond half the rate, float32 (S,).

    Periods are by turns longer and shorter, and amplitudes greater and less, so that one differs from the next by the
    given share of their mean.
    """
    samples = np.arange(round(seconds * SAMPLE_RATE_HZ))
    wave = np.zeros(len(samples))
    place, number = 40.0, 0
    while place < len(samples) - 40:
        turn = 1 if number % 2 else -1
        wave += (1 + turn * shimmer / 2) * np.sinc(samples - place)
        place += SAMPLE_RATE_HZ / f0_hz * (1 + turn * jitter / 2)
        number += 1
    return (wave / 2).astype(np.float32)


def vowel(f0_hz: float, formants_hz: Sequence[float], *, bandwidth_hz: float = 80.0,
          seconds: float = 1.0) -> np.ndarray:
    """A source whose overtones fall by 12 dB an octave, through resonators in a row and lips, float32 (S,)."""
    wave = pulses(f0_hz, seconds=seconds).astype(float)
    wave = lfilter([1, -1], [1, -1.98, 0.98 ** 2 + 0.02], wave)  # glottis and lips
    for hertz in formants_hz:
        radius = np.exp(-np.pi * bandwidth_hz / SAMPLE_RATE_HZ)
        wave = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hertz / SAMPLE_RATE_HZ), radius ** 2], wave)
    return np.asarray(wave / np.abs(wave).max() / 2, np.float32)


def hiss(*, seconds: float = 1.0, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """White noise, float32 (S,)."""
    return np.random.default_rng(seed).normal(0, level, round(seconds * SAMPLE_RATE_HZ)).astype(np.float32)
