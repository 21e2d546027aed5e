"""What a contour does over time, in a few numbers: pure functions on columns of equal steps."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from pipeline.sound.prosody import runs

NAMES = ("amean", "stddevNorm", "stddev", "percentile20.0", "percentile50.0", "percentile80.0", "pctlrange0-2",
         "percentile1.0", "percentile99.0", "skewness", "kurtosis", "slope", "meanRisingSlope", "stddevRisingSlope",
         "meanFallingSlope", "stddevFallingSlope", "peaksPerSec")
_SMOOTHING = 3                     # steps; as openSMILE's sets smooth before they look for peaks
_PERCENTILES = 20, 50, 80, 1, 99


def functionals(values: np.ndarray, chosen: np.ndarray, step_seconds: float) -> dict[str, np.ndarray]:
    """Statistics of each column over the chosen steps.

    A rising slope is the mean speed, per second, at which the smoothed column grows where it grows; only neighbours
    that are both chosen count. ``stddevNorm`` is the standard deviation over the absolute mean, at most 100. A peak is
    a local maximum of the smoothed column above its mean. A statistic without the steps that it needs is 0.

    Args:
        values: (T, C).
        chosen: steps to look at, bool (T,).
        step_seconds: time from step to step.

    Returns:
        By each of ``NAMES``, float32 (C,), finite.

    Raises:
        ValueError: ``chosen`` is not (T,).
    """
    if chosen.shape != (len(values),):
        raise ValueError(f"{len(values)} steps to choose from, found {chosen.shape}")
    if not chosen.any():
        return {name: np.zeros(values.shape[1], np.float32) for name in NAMES}
    part = values[chosen].astype(float)
    smooth = uniform_filter1d(values.astype(float), _SMOOTHING, axis=0, mode="nearest")
    changes = (np.diff(smooth, axis=0) / step_seconds)[chosen[1:] & chosen[:-1]]
    found = [*_spread(part), _slope(part, np.flatnonzero(chosen) * step_seconds), *_steepness(changes),
             *_steepness(-changes), _peaks(smooth, chosen) / (len(part) * step_seconds)]
    return {name: np.asarray(column, np.float32) for name, column in zip(NAMES, found, strict=True)}


def segment_lengths(mask: np.ndarray, step_seconds: float) -> tuple[float, float, float]:
    """Stretches of True per second, their mean length and its standard deviation in seconds; 0 where there are none.

    >>> segment_lengths(np.array([True, True, False, True]), 0.25)
    (2.0, 0.375, 0.125)
    """
    lengths = np.diff(runs(mask), axis=1) * step_seconds
    if not len(lengths):
        return 0.0, 0.0, 0.0
    return len(lengths) / (len(mask) * step_seconds), float(lengths.mean()), float(lengths.std())


def deltas(values: np.ndarray) -> np.ndarray:
    """Change per step by regression over five steps, the ends held; (T, C) as given."""
    padded = np.concatenate([values[:1], values[:1], values, values[-1:], values[-1:]])
    count = len(values)
    return np.asarray((2 * (padded[4:] - padded[:count]) + padded[3:-1] - padded[1:count + 1]) / 10)


def _spread(part: np.ndarray) -> list[np.ndarray]:
    """From ``amean`` to ``kurtosis``."""
    mean, deviation = part.mean(0), part.std(0)
    low, middle, high, least, most = np.percentile(part, _PERCENTILES, axis=0)
    norm = np.minimum(deviation / np.maximum(np.abs(mean), 1e-9), 100.0)
    moves = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-3)
    scaled = np.where(moves, (part - mean) / np.where(moves, deviation, 1), 0)
    return [mean, norm, deviation, low, middle, high, high - low, least, most, (scaled ** 3).mean(0),
            (scaled ** 4).mean(0)]


def _slope(part: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Slope of the straight line through the column, per second."""
    away = seconds - seconds.mean()
    return np.asarray(away @ part / max(float(away @ away), 1e-12)) if len(part) > 1 else np.zeros(part.shape[1])


def _steepness(changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the changes above 0 of each column."""
    rising = changes > 0
    count = np.maximum(rising.sum(0), 1)
    mean = (changes * rising).sum(0) / count
    return mean, np.sqrt((((changes - mean) ** 2) * rising).sum(0) / count)


def _peaks(smooth: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    middle = smooth[1:-1]
    peaks = (middle > smooth[:-2]) & (middle >= smooth[2:]) & (middle > smooth[chosen].mean(0))
    return np.asarray((peaks & chosen[1:-1, None]).sum(0))
