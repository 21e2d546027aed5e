"""A source-filter voice: glottal pulses and hiss through three moving resonances, coloured by an emotion.

Fant, Acoustic Theory of Speech Production (1960); pulse shape after Rosenberg, JASA 49 (1971); resonators after Klatt,
JASA 67 (1980). How pitch, loudness and speed follow the emotions: Banse and Scherer, J. Pers. Soc. Psychol. 70 (1996).
"""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from pipeline.rendering.speech import Phone

SAMPLE_RATE_HZ = 16_000
_BLOCK_SAMPLES = 80  # 5 ms: formants move little within it
_BANDWIDTHS_HZ = (70.0, 100.0, 160.0)
_HIGHER_FORMANT_HZ, _HIGHER_BANDWIDTH_HZ = 3500.0, 250.0  # of an average man, the same for all sounds
_PRESENCE = 0.5  # zero that brings the long-term spectrum near that of speech (Byrne et al., JASA 96, 1994)
_NEUTRAL_RMS = 0.05
_ROOM_NOISE_RMS = 0.0006  # about 40 dB under calm speech


@dataclass(frozen=True)
class Manner:
    """How an emotion sounds, relative to the speaker's calm voice.

    Args:
        pitch: median pitch, as a factor.
        pitch_range: swing of the accents, as a share of the pitch.
        slope: rise of the pitch from the first to the last sound, as a share of it.
        gain_db: loudness.
        rate: speed of speaking, as a factor.
        tilt: softness, 0 (pressed, bright) to 0.9 (soft, dark).
        jitter: irregularity of the pulses, as a share of the pitch.
        breath: hiss in the voice, 0 to 1.
        tremor: depth of an 8 Hz trembling of the pitch.
    """

    pitch: float = 1.0
    pitch_range: float = 0.10
    slope: float = -0.12
    gain_db: float = 0.0
    rate: float = 1.0
    tilt: float = 0.45
    jitter: float = 0.008
    breath: float = 0.05
    tremor: float = 0.0


MANNERS = {
    "neutral": Manner(),
    "joy": Manner(1.28, .34, .02, 4.0, 1.10, .30),
    "surprise": Manner(1.45, .25, .45, 3.0, 1.02, .35),
    "anger": Manner(1.12, .28, -.20, 9.0, 1.20, .0, .025),
    "sadness": Manner(.86, .05, -.18, -7.0, .74, .80, .012, .12),
    "fear": Manner(1.50, .14, .10, -1.5, 1.32, .45, .020, .22, .07),
    "disgust": Manner(.80, .20, -.28, 0.5, .84, .20, .055),
}


def choose_manner(emotion: str, rng: np.random.Generator) -> Manner:
    """An emotion's manner as one person has it on one day: every figure off by some per cent."""
    manner = MANNERS[emotion]
    pitch, spread, rate = np.exp(rng.normal(0.0, (.05, .20, .06)))
    return replace(manner, pitch=manner.pitch * pitch, pitch_range=manner.pitch_range * spread, rate=manner.rate * rate,
                   gain_db=manner.gain_db + rng.normal(0.0, 1.5))


def speak(phones: Sequence[Phone], num_samples: int, *, manner: Manner, pitch_hz: float, tract: float,
          rng: np.random.Generator) -> np.ndarray:
    """Say a sequence of sounds.

    Args:
        phones: sounds that follow each other from 0 on; what does not fit is cut, what is missing is quiet.
        num_samples: length of the result.
        manner: how it is said.
        pitch_hz: the speaker's median pitch.
        tract: formants relative to the average man's.
        rng: for accents, jitter and hiss.

    Returns:
        Waveform at ``SAMPLE_RATE_HZ``, float32 (num_samples,) in [-1, 1].
    """
    tracks = _tracks(phones, num_samples)
    pulses = _pulses(_pitch(phones, num_samples, manner, pitch_hz, rng), manner, rng)
    voiced = _resonate(pulses * tracks["voicing"], tracks["formants"] * tract)
    voiced = lfilter(*_resonator(_HIGHER_FORMANT_HZ * tract, _HIGHER_BANDWIDTH_HZ), voiced)
    voiced = lfilter([1.0, -_PRESENCE], [1.0, -manner.tilt], voiced)
    white = rng.standard_normal(num_samples)
    hiss = _resonate(white * tracks["noise"], tracks["noise_hz"][None], bandwidths_hz=(1500.0,))
    sounding = tracks["voicing"] > .5
    voiced *= _NEUTRAL_RMS * 10 ** (manner.gain_db / 20) / max(_rms(voiced[sounding]), 1e-9)
    hiss *= .25 * _NEUTRAL_RMS * 10 ** (.7 * manner.gain_db / 20) / max(_rms(hiss[tracks["noise"] > .1]), 1e-9)
    wave = voiced + hiss + _ROOM_NOISE_RMS * rng.standard_normal(num_samples)
    return np.asarray(np.tanh(wave), np.float32)


def loudness(waveform: np.ndarray, times_seconds: np.ndarray, *, window_seconds: float = 0.05) -> np.ndarray:
    """Root mean square in a window centred on each time, float64 (T,).

    Args:
        waveform: (S,) at ``SAMPLE_RATE_HZ``.
        times_seconds: (T,).
        window_seconds: length of the window; outside the waveform is silence.
    """
    half = int(window_seconds * SAMPLE_RATE_HZ / 2)
    power = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    centres = np.round(np.asarray(times_seconds) * SAMPLE_RATE_HZ).astype(np.int64)
    start, stop = (np.clip(centres + side, 0, len(waveform)) for side in (-half, half))
    return np.asarray(np.sqrt((power[stop] - power[start]) / (2 * half)))


def write_wav(path: Path, waveform: np.ndarray) -> None:
    """Write a waveform (S,) in [-1, 1] at ``SAMPLE_RATE_HZ`` as 16-bit mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(np.round(waveform * 32767).astype("<i2").tobytes())


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else 0.0


def _tracks(phones: Sequence[Phone], num_samples: int) -> dict[str, np.ndarray]:
    """Every phone parameter per sample, smoothed as a mouth would move: (S,), formants (3, S)."""
    bounds = np.round(np.cumsum([0.0] + [phone.seconds for phone in phones]) * SAMPLE_RATE_HZ).astype(np.int64)
    owner = np.clip(np.searchsorted(bounds, np.arange(num_samples), side="right") - 1, 0, len(phones) - 1)
    spoken = np.arange(num_samples) < bounds[-1]

    def track(values: Sequence[float], seconds: float) -> np.ndarray:
        steps = np.asarray(values, np.float64)[owner]
        return np.asarray(uniform_filter1d(steps, int(seconds * SAMPLE_RATE_HZ), mode="nearest"))

    quiet = uniform_filter1d(spoken.astype(np.float64), 320)
    return {"voicing": quiet * track([phone.voicing for phone in phones], .020),
            "noise": quiet * track([phone.noise for phone in phones], .012),
            "noise_hz": track([phone.noise_hz for phone in phones], .010),
            "formants": np.stack([track([phone.formants_hz[k] for phone in phones], .045) for k in range(3)])}


def _pitch(phones: Sequence[Phone], num_samples: int, manner: Manner, pitch_hz: float,
           rng: np.random.Generator) -> np.ndarray:
    """Fundamental frequency per sample: a line with an accent on each vowel, trembling and jitter, (S,)."""
    starts = np.cumsum([0.0] + [phone.seconds for phone in phones])
    vowels = [start + phone.seconds / 2 for start, phone in zip(starts, phones) if phone.is_vowel]
    heights = rng.normal(0.0, 1.0, len(vowels)) + np.where(np.arange(len(vowels)) % 2 == 0, .8, -.5)
    time = np.arange(num_samples) / SAMPLE_RATE_HZ
    accents = np.interp(time, vowels, heights) if vowels else np.zeros(num_samples)
    line = manner.slope * np.clip((time - starts[1]) / max(starts[-1] - starts[1], 1e-3), 0, 1)
    tremor = manner.tremor * np.sin(2 * np.pi * 8.0 * time + rng.uniform(0, 2 * np.pi))
    jitter = manner.jitter * np.repeat(rng.standard_normal(num_samples // 120 + 1), 120)[:num_samples]
    contour = 1 + manner.pitch_range * uniform_filter1d(accents, 800) + line - manner.slope / 2 + tremor + jitter
    return np.asarray(pitch_hz * manner.pitch * np.clip(contour, .5, 2.2))


def _pulses(pitch: np.ndarray, manner: Manner, rng: np.random.Generator) -> np.ndarray:
    """Slope of Rosenberg's glottal pulse (opens over 40 %, closes over 16 % of a period) with breath in it, (S,)."""
    phase = np.cumsum(pitch / SAMPLE_RATE_HZ) % 1.0
    opening, closing = .40, .16
    flow = np.where(phase < opening, .5 * (1 - np.cos(np.pi * phase / opening)),
                    np.where(phase < opening + closing, np.cos(.5 * np.pi * (phase - opening) / closing), 0.0))
    breath = manner.breath * flow * rng.standard_normal(len(flow))
    return np.asarray(np.diff(flow, prepend=0.0) + .3 * breath)


def _resonate(signal: np.ndarray, centres_hz: np.ndarray,
              bandwidths_hz: Sequence[float] = _BANDWIDTHS_HZ) -> np.ndarray:
    """Second-order resonators in a row whose centres (K, S) move from block to block, (S,)."""
    result: np.ndarray = np.array(signal, np.float64)
    for centres, bandwidth in zip(centres_hz, bandwidths_hz):
        state = np.zeros(2)
        for start in range(0, len(result), _BLOCK_SAMPLES):
            block = slice(start, start + _BLOCK_SAMPLES)
            result[block], state = lfilter(*_resonator(float(centres[start]), bandwidth), result[block], zi=state)
    return result


def _resonator(centre_hz: float, bandwidth_hz: float) -> tuple[list[float], list[float]]:
    """Numerator and denominator of a two-pole resonance whose gain at 0 Hz is 1."""
    radius = float(np.exp(-np.pi * bandwidth_hz / SAMPLE_RATE_HZ))
    angle = 2 * np.pi * min(centre_hz, .45 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    poles = [1.0, -2 * radius * float(np.cos(angle)), radius ** 2]
    return [sum(poles)], poles
