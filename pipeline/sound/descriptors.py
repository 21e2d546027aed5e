"""What a voice sounds like, step by step: loudness, pitch, resonances and the shape of the spectrum.

Descriptors and their names follow eGeMAPS (Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for
Voice Research and Affective Computing", IEEE Transactions on Affective Computing 7, 2016) where it has them. They are
computed here from their definitions: they come close to those of openSMILE and are not equal to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
import torchaudio

from pipeline.media import SAMPLE_RATE_HZ
from pipeline.sound.formants import NUM_FORMANTS, formants
from pipeline.sound.framing import HOP_SECONDS, windows
from pipeline.sound.prosody import Prosody, prosody

SILENCE = 1e-5                     # amplitude; half a step of 16 bits is more
NUM_MFCC = 14
BANDS = 26
MODULATION_HZ = ((2.0, 4.0), (4.0, 8.0), (8.0, 16.0))
_WINDOW = 512                      # 32 ms
_FFT = 1024
_HERTZ = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE_HZ)
_FLOOR_DB = -100.0
_RANGE_DB = 40.0                   # from the loudest step down to what still belongs to the utterance
_SEMITONE_ZERO_HZ = 27.5           # A0, the lowest key of a piano
_GROUPS = 8                        # of mel bands whose modulation is looked at

VOICED = ("F0semitoneFrom27.5Hz", "jitterLocal", "shimmerLocaldB", "HNRdBACF", "logRelF0-H1-H2", "logRelF0-H1-A3",
          *(f"F{number}{part}" for number in range(1, NUM_FORMANTS + 1)
            for part in ("frequency", "bandwidth", "amplitudeLogRelF0")))
SPECTRAL = ("loudness", "level", "zcr", "spectralFlux", "alphaRatio", "hammarbergIndex", "slope0-500", "slope500-1500",
            "centroid", "spread", "skewness", "kurtosis", "entropy", "rollOff25", "rollOff50", "rollOff75", "rollOff90",
            "sharpness", "harmonicity")
MFCCS = tuple(f"mfcc{number}" for number in range(1, NUM_MFCC + 1))
MELS = tuple(f"melRel{number}" for number in range(1, BANDS + 1))
MODULATIONS = tuple(f"modulation{low:g}-{high:g}Hz_mel{group}" for low, high in MODULATION_HZ
                    for group in range(1, _GROUPS + 1))


@dataclass(frozen=True)
class Descriptors:
    """Descriptors of a clip on the grid of :mod:`pipeline.sound.framing`.

    Args:
        columns: float32 (T,) by name: ``VOICED``, ``SPECTRAL``, ``MFCCS`` and ``MELS``. Those of ``VOICED`` are bridged
            by straight lines where there is no voice, so that their change can be taken.
        voiced: where there is a pitch, bool (T,).
        utterance: from the first to the last step that is within 40 dB of the loudest, bool (T,).
        bands_db: level of the mel bands, float32 (T, 26).

    Raises:
        ValueError: parts that are not of one length.
    """

    columns: Mapping[str, np.ndarray]
    voiced: np.ndarray
    utterance: np.ndarray
    bands_db: np.ndarray

    def __post_init__(self) -> None:
        lengths = {len(part) for part in (*self.columns.values(), self.voiced, self.utterance, self.bands_db)}
        if len(lengths) != 1:
            raise ValueError(f"all parts of descriptors have one length, found {sorted(lengths)}")

    def stack(self, names: tuple[str, ...]) -> np.ndarray:
        """Some columns side by side, float32 (T, C)."""
        return np.stack([self.columns[name] for name in names], axis=1)


def describe(waveform: np.ndarray) -> Descriptors:
    """Describe a waveform, float32 mono (S,) in [-1, 1] at 16 kHz; all values are finite.

    Raises:
        ValueError: ``waveform`` is not one-dimensional.
    """
    voice = prosody(waveform)
    parts = [_spectral(block) for block in windows(waveform, _WINDOW)]
    if not parts:
        nothing = np.zeros(0, np.float32)
        return Descriptors(dict.fromkeys((*VOICED, *SPECTRAL, *MFCCS, *MELS), nothing), nothing > 0, nothing > 0,
                           np.zeros((0, BANDS), np.float32))
    spectral, bands_db, power_db = (np.concatenate(column) for column in zip(*parts, strict=True))
    columns = dict(zip(SPECTRAL[:-1], spectral.T, strict=True))
    columns["spectralFlux"] = _flux(bands_db)
    columns["harmonicity"] = voice.hnr_db
    columns |= zip(MFCCS, scipy.fft.dct(bands_db, axis=1, norm="ortho").T[1:NUM_MFCC + 1], strict=True)
    columns |= zip(MELS, (bands_db - bands_db.mean(1, keepdims=True)).T, strict=True)
    columns |= _voiced(waveform, voice, power_db)
    near = np.flatnonzero(columns["level"] >= columns["level"].max() - _RANGE_DB)
    steps = np.arange(len(bands_db))
    return Descriptors({name: np.asarray(column, np.float32) for name, column in columns.items()}, voice.voiced,
                       (steps >= near[0]) & (steps <= near[-1]), bands_db)


def modulations(bands_db: np.ndarray) -> np.ndarray:
    """How much the level of eight groups of mel bands swings at 2–4, 4–8 and 8–16 Hz, in decibels, float32 (24,).

    Syllables swing at 2–8 Hz; a trembling voice and hasty speech swing faster (Wu, Falk and Chan, "Automatic speech
    emotion recognition using modulation spectral features", Speech Communication 53, 2011).

    Args:
        bands_db: levels (T, 26) at steps of 10 ms, T at least 1.
    """
    groups = np.stack([part.mean(1) for part in np.array_split(bands_db, _GROUPS, axis=1)], axis=1)
    swings = scipy.fft.rfft((groups - groups.mean(0)) * np.hanning(len(groups) + 2)[1:-1, None], axis=0)
    hertz = scipy.fft.rfftfreq(len(groups), HOP_SECONDS)
    power = 2 * np.abs(swings) ** 2 / max(len(groups) / 2, 1) ** 2
    return np.concatenate([np.sqrt(power[(hertz >= low) & (hertz < high)].sum(0))
                           for low, high in MODULATION_HZ]).astype(np.float32)


def _spectral(block: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The columns of ``SPECTRAL`` but the last (T, 18), mel bands (T, 26) and bins (T, 513) in dB."""
    hann = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    spectrum = scipy.fft.rfft(block * hann, _FFT, axis=1)
    power = (spectrum.real ** 2 + spectrum.imag ** 2) / np.float32((hann.sum() / 2) ** 2)
    power_db = 10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10)))
    bands = np.maximum(power @ _mel_filter(), 10 ** (_FLOOR_DB / 10))
    heard = np.cbrt(bands)  # loudness grows about with the cube root of power (Hermansky, JASA 87, 1990)
    loudness = heard.sum(1)
    level = 10 * np.log10(np.maximum((block ** 2).mean(1) * 2, 10 ** (_FLOOR_DB / 10)))
    crossings = (np.diff(np.signbit(block), axis=1)).mean(1)
    sharpness = heard @ np.arange(1, BANDS + 1) / loudness
    columns = [loudness, level, crossings, np.zeros(len(block)),  # the flux needs the whole clip and comes later
               *_balance(power, power_db), *_moments(power), sharpness]
    return (np.stack(columns, 1).astype(np.float32), (10 * np.log10(bands)).astype(np.float32),
            power_db.astype(np.float32))


def _balance(power: np.ndarray, power_db: np.ndarray) -> list[np.ndarray]:
    """Alpha ratio, Hammarberg index, and slopes over 0–500 and 500–1500 Hz (dB per kHz), each (T,)."""
    low, high = (_HERTZ >= 50) & (_HERTZ < 1000), (_HERTZ >= 1000) & (_HERTZ < 5000)
    least = 10 ** (_FLOOR_DB / 10)
    alpha = 10 * np.log10(np.maximum(power[:, high].sum(1), least) / np.maximum(power[:, low].sum(1), least))
    hammarberg = power_db[:, _HERTZ < 2000].max(1) - power_db[:, (_HERTZ >= 2000) & (_HERTZ < 5000)].max(1)
    slopes = []
    for start, stop in ((0, 500), (500, 1500)):
        part = (_HERTZ >= start) & (_HERTZ <= stop)
        kilohertz = _HERTZ[part] / 1000
        kilohertz = kilohertz - kilohertz.mean()
        slopes.append(power_db[:, part] @ (kilohertz / (kilohertz ** 2).sum()))
    return [alpha, hammarberg, *slopes]


def _moments(power: np.ndarray) -> list[np.ndarray]:
    """Centroid and spread in Hz, skewness, kurtosis, entropy (0 to 1) and four roll-offs in Hz, each (T,)."""
    share = power + 1e-12  # silence is even over all frequencies
    share = share / share.sum(1, keepdims=True)
    centroid = share @ _HERTZ
    away = _HERTZ - centroid[:, None]
    spread = np.sqrt(np.einsum("ij,ij->i", share, away ** 2))
    scaled = away / np.maximum(spread, 1)[:, None]
    skewness, kurtosis = (np.einsum("ij,ij->i", share, scaled ** order) for order in (3, 4))
    entropy = -np.einsum("ij,ij->i", share, np.log(share)) / np.log(len(_HERTZ))
    heaped = share.cumsum(1)
    rolls = [_HERTZ[np.minimum((heaped < part).sum(1), len(_HERTZ) - 1)] for part in (0.25, 0.5, 0.75, 0.9)]
    return [centroid, spread, skewness, kurtosis, entropy, *rolls]


def _flux(bands_db: np.ndarray) -> np.ndarray:
    """Root mean square change of the band levels from the step before, in dB, whatever the gain, (T,)."""
    return np.asarray(np.sqrt((np.diff(bands_db, axis=0, prepend=bands_db[:1]) ** 2).mean(1)))


def _voiced(waveform: np.ndarray, voice: Prosody, power_db: np.ndarray) -> dict[str, np.ndarray]:
    hertz, widths = formants(waveform, voice.voiced)
    first = _harmonic(power_db, voice.f0_hz, np.ones(len(voice.f0_hz)))
    second = _harmonic(power_db, voice.f0_hz, np.full(len(voice.f0_hz), 2.0))
    nearest = np.maximum(np.round(np.nan_to_num(hertz) / np.maximum(voice.f0_hz, 1)[:, None]), 1)
    amplitudes = [_harmonic(power_db, voice.f0_hz, nearest[:, number]) - first for number in range(NUM_FORMANTS)]
    amplitudes = [np.where(np.isnan(hertz[:, number]), np.nan, part) for number, part in enumerate(amplitudes)]
    columns = [12 * np.log2(np.maximum(voice.f0_hz, _SEMITONE_ZERO_HZ) / _SEMITONE_ZERO_HZ), voice.jitter,
               20 * np.log10(1 + voice.shimmer), voice.hnr_db, first - second, -amplitudes[-1]]
    for number in range(NUM_FORMANTS):
        columns += [hertz[:, number], widths[:, number], amplitudes[number]]
    return {name: _bridged(column, voice.voiced) for name, column in zip(VOICED, columns, strict=True)}


def _harmonic(power_db: np.ndarray, f0_hz: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Level of a harmonic by its number (T,): the greatest of the bin where it lies and its neighbours."""
    place = np.round(f0_hz * number / (SAMPLE_RATE_HZ / _FFT)).astype(int)
    near = np.clip(place[:, None] + np.arange(-1, 2), 0, power_db.shape[1] - 1)
    return np.asarray(np.take_along_axis(power_db, near, 1).max(1))


def _bridged(values: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """Values where there is a voice and they are known, straight lines between; zeros where there are none at all."""
    known = np.flatnonzero(voiced & np.isfinite(values))
    if not len(known):
        return np.zeros(len(values), np.float32)
    return np.asarray(np.interp(np.arange(len(values)), known, values[known]), np.float32)


@lru_cache(maxsize=1)
def _mel_filter() -> np.ndarray:
    return np.asarray(torchaudio.functional.melscale_fbanks(_FFT // 2 + 1, 20.0, 8000.0, BANDS, SAMPLE_RATE_HZ).numpy())
