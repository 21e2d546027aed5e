"""Windows of samples: each lies about the middle of its frame, whatever rate and length."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.extractors.audio_windows import AudioWindows
from pipeline.media import FeatureSequence, Media


def extract(wave: np.ndarray, **settings: float) -> FeatureSequence:
    return AudioWindows(AudioWindows.Config(**settings)).extract([Media("a", waveform=wave.astype(np.float32))])[0]


def test_a_click_stands_in_the_middle_of_the_row_of_its_frame() -> None:
    wave = np.zeros(32_000)
    wave[round(7.5 / 25 * 16_000)] = 1.0  # the middle of frame 7 at 25 a second
    found = extract(wave, rate_hz=25.0, window_seconds=.03)
    assert found.values.shape == (50, 480) and np.argwhere(found.values).tolist() == [[7, 240]]
    np.testing.assert_allclose(found.times[7], [.285, .315], atol=1e-6)


@pytest.mark.parametrize("window", [.066, .1])
@pytest.mark.parametrize("rate", [15.0, 30000 / 1001])
def test_rows_are_the_samples_about_each_frame(rate: float, window: float) -> None:
    wave = np.arange(1, 20_001) / 20_001
    found = extract(wave, rate_hz=rate, window_seconds=window)
    size = round(window * 16_000)
    assert found.values.shape == (int(np.ceil(1.25 * rate)), size)
    for row, values in enumerate(found.values):
        start = round((row + .5) / rate * 16_000) - size // 2
        expected = np.array([wave[place] if 0 <= place < len(wave) else 0 for place in range(start, start + size)])
        np.testing.assert_array_equal(values, expected.astype(np.float32))


def test_windows_of_one_frame_hold_nearly_every_sample_once() -> None:
    found = extract(np.arange(1, 16_001) / 16_001)
    there = np.unique(found.values[found.values > 0])
    assert found.values.shape == (15, 1056) and .98 < len(there) / 16_000 <= 1
    assert np.count_nonzero(found.values) == len(there), "none twice"


@pytest.mark.parametrize("num_samples, num_rows", [(0, 0), (1, 1), (1066, 1), (1067, 2), (16_000, 15), (16_010, 16)])
def test_there_is_a_row_for_every_frame_that_begins(num_samples: int, num_rows: int) -> None:
    found = extract(np.full(num_samples, .5))
    assert len(found.values) == num_rows
    assert (found.times <= num_samples / 16_000 + 1e-6).all() and (found.times[:, 0] < found.times[:, 1]).all()


@pytest.mark.parametrize("settings, words", [
    ({"window_seconds": 0.0}, "window_seconds is 0.001 to 10, found 0.0"),
    ({"window_seconds": 11.0}, "window_seconds is 0.001"), ({"rate_hz": 0.0}, "rate_hz is 0.1 to 1000, found 0.0"),
    ({"rate_hz": float("nan")}, "rate_hz is 0.1")])
def test_settings_out_of_range_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AudioWindows.Config(**settings)
