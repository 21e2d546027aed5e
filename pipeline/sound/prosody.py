"""The voice's pitch, its regularity and its purity: pure functions on waveforms at 16 kHz, no trained weights.

Everything has one value for each step of 10 ms on the grid of :mod:`pipeline.sound.framing`.

Pitch is the path through the peaks of the normalised autocorrelation that Boersma gives ("Accurate short-term analysis
of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 1993). The costs
are near his; high frequencies are weakened where he interpolates between lags at length. Purity is the same
autocorrelation of all frequencies at the best lag.

Jitter and shimmer compare periods that are found by matching each with the next (ibid., and Titze and Liang,
Journal of Speech and Hearing Research 36, 1993, who find this more exact than peaks).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from pipeline.media import SAMPLE_RATE_HZ
from pipeline.sound.framing import HOP_SECONDS, num_windows, windows

PITCH_HZ = 60.0, 700.0             # a deep voice at rest, a high one that shouts
_WINDOW = 960                      # 60 ms: three and a half periods of the deepest voice
_HOP = round(HOP_SECONDS * SAMPLE_RATE_HZ)
_CANDIDATES = 5
_DEEP_HZ = 2000.0                  # what lies above counts little for the pitch
_VOICED = 0.50                     # least height of a voice's peak
_SILENT = 0.03                     # of the clip's greatest amplitude
_OCTAVE_COST = 0.02                # prefers the higher of equal peaks: half the pitch fits as well as the pitch
_JUMP_COST = 0.35                  # for an octave from one step to the next
_SWITCH_COST = 0.14                # from voiced to voiceless and back
_PURE = 1 - 1e-6                   # a harmonic share of 1 would be infinitely pure


@dataclass(frozen=True)
class Prosody:
    """What the voice does, step by step.

    Args:
        f0_hz: pitch, 0 where there is none, float32 (T,).
        hnr_db: harmonics-to-noise ratio, -60 to 60, of any sound, float32 (T,).
        jitter: change of a period from one to the next as a share of their mean, 0 where unvoiced, float32 (T,).
        shimmer: change of amplitude likewise, float32 (T,).

    Raises:
        ValueError: they are not of one length.
    """

    f0_hz: np.ndarray
    hnr_db: np.ndarray
    jitter: np.ndarray
    shimmer: np.ndarray

    def __post_init__(self) -> None:
        shapes = {part.shape for part in (self.f0_hz, self.hnr_db, self.jitter, self.shimmer)}
        if len(shapes) != 1 or self.f0_hz.ndim != 1:
            raise ValueError(f"all parts of a prosody are (T,), found {sorted(shapes)}")

    @property
    def voiced(self) -> np.ndarray:
        """Where there is a pitch, bool (T,)."""
        return np.asarray(self.f0_hz > 0)


def prosody(waveform: np.ndarray) -> Prosody:
    """Listen to a waveform.

    Args:
        waveform: float32 mono (S,) in [-1, 1] at 16 kHz.

    Returns:
        T = S / 160 rounded up; no samples give no steps.

    Raises:
        ValueError: ``waveform`` is not one-dimensional.
    """
    f0_hz, hnr_db = pitch(waveform)
    jitter, shimmer = irregularity(waveform, f0_hz)
    return Prosody(f0_hz, hnr_db, jitter, shimmer)


def pitch(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in Hz, 0 where there is none, and harmonics-to-noise ratio in dB, each float32 (T,).

    Args:
        waveform: float32 mono (S,) in [-1, 1] at 16 kHz.

    Raises:
        ValueError: ``waveform`` is not one-dimensional.
    """
    parts = [_candidates(block) for block in windows(waveform, _WINDOW)]
    if not parts:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    hertz, height, pure, peak = (np.concatenate(column) for column in zip(*parts, strict=True))
    silent = np.maximum(0, 2 - peak / max(float(peak.max()), 1e-9) / (_SILENT / (1 + _VOICED)))
    strength = np.where(hertz > 0, height + _OCTAVE_COST * np.log2(np.maximum(hertz, 1) / PITCH_HZ[0]), -np.inf)
    hertz = np.concatenate([np.zeros((len(hertz), 1)), hertz], 1)
    path = _best_path(hertz, np.concatenate([(_VOICED + silent)[:, None], strength], 1))
    pure = np.clip(pure, 1 - _PURE, _PURE)
    return (hertz[np.arange(len(hertz)), path].astype(np.float32),
            (10 * np.log10(pure / (1 - pure))).astype(np.float32))


def _candidates(block: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pitches (T, 5) in Hz, 0 for none, heights of their peaks (T, 5), harmonic share (T,), greatest amplitude (T,)."""
    shortest, longest = round(SAMPLE_RATE_HZ / PITCH_HZ[1]), round(SAMPLE_RATE_HZ / PITCH_HZ[0])
    hann = np.hanning(_WINDOW + 2)[1:-1].astype(np.float32)
    fft = scipy.fft.next_fast_len(_WINDOW + longest + 2, real=True)
    own = scipy.fft.irfft(np.abs(scipy.fft.rfft(hann, fft)) ** 2, fft)[:longest + 2]
    shifted = block - block.mean(1, keepdims=True)
    spectrum = scipy.fft.rfft(shifted * hann, fft, axis=1)
    power = spectrum.real ** 2 + spectrum.imag ** 2
    # What lies high makes peaks so narrow that they fall between two lags.
    deep = np.exp(-(scipy.fft.rfftfreq(fft, 1 / SAMPLE_RATE_HZ) / _DEEP_HZ) ** 2).astype(np.float32)
    ratio = scipy.fft.irfft(power * deep, fft, axis=1)[:, :longest + 2]
    ratio = ratio / np.maximum(ratio[:, :1], 1e-12) * (own[0] / own)
    left, middle, right = (ratio[:, shortest - 1 + shift:longest + shift] for shift in range(3))
    peaks = np.where((middle > left) & (middle >= right) & (middle > 0), middle, -1)
    best = np.argsort(-peaks, axis=1, kind="stable")[:, :_CANDIDATES]
    left, height, right = (np.take_along_axis(part, best, 1).astype(float) for part in (left, middle, right))
    bend = np.minimum(left - 2 * height + right, -1e-12)
    shift = np.clip((left - right) / (2 * bend), -0.5, 0.5)
    found = np.take_along_axis(peaks, best, 1) > 0
    lags = shortest + best + shift
    height = np.where(found, np.minimum(height - (left - right) * shift / 4, 1.0), 0)
    hertz = np.where(found, SAMPLE_RATE_HZ / lags, 0)
    return hertz, height, _pure_shares(power, lags[:, 0], own, fft), np.abs(shifted).max(1)


def _pure_shares(power: np.ndarray, lags: np.ndarray, own: np.ndarray, fft: int) -> np.ndarray:
    """Normalised autocorrelation of all of the spectrum at one lag per window, between samples too, (T,)."""
    weights = np.full(power.shape[1], 2.0, np.float32)  # bins between the ends stand for two of the whole transform
    weights[0] = 1
    weights[-1] = 1 if fft % 2 == 0 else 2
    turns = np.cos((2 * np.pi / fft) * lags.astype(np.float32)[:, None] * np.arange(power.shape[1], dtype=np.float32))
    at_lag = np.einsum("ij,ij,j->i", power, turns, weights)
    whole = np.maximum(power @ weights, 1e-12)
    return np.asarray(at_lag / whole * own[0] / np.interp(lags, np.arange(len(own)), own))


def _best_path(hertz: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """The candidate of each step (T,) on the path whose strengths less the costs of changes are greatest."""
    octaves = np.log2(np.maximum(hertz, 1))
    came_from = np.zeros(hertz.shape, np.int64)
    total = strength[0]
    for step in range(1, len(hertz)):
        cost = _JUMP_COST * np.abs(octaves[step - 1][:, None] - octaves[step])
        cost[0], cost[:, 0] = _SWITCH_COST, _SWITCH_COST
        cost[0, 0] = 0
        arrival = total[:, None] - cost
        came_from[step] = arrival.argmax(0)
        total = arrival.max(0) + strength[step]
    path = np.zeros(len(hertz), np.int64)
    path[-1] = int(total.argmax())
    for step in range(len(hertz) - 1, 0, -1):
        path[step - 1] = came_from[step, path[step]]
    return path


def irregularity(waveform: np.ndarray, f0_hz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Jitter and shimmer, each float32 (T,): held from period to period within a voiced stretch, 0 elsewhere.

    Args:
        waveform: float32 mono (S,) at 16 kHz.
        f0_hz: its pitch as :func:`pitch` gives it, (T,).

    Raises:
        ValueError: the pitch is not that of so long a waveform.
    """
    if f0_hz.shape != (num_windows(len(waveform)),):
        raise ValueError(f"{num_windows(len(waveform))} steps of pitch expected, found {f0_hz.shape}")
    jitter, shimmer = np.zeros(len(f0_hz), np.float32), np.zeros(len(f0_hz), np.float32)
    for start, stop in runs(f0_hz > 0):
        marks, periods, levels = _periods(waveform, f0_hz, start, stop)
        if len(periods) < 2:
            continue
        steps = (np.arange(start, stop) + 0.5) * _HOP
        for target, values in ((jitter, periods), (shimmer, levels)):
            change = np.abs(np.diff(values)) / np.maximum((values[1:] + values[:-1]) / 2, 1e-9)
            target[start:stop] = np.interp(steps, marks[1:], change)
    return jitter, shimmer


def runs(mask: np.ndarray) -> np.ndarray:
    """Start and stop of each stretch of True, int64 (N, 2), half-open.

    >>> runs(np.array([True, True, False, True])).tolist()
    [[0, 2], [3, 4]]
    """
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2)


def _periods(waveform: np.ndarray, f0_hz: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, ...]:
    """Where each period of a voiced stretch stands (N,), its length in samples (N,) and its amplitude (N,)."""
    first, end = start * _HOP, min(stop * _HOP, len(waveform))
    place = first + int(np.abs(waveform[first:first + round(SAMPLE_RATE_HZ / f0_hz[start])]).argmax())
    found = []
    while True:
        expected = SAMPLE_RATE_HZ / float(f0_hz[min(place // _HOP, stop - 1)])
        half, least, most = round(expected / 2), int(0.8 * expected), int(1.25 * expected) + 1
        if place + most + half >= end:
            break
        if place < half:
            place += round(expected)
            continue
        own = waveform[place - half:place + half]
        others = np.lib.stride_tricks.sliding_window_view(
            waveform[place - half + least:place + half + most], len(own))
        energy = np.einsum("ij,ij->i", others, others)
        match = others @ own / np.sqrt(np.maximum(energy, 1e-12))
        best = int(match.argmax())
        offset = 0.0
        if 0 < best < len(match) - 1:
            left, middle, right = (float(value) for value in match[best - 1:best + 2])
            offset = (left - right) / (2 * min(left - 2 * middle + right, -1e-12))
        found.append((place, least + best + offset, float(np.sqrt(own @ own))))
        place += least + best
    return tuple(np.array(found).reshape(-1, 3).T)
