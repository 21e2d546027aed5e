"""How loud a voice is, and where there is one: pure functions on waveforms at 16 kHz, no trained weights.

Everything here has one value for each step of 10 ms; step ``k`` is about the sound around ``(k + 0.5) * HOP_SECONDS``.

Three things make sound a voice (Ramirez, Gorriz and Segura, "Voice Activity Detection", 2007, survey such rules): it
stands above the noise around it, it swells and fades two to eight times a second as syllables do (Houtgast and
Steeneken, JASA 77, 1985: speech is modulated most at 4 Hz), and much of it has a pitch. Hiss fails the second and the
third, a hum the second, hammering the third. Singing to music passes all of them: that is a voice too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d, percentile_filter, uniform_filter1d
from scipy.signal import butter, sosfiltfilt

from pipeline.media import SAMPLE_RATE_HZ

HOP_SECONDS = 0.01
_HOP = round(HOP_SECONDS * SAMPLE_RATE_HZ)
_WINDOW = 512                      # 32 ms: two periods of the deepest voice
_BLOCK_STEPS = 2 ** 12             # at a time: spectra take ten times the memory of their sound
_BAND_HZ = 200.0, 4000.0           # what a voice fills and mains hum, rumble and hiss do not
_PITCH_HZ = 70.0, 400.0
_PITCHED = 0.65                    # vowels are above; hiss is below in nine steps of ten
_FLOOR_DB = -100.0
_AUDIBLE_DB = -55.0                # a voice whose band is weaker than this cannot be heard in a room
_ABOVE_NOISE_DB = 8.0              # twice the spread of the level of noise in one step, and then some
_RANGE_DB = 35.0                   # from the loud syllables of a voice down to its weak ones
_NOISE_SECONDS = 10.0              # noise is what the quietest tenth of so long is like
_SYLLABLES_HZ = 2.0, 8.0
_PHRASE_SECONDS = 1.5              # long enough for several syllables
_WORD_SECONDS = 0.2                # a click or a knock is shorter than the shortest word
_PAUSE_SECONDS = 0.3               # shorter breaks belong to the phrase


@dataclass(frozen=True)
class Voice:
    """What is heard of voices in a waveform.

    Args:
        envelope: loudness, as :func:`speech_envelope` gives it, (T,).
        activity: how sure it is that somebody speaks, as :func:`voice_activity` gives it, (T,).

    Raises:
        ValueError: they are not of one length.
    """

    envelope: np.ndarray
    activity: np.ndarray

    def __post_init__(self) -> None:
        if self.envelope.ndim != 1 or self.envelope.shape != self.activity.shape:
            raise ValueError(f"envelope and activity are (T,), found {self.envelope.shape} and {self.activity.shape}")

    @classmethod
    def of(cls, waveform: np.ndarray) -> Voice:
        """Listen to a waveform, float32 mono (S,) in [-1, 1] at 16 kHz."""
        levels, pitch = _analyse(waveform)
        return cls(_envelope(levels), _activity(levels, pitch))

    def envelope_at(self, seconds: np.ndarray) -> np.ndarray:
        """Envelope at any times, interpolated; 0 before the sound and after it."""
        return self._at(self.envelope, seconds)

    def activity_at(self, seconds: np.ndarray) -> np.ndarray:
        """Activity at any times, interpolated; 0 before the sound and after it."""
        return self._at(self.activity, seconds)

    def _at(self, values: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        if not len(values):
            return np.zeros(seconds.shape)
        return np.asarray(np.interp(seconds, (np.arange(len(values)) + 0.5) * HOP_SECONDS, values, left=0.0, right=0.0))


def speech_levels(waveform: np.ndarray) -> np.ndarray:
    """Level of the band that voices fill, in decibels relative to a full-scale sine, never below -100.

    Args:
        waveform: float32 mono (S,) in [-1, 1] at 16 kHz.

    Returns:
        float32 (T,), T = S / 160 rounded up; no samples give no steps.

    Raises:
        ValueError: ``waveform`` is not one-dimensional.
    """
    return _analyse(waveform)[0]


def harmonicity(waveform: np.ndarray) -> np.ndarray:
    """How periodic the sound is at the pitch of voices: 0 (hiss, silence) to 1 (a steady vowel).

    The greatest value of the normalised autocorrelation between the periods of 400 and 70 Hz (Boersma, IFA
    Proceedings 17, 1993).

    Args:
        waveform: float32 mono (S,) in [-1, 1] at 16 kHz.

    Returns:
        float32 (T,).

    Raises:
        ValueError: ``waveform`` is not one-dimensional.
    """
    return _analyse(waveform)[1]


def speech_envelope(waveform: np.ndarray) -> np.ndarray:
    """Loudness of the voice as ears and mouths have it: 0 for what is not heard, growing with the level above it.

    Decibels above the threshold that voice activity uses, over the range of a voice, smoothed over 40 ms.

    Args:
        waveform: float32 mono (S,) in [-1, 1] at 16 kHz.

    Returns:
        float32 (T,), 0 to 1 for most sounds.

    Raises:
        ValueError: ``waveform`` is not one-dimensional.
    """
    return _envelope(speech_levels(waveform))


def voice_activity(waveform: np.ndarray) -> np.ndarray:
    """How sure it is that somebody speaks: the level stands out, and around it are syllables and pitch.

    Args:
        waveform: float32 mono (S,) in [-1, 1] at 16 kHz.

    Returns:
        float32 (T,) in [0, 1]; from 0.5 on there is a voice. Breaks below 0.3 s belong to the phrase.

    Raises:
        ValueError: ``waveform`` is not one-dimensional.
    """
    return _activity(*_analyse(waveform))


def _envelope(levels: np.ndarray) -> np.ndarray:
    if not len(levels):
        return levels
    above = np.clip((levels - _threshold(levels)) / _RANGE_DB, 0, None)
    return np.asarray(gaussian_filter1d(above, 0.02 / HOP_SECONDS), np.float32)


def _activity(levels: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    if not len(levels):
        return levels
    smooth = gaussian_filter1d(levels, 0.03 / HOP_SECONDS)
    loud = _rises(smooth - _threshold(levels), 0.0, 2.0)
    phrase = round(_PHRASE_SECONDS / HOP_SECONDS)
    weight = loud + 1e-3
    voiced = uniform_filter1d(weight * (pitch > _PITCHED), phrase) / uniform_filter1d(weight, phrase)
    # A fifth of running speech has a pitch in any language, the median is half; noise has none by this measure.
    likely = _rises(voiced, 0.15, 0.04) * _rises(_syllables(levels), 2.0, 0.4)
    likely *= _rises(uniform_filter1d(loud, phrase) * _PHRASE_SECONDS, _WORD_SECONDS, 0.02)
    gap = round(_PAUSE_SECONDS / HOP_SECONDS)
    joined = minimum_filter1d(maximum_filter1d(loud, gap, mode="constant"), gap, mode="nearest")
    return np.asarray(np.sqrt(likely) * np.maximum(loud, joined), np.float32)


def _syllables(levels: np.ndarray) -> np.ndarray:
    """Spread of the level at the pace of syllables, in decibels; speech has about 6, steady noise 1."""
    if len(levels) < 30:  # shorter than one slow swing: nothing can be said, nothing is held against it
        return np.full(len(levels), 3.0)
    band = butter(2, np.array(_SYLLABLES_HZ) * 2 * HOP_SECONDS, "band", output="sos")
    swings = sosfiltfilt(band, np.maximum(levels, levels.max() - 2 * _RANGE_DB), padlen=min(len(levels) - 1, 100))
    return np.asarray(np.sqrt(uniform_filter1d(swings ** 2, round(_PHRASE_SECONDS / HOP_SECONDS))))


def _threshold(levels: np.ndarray) -> np.ndarray:
    """Level above which sound counts: over the noise around, within a voice's range of the loudest, audible."""
    size = min(2 * len(levels) - 1, round(_NOISE_SECONDS / HOP_SECONDS))
    coarse = levels[::10]
    noise = np.repeat(percentile_filter(coarse, 10, size=max(1, size // 10), mode="reflect"), 10)[:len(levels)]
    loudest = np.repeat(maximum_filter1d(coarse, max(1, size // 10)), 10)[:len(levels)]
    # Without a pause the quietest tenth is speech itself: then the range of a voice bounds what noise can be.
    noise = np.minimum(noise + _ABOVE_NOISE_DB, loudest - _RANGE_DB / 2)
    return np.asarray(np.maximum(np.maximum(noise, loudest - _RANGE_DB), _AUDIBLE_DB))


def _rises(values: np.ndarray, middle: float, width: float) -> np.ndarray:
    """0 far below ``middle``, half there, 1 far above."""
    return np.asarray(1 / (1 + np.exp(-np.clip((values - middle) / width, -30, 30))))


def _analyse(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels (T,) and harmonicity (T,) from the same spectra."""
    if waveform.ndim != 1:
        raise ValueError(f"a waveform is (S,), found {waveform.shape}")
    parts = list(_blocks(waveform))
    if not parts:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    levels, pitch = (np.concatenate(column) for column in zip(*parts, strict=True))
    return levels, pitch


def _blocks(waveform: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    hann = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    hertz = np.fft.rfftfreq(2 * _WINDOW, 1 / SAMPLE_RATE_HZ)
    band = (hertz >= _BAND_HZ[0]) & (hertz < _BAND_HZ[1])
    # Above 1 kHz formants and hiss hide the pitch, below 60 Hz lies rumble.
    deep = (hertz >= 60) & (hertz < 1000)
    shortest, longest = (round(SAMPLE_RATE_HZ / hertz_) for hertz_ in _PITCH_HZ[::-1])
    own = np.fft.irfft(np.abs(np.fft.rfft(hann, 2 * _WINDOW)) ** 2)[:longest + 1]
    steps, lead = -(-len(waveform) // _HOP), (_WINDOW - _HOP) // 2
    for start in range(0, steps, _BLOCK_STEPS):
        stop = min(start + _BLOCK_STEPS, steps)
        first = start * _HOP - lead
        part = np.zeros((stop - start - 1) * _HOP + _WINDOW, np.float32)
        samples = waveform[max(0, first):first + len(part)]
        part[max(0, -first):][:len(samples)] = samples
        windows = np.lib.stride_tricks.sliding_window_view(part, _WINDOW)[::_HOP] * hann
        power = np.abs(np.fft.rfft(windows, 2 * _WINDOW)).astype(np.float32) ** 2
        full_scale = float((hann ** 2).sum()) * _WINDOW / 2  # of a sine, over the bins of the padded transform
        level = 10 * np.log10(np.maximum(power[:, band].sum(1) / full_scale, 10 ** (_FLOOR_DB / 10)))
        periods = np.fft.irfft(power * deep)[:, :longest + 1] / np.maximum(own, 1e-3 * own[0])
        peak = periods[:, shortest:].max(1) / np.maximum(periods[:, 0], 1e-9)
        yield level.astype(np.float32), np.clip(peak, 0, 1).astype(np.float32)
