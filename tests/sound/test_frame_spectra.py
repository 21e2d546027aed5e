"""Four spectra a frame: placed to the sample at any rate, and the cepstra of python_speech_features."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.media import SAMPLE_RATE_HZ
from pipeline.sound.frame_spectra import cepstra, fft_size, mel_levels, window_samples, window_starts
from pipeline.sound.spectrogram import log_mel

RATES = (12.0, 23.976, 25.0, 29.97, 30.0, 60.0)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.3, 0.3, round(seconds * SAMPLE_RATE_HZ)).astype(np.float32)


def reference(sound: np.ndarray) -> np.ndarray:
    """``python_speech_features.mfcc(signal, 16000)``, window by window and filter by filter, as its manual says."""
    signal = (sound * 32768).astype(np.float64)
    signal = np.append(signal[0], signal[1:] - 0.97 * signal[:-1])

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    points = [700 * (10 ** (mel(8000) * place / 27 / 2595) - 1) for place in range(28)]
    bins = [math.floor(513 * point / 16000) for point in points]
    rows = []
    for start in range(0, len(signal) - 399, 160):
        power = np.abs(np.fft.rfft(signal[start:start + 400], 512)) ** 2 / 512
        bands = []
        for low, middle, high in zip(bins, bins[1:], bins[2:]):
            total = sum(power[place] * (place - low) / (middle - low) for place in range(low, middle))
            total += sum(power[place] * (high - place) / (high - middle) for place in range(middle, high))
            bands.append(math.log(total))
        row = [math.sqrt((1 if order == 0 else 2) / 26) * (1 + 11 * math.sin(math.pi * order / 22)) * sum(
            band * math.cos(math.pi * order * (2 * place + 1) / 52) for place, band in enumerate(bands))
            for order in range(13)]
        rows.append([math.log(power.sum()), *row[1:]])
    return np.array(rows)


def test_cepstra_are_those_of_python_speech_features() -> None:
    sound = noise(0.4)
    found = cepstra(sound, window_starts(np.arange(10) / 25, 25.0), window_samples(25.0))
    expected = reference(sound)
    assert found.shape == (40, 13) and len(expected) == 38
    np.testing.assert_allclose(found[:38], expected, atol=1e-4)


def test_a_window_past_the_end_is_moved_back_to_it() -> None:
    sound = noise(0.4)
    found = cepstra(sound, window_starts(np.arange(12) / 25, 25.0), 400)
    last = cepstra(sound, np.array([len(sound) - 400]), 400)
    np.testing.assert_array_equal(found[38:], np.repeat(last, 10, axis=0))


@pytest.mark.parametrize("rate_hz", RATES)
def test_there_are_four_windows_a_frame_and_none_drifts(rate_hz: float) -> None:
    times = np.arange(5000) / rate_hz
    starts = window_starts(times, rate_hz)
    assert len(starts) == 4 * 5000 and (np.diff(starts) > 0).all()
    assert np.abs(starts[::4] - times * SAMPLE_RATE_HZ).max() <= 0.5
    assert window_samples(rate_hz) == pytest.approx(0.025 * 25 / rate_hz * SAMPLE_RATE_HZ, abs=0.5)


@pytest.mark.parametrize("spectra", [cepstra, mel_levels])
@pytest.mark.parametrize("rate_hz", RATES)
def test_a_click_is_heard_in_the_frame_in_which_it_is_made(spectra: object, rate_hz: float) -> None:
    sound = np.full(round(6 * SAMPLE_RATE_HZ), 1e-3, np.float32)
    frame = int(5 * rate_hz)
    at = round((frame + 0.5) / rate_hz * SAMPLE_RATE_HZ)
    sound[at:at + 50] = np.resize([0.5, -0.5], 50)
    starts = window_starts(np.arange(int(6 * rate_hz)) / rate_hz, rate_hz)
    rows = spectra(sound, starts, window_samples(rate_hz))  # type: ignore[operator]
    loud = rows[:, 0] if spectra is cepstra else rows.mean(1)
    assert loud.argmax() // 4 == frame


def test_mel_levels_are_those_of_the_spectrogram_where_hops_are_whole() -> None:
    sound = noise(1.0)
    starts = window_starts(np.arange(24) / 25, 25.0)
    whole = log_mel(np.pad(sound, (0, 400)))[:len(starts)]
    found = mel_levels(sound, starts, 400)
    np.testing.assert_allclose(found[1:], whole[1:], atol=0.05)


def test_silence_and_sound_shorter_than_a_window_give_finite_rows() -> None:
    for spectra in (cepstra, mel_levels):
        for sound in (np.zeros(1600, np.float32), noise(0.4)[:7]):
            assert np.isfinite(spectra(sound, np.arange(4) * 160, 400)).all()


def test_long_sound_is_worked_on_in_blocks_without_a_seam() -> None:
    sound, starts = noise(60.0), window_starts(np.arange(1400) / 25, 25.0)
    for spectra in (cepstra, mel_levels):
        whole = spectra(sound, starts, 400)
        np.testing.assert_array_equal(whole[4090:4110], spectra(sound, starts[4090:4110], 400))


def test_the_sound_is_left_as_it_was() -> None:
    sound = noise(0.1)
    before = sound.copy()
    cepstra(sound, np.array([0]), 400)
    mel_levels(sound, np.array([0]), 400)
    np.testing.assert_array_equal(sound, before)


def test_a_spectrum_holds_its_window() -> None:
    assert [fft_size(window) for window in (400, 512, 513, 833)] == [512, 512, 1024, 1024]
