"""Descriptors of sounds that are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from pipeline.sound.descriptors import (BANDS, MELS, MFCCS, MODULATIONS, SPECTRAL, VOICED, Descriptors, describe,
                                        modulations)
from tests.voices import hiss, vowel

INSIDE = slice(10, -10)
VOICE = vowel(150, (700, 1200, 2600, 3500, 4500))


def sine(hertz: float, *, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000)).astype(np.float32)


def inside(wave: np.ndarray, name: str) -> float:
    """Median of a column where the windows hold the sound alone."""
    return float(np.median(describe(wave).columns[name][INSIDE]))


def test_all_columns_are_there_and_finite() -> None:
    for wave in (VOICE, hiss(), np.zeros(1_600, np.float32), np.ones(1, np.float32), VOICE[:0]):
        found = describe(wave)
        assert set(found.columns) == {*VOICED, *SPECTRAL, *MFCCS, *MELS}
        stacked = found.stack((*VOICED, *SPECTRAL, *MFCCS, *MELS))
        assert stacked.dtype == np.float32 and np.isfinite(stacked).all() and len(stacked) == len(found.voiced)


def test_level_is_relative_to_a_sine_of_full_scale() -> None:
    assert inside(sine(1000, amplitude=1.0), "level") == pytest.approx(0, abs=0.1)
    assert inside(sine(1000, amplitude=0.1), "level") == pytest.approx(-20, abs=0.1)


def test_loudness_grows_with_the_cube_root_of_power_and_the_rest_does_not_ask_for_the_gain() -> None:
    wave = VOICE + hiss(level=0.01)  # no bin is so weak that the floor holds it
    quiet, loud = describe(wave / 4), describe(wave)
    np.testing.assert_allclose(loud.columns["loudness"] / quiet.columns["loudness"], 16 ** (1 / 3), rtol=0.01)
    np.testing.assert_allclose(loud.columns["level"] - quiet.columns["level"], 12.04, atol=0.05)
    assert (loud.voiced == quiet.voiced).all()
    for name in (*VOICED, "alphaRatio", "hammarbergIndex", "slope500-1500", "centroid", "entropy", "mfcc1", "melRel3"):
        np.testing.assert_allclose(loud.columns[name][INSIDE], quiet.columns[name][INSIDE], rtol=0.02, atol=0.02,
                                   err_msg=name)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 4000.0])
def test_a_tone_has_its_frequency_as_centroid_and_roll_off(hertz: float) -> None:
    for name in ("centroid", "rollOff50", "rollOff90"):
        assert inside(sine(hertz), name) == pytest.approx(hertz, abs=35), name
    assert inside(sine(hertz), "zcr") == pytest.approx(2 * hertz / 16_000, rel=0.05)
    assert inside(sine(hertz), "entropy") < 0.3 < inside(hiss(), "entropy")


def test_centroid_agrees_with_scipys_spectrum() -> None:
    wave = np.asarray(scipy.signal.lfilter([1], [1, -0.9], hiss(seconds=4)), np.float32)
    hertz, power = scipy.signal.welch(wave, 16_000, nperseg=512)
    assert inside(wave, "centroid") == pytest.approx(float(power @ hertz / power.sum()), rel=0.1)


def test_balances_are_those_of_two_tones() -> None:
    wave = sine(500, amplitude=0.4) + sine(3000, amplitude=0.04)
    assert inside(wave, "alphaRatio") == pytest.approx(-20, abs=0.2)
    assert inside(wave, "hammarbergIndex") == pytest.approx(20, abs=0.5)


def test_the_slope_of_noise_that_falls_by_a_known_amount() -> None:
    hertz = np.fft.rfftfreq(64_000, 1 / 16_000)
    wave = np.fft.irfft(np.fft.rfft(hiss(seconds=4)) * 10 ** (-10 * hertz / 1000 / 20)).astype(np.float32)
    assert inside(wave, "slope500-1500") == pytest.approx(-10, abs=1.5)
    assert inside(wave, "slope0-500") == pytest.approx(-10, abs=6)


def test_the_first_two_harmonics_differ_as_they_were_made() -> None:
    wave = sine(200, amplitude=0.4) + sine(400, amplitude=0.2) + sine(600, amplitude=0.1)
    assert inside(wave, "logRelF0-H1-H2") == pytest.approx(6.02, abs=0.5)
    assert inside(wave, "F0semitoneFrom27.5Hz") == pytest.approx(12 * np.log2(200 / 27.5), abs=0.1)


def test_resonances_are_the_vowels() -> None:
    found = [inside(VOICE, f"F{number}frequency") for number in (1, 2, 3)]
    np.testing.assert_allclose(found, (700, 1200, 2600), rtol=0.08)


def test_the_utterance_leaves_silence_out() -> None:
    wave = np.concatenate([hiss(level=1e-5), VOICE, hiss(level=1e-5)])
    found = np.flatnonzero(describe(wave).utterance)
    assert found[[0, -1]].tolist() == pytest.approx([100, 199], abs=2)


def test_a_swing_of_the_level_is_found_at_its_pace() -> None:
    steps = np.arange(400) / 100
    for place, hertz in enumerate((3, 6, 12)):
        swing = np.repeat(5 * np.sin(2 * np.pi * hertz * steps)[:, None], BANDS, 1)
        found = modulations(swing).reshape(3, 8)
        assert (found.argmax(0) == place).all() and found.ravel().shape == (len(MODULATIONS),)
        assert (found[place] > 4 * np.delete(found, place, 0)).all()


def test_parts_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="all parts of descriptors have one length"):
        Descriptors({"level": np.zeros(3)}, np.zeros(3, bool), np.zeros(2, bool), np.zeros((3, BANDS)))
