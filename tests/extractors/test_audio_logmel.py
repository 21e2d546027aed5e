"""The log-mel feature is the spectrogram, with times."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.extractors.audio_logmel import PRESETS, AudioLogmel
from pipeline.media import Media
from pipeline.sound.spectrogram import frame_times, log_mel


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_rows_are_the_spectrogram_and_times_are_its_windows(preset: str) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    found, = AudioLogmel(AudioLogmel.Config(preset=preset)).extract([Media("a", waveform=wave, duration_seconds=1.25)])
    np.testing.assert_array_equal(found.values, log_mel(wave, PRESETS[preset]))
    expected = frame_times(len(found.values), PRESETS[preset])
    np.testing.assert_allclose(found.times[:-1], expected[:-1])
    assert found.times[-1].tolist() == [expected[-1, 0], np.float32(min(1.25, expected[-1, 1]))]


def test_a_sound_of_48_samples_is_one_row_that_ends_with_it() -> None:
    found, = AudioLogmel().extract([Media("a", waveform=np.ones(48, np.float32), duration_seconds=0.003)])
    assert found.times.tolist() == [[0, np.float32(0.003)]]


def test_loudness_is_kept() -> None:
    wave = np.random.default_rng(0).normal(0, 0.01, 16_000).astype(np.float32)
    quiet, loud = (AudioLogmel().extract([Media("a", waveform=wave * gain)])[0].values for gain in (1, 10))
    np.testing.assert_allclose(loud - quiet, 20, atol=0.01)
