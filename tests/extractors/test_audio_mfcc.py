"""MFCC are torchaudio's, with times and with their change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio

from pipeline.extractors.audio_mfcc import MEL, AudioMfcc
from pipeline.media import FeatureSequence, Media
from pipeline.sound.spectrogram import frame_times

WAVE = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)


def extract(waveform: np.ndarray = WAVE, **settings: object) -> FeatureSequence:
    return AudioMfcc(AudioMfcc.Config(**settings)).extract([Media("a", waveform=waveform)])[0]  # type: ignore[arg-type]


def test_coefficients_are_those_of_torchaudio_but_for_the_level() -> None:
    reference = torchaudio.transforms.MFCC(16_000, 13, melkwargs={
        "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40, "f_min": 20, "center": False})
    padded = torch.from_numpy(np.pad(WAVE, (56, 200)))  # the window lies in the middle of the transform
    expected = reference(padded).T.numpy()
    found = extract().values
    count = min(len(found), len(expected))
    np.testing.assert_allclose(found[:count, 1:], expected[:count, 1:], atol=0.01)
    offset = found[:count, 0] - expected[:count, 0]
    np.testing.assert_allclose(offset, offset.mean(), atol=0.01)


def test_only_the_first_tells_the_level() -> None:
    change = extract(WAVE * 10).values - extract().values
    np.testing.assert_allclose(change[:, 0], 20 * np.sqrt(MEL.bands), rtol=1e-4)
    np.testing.assert_allclose(change[:, 1:], 0, atol=1e-3)


@pytest.mark.parametrize(("deltas", "width"), [("none", 12), ("first", 24), ("second", 36)])
def test_changes_stand_behind_the_coefficients_and_are_named(deltas: str, width: int) -> None:
    extractor = AudioMfcc(AudioMfcc.Config(coefficients=12, deltas=deltas))  # type: ignore[arg-type]
    assert extractor.row_shape == (width,) == (len(set(extractor.columns)),)
    assert extractor.columns[-1] == "mfcc11" + {"none": "", "first": "_de", "second": "_de_de"}[deltas]
    np.testing.assert_array_equal(extract(coefficients=12, deltas=deltas).values[:, :12],
                                  extract(coefficients=12).values)


def test_the_change_is_the_slope_over_five_rows() -> None:
    values = extract(deltas="first").values
    middle = values[2:-2, 13:]
    rows = values[:, :13]
    slope = (2 * (rows[4:] - rows[:-4]) + rows[3:-1] - rows[1:-3]) / 10
    np.testing.assert_allclose(middle, slope, atol=1e-4)


def test_times_are_the_windows_and_end_with_the_sound() -> None:
    found = extract()
    np.testing.assert_allclose(found.times[:-1], frame_times(len(found.values), MEL)[:-1])
    assert found.times[-1, 1] == 1.0


def test_a_sound_of_48_samples_is_one_row_and_silence_is_finite() -> None:
    assert extract(np.ones(48, np.float32)).values.shape == (1, 13)
    assert np.isfinite(extract(np.zeros(4000, np.float32), deltas="second").values).all()


def test_more_coefficients_than_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 and at most 40, found 41"):
        AudioMfcc.Config(coefficients=41)
