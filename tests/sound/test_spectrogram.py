"""Log-mel spectrograms on signals with a known answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pipeline.media import SAMPLE_RATE_HZ
from pipeline.sound.spectrogram import MelSettings, frame_times, log_mel, num_frames

SPEECH = MelSettings()
LONG = MelSettings(window_seconds=0.064, hop_seconds=0.032, low_hz=0.0)


def tone(hertz: float, seconds: float = 1.0, amplitude: float = 1.0) -> np.ndarray:
    times = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (amplitude * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def band_of(hertz: float, settings: MelSettings) -> int:
    """Band whose middle is nearest, by the HTK formula of the mel scale."""
    low, high, wanted = (2595 * np.log10(1 + f / 700) for f in (settings.low_hz, settings.high_hz, hertz))
    return int(np.argmin(np.abs(np.linspace(low, high, settings.bands + 2)[1:-1] - wanted)))


@pytest.mark.parametrize("settings", [SPEECH, LONG])
@pytest.mark.parametrize("hertz", [250.0, 1000.0, 4000.0])
def test_a_tone_peaks_in_its_band_near_full_scale(settings: MelSettings, hertz: float) -> None:
    levels = log_mel(tone(hertz), settings)[1:-1]
    assert (np.abs(levels.argmax(1) - band_of(hertz, settings)) <= 1).all()
    assert levels.max(1).min() > -6 and levels.max() < 3


def test_a_tone_of_half_the_amplitude_is_six_decibels_lower() -> None:
    difference = log_mel(tone(1000)) - log_mel(tone(1000, amplitude=0.5))
    assert difference[5, band_of(1000, SPEECH)] == pytest.approx(6.02, abs=0.01)


def test_silence_is_the_floor() -> None:
    assert (log_mel(np.zeros(4000, np.float32)) == SPEECH.floor_db).all()


def test_no_samples_give_no_windows() -> None:
    assert log_mel(np.zeros(0, np.float32)).shape == (0, SPEECH.bands)


@pytest.mark.parametrize("num_samples", [1, 48, 399, 400])
def test_a_sound_of_at_most_one_window_gives_one(num_samples: int) -> None:
    levels = log_mel(np.ones(num_samples, np.float32))
    assert levels.shape == (1, SPEECH.bands) and np.isfinite(levels).all()


@pytest.mark.parametrize("num_samples", [401, 559, 560, 561, 16_000])
def test_every_sample_is_in_some_window_and_no_window_is_empty(num_samples: int) -> None:
    times = frame_times(num_frames(num_samples, SPEECH), SPEECH) * SAMPLE_RATE_HZ
    assert len(log_mel(np.zeros(num_samples, np.float32))) == len(times)
    assert times[-1, 1] >= num_samples > times[-1, 0]


def test_a_click_is_seen_in_the_windows_whose_times_hold_it() -> None:
    waveform = np.zeros(SAMPLE_RATE_HZ, np.float32)
    waveform[8040] = 1
    loud = log_mel(waveform).max(1) > SPEECH.floor_db
    start, stop = frame_times(len(loud), SPEECH).T * SAMPLE_RATE_HZ
    assert np.flatnonzero(loud).tolist() == np.flatnonzero((start <= 8040) & (8040 < stop)).tolist() == [48, 49, 50]


@pytest.mark.parametrize(("settings", "points"), [(SPEECH, 512), (LONG, 1024)])
def test_a_transform_is_as_long_as_a_window_whatever_the_clip_is(settings: MelSettings, points: int,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip of twelve seconds in one transform of 190,000 points would have no time in it."""
    transforms, whole = [], torch.stft

    def watched(*arguments: Any, **options: Any) -> Any:
        transforms.append(options.get("n_fft", arguments[1] if len(arguments) > 1 else None))
        return whole(*arguments, **options)
    monkeypatch.setattr(torch, "stft", watched)
    assert len(log_mel(tone(440, 12), settings)) == num_frames(12 * SAMPLE_RATE_HZ, settings) > 300
    assert set(transforms) == {points}


def test_times_of_windows() -> None:
    np.testing.assert_allclose(frame_times(2, SPEECH), [[0, 0.025], [0.01, 0.035]])
    assert frame_times(0, SPEECH).shape == (0, 2) and frame_times(1, SPEECH).dtype == np.float32


def test_a_spectrogram_leaves_its_input_as_it_was() -> None:
    waveform = tone(440, 0.1)
    before = waveform.copy()
    log_mel(waveform)
    np.testing.assert_array_equal(waveform, before)


def test_misuse_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"a waveform is \(S,\), found \(2, 100\)"):
        log_mel(np.zeros((2, 100), np.float32))
    for wrong in ({"hop_seconds": 0.0}, {"hop_seconds": 0.1}, {"window_seconds": 0.0, "hop_seconds": 0.0}):
        with pytest.raises(ValueError, match="the hop is at least one sample and at most the window"):
            MelSettings(**wrong)
    with pytest.raises(ValueError, match="the bands lie within 0–8000 Hz, found 50.0–9000"):
        MelSettings(high_hz=9000)
    with pytest.raises(ValueError, match="bands are at least 1, found 0"):
        MelSettings(bands=0)
