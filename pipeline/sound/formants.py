"""Resonances of the mouth by linear prediction: pure functions on waveforms at 16 kHz."""

from __future__ import annotations

import numpy as np
import scipy.fft
from scipy.signal import resample_poly

from pipeline.media import SAMPLE_RATE_HZ
from pipeline.sound.framing import BLOCK_WINDOWS, num_windows, windows

NUM_FORMANTS = 3
_RATE_HZ = 11_000                  # five resonances lie below 5.5 kHz in most voices: two poles each
_ORDER = 10
_WINDOW = 275                      # 25 ms
_EMPHASIS = 0.97                   # undoes the fall of the glottis' spectrum
_LOWEST_HZ = 150.0
_WIDEST_HZ = 700.0                 # a wider pole shapes the spectrum's slope and is no resonance


def formants(waveform: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and bandwidths of the three lowest resonances in chosen steps.

    Poles of an autocorrelation predictor of order 10 at 11 kHz (Markel and Gray, "Linear Prediction of Speech", 1976).

    Args:
        waveform: float32 mono (S,) at 16 kHz.
        chosen: steps of :mod:`pipeline.sound.framing` to look at, bool (T,).

    Returns:
        Hertz (T, 3) and bandwidths in Hz (T, 3), float32; NaN where a step was not chosen or has no such resonance.

    Raises:
        ValueError: ``chosen`` has not as many steps as the waveform.
    """
    if len(chosen) != num_windows(len(waveform)):
        raise ValueError(f"{num_windows(len(waveform))} steps expected, found {len(chosen)}")
    hertz = np.full((len(chosen), NUM_FORMANTS), np.nan, np.float32)
    widths = hertz.copy()
    if chosen.any():
        sound = resample_poly(np.diff(waveform * 1.0, prepend=0) + (1 - _EMPHASIS) * np.append(0, waveform[:-1]),
                              _RATE_HZ // 1000, SAMPLE_RATE_HZ // 1000).astype(np.float32)
        for number, block in enumerate(windows(sound, _WINDOW, rate_hz=_RATE_HZ)):
            rows = slice(number * BLOCK_WINDOWS, number * BLOCK_WINDOWS + len(block))
            if chosen[rows].any():
                wanted = np.flatnonzero(chosen[rows]) + rows.start
                hertz[wanted], widths[wanted] = _resonances(block[chosen[rows][:len(block)]])
    return hertz, widths


def _resonances(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    poles = np.linalg.eigvals(_companions(_predictors(block)))
    hertz = np.angle(poles) * _RATE_HZ / (2 * np.pi)
    widths = -np.log(np.maximum(np.abs(poles), 1e-9)) * _RATE_HZ / np.pi
    good = (hertz > _LOWEST_HZ) & (hertz < _RATE_HZ / 2 - _LOWEST_HZ) & (widths < _WIDEST_HZ)
    hertz = np.where(good, hertz, np.nan)
    order = np.argsort(hertz, axis=1, kind="stable")[:, :NUM_FORMANTS]  # NaN stands last
    hertz = np.take_along_axis(hertz, order, 1)
    return hertz, np.where(np.isnan(hertz), np.nan, np.take_along_axis(widths, order, 1))


def _predictors(block: np.ndarray) -> np.ndarray:
    """Coefficients a of x[t] ≈ Σ a[k] x[t-1-k], float64 (T, order)."""
    spectrum = scipy.fft.rfft((block * np.hamming(_WINDOW)).astype(float), 2 * _WINDOW, axis=1)
    lags = scipy.fft.irfft(np.abs(spectrum) ** 2, 2 * _WINDOW, axis=1)[:, :_ORDER + 1]
    lags[:, 0] = lags[:, 0] * (1 + 1e-7) + 1e-9  # keeps the equations solvable in silence
    places = np.abs(np.subtract.outer(np.arange(_ORDER), np.arange(_ORDER)))
    return np.asarray(np.linalg.solve(lags[:, places], lags[:, 1:, None])[..., 0])


def _companions(predictors: np.ndarray) -> np.ndarray:
    matrices = np.zeros((len(predictors), _ORDER, _ORDER))
    matrices[:, 0] = predictors
    matrices[:, np.arange(1, _ORDER), np.arange(_ORDER - 1)] = 1
    return matrices
