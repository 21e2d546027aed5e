"""Resonances of vowels that were made with them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.sound.formants import formants
from pipeline.sound.framing import num_windows
from tests.voices import hiss, vowel

VOWELS = {"a": (730, 1090, 2440), "i": (270, 2290, 3010), "u": (300, 870, 2240)}  # Peterson and Barney, JASA 24, 1952


@pytest.mark.parametrize("name", VOWELS)
def test_a_vowel_has_the_resonances_it_was_made_with(name: str) -> None:
    wave = vowel(100, (*VOWELS[name], 3500, 4500))
    hertz, widths = formants(wave, np.ones(num_windows(len(wave)), bool))
    np.testing.assert_allclose(np.nanmedian(hertz[10:-10], 0), VOWELS[name], rtol=0.08)
    assert (np.nanmedian(widths[10:-10], 0) < 350).all()


def test_steps_that_were_not_chosen_are_unknown() -> None:
    wave = vowel(100, VOWELS["a"])
    chosen = np.zeros(num_windows(len(wave)), bool)
    chosen[[3, 50]] = True
    hertz, widths = formants(wave, chosen)
    assert np.isnan(hertz[~chosen]).all() and np.isnan(widths[~chosen]).all() and np.isfinite(hertz[chosen]).all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = vowel(100, VOWELS["a"], seconds=0.4)
    chosen = np.arange(num_windows(len(wave))) % 3 > 0
    whole = formants(wave, chosen)
    for module in ("framing", "formants"):
        monkeypatch.setattr(f"pipeline.sound.{module}.BLOCK_WINDOWS", 7)
    for expected, found in zip(whole, formants(wave, chosen), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_silence_and_hiss_give_no_errors() -> None:
    for wave in (np.zeros(800, np.float32), hiss(seconds=0.2), hiss(seconds=0.001)):
        hertz, widths = formants(wave, np.ones(num_windows(len(wave)), bool))
        assert (np.isnan(hertz) == np.isnan(widths)).all() and not (widths > 700).any(), "wide poles are no resonances"


def test_steps_must_be_those_of_the_waveform() -> None:
    with pytest.raises(ValueError, match="50 steps expected, found 49"):
        formants(np.zeros(8_000, np.float32), np.ones(49, bool))
