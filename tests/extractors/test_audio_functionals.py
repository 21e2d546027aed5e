"""Statistics of a voice have eGeMAPS' names, are finite, and are about the utterance or the window."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.extractors.audio_functionals import AudioFunctionals, windows_on_grid
from pipeline.media import FeatureSequence, Media
from tests.voices import hiss, pulses, vowel

VOICE = vowel(150, (700, 1200, 2600, 3500, 4500))
SETS = "egemaps_like", "large"


def extract(wave: np.ndarray, **settings: object) -> FeatureSequence:
    extractor = AudioFunctionals(AudioFunctionals.Config(**settings))  # type: ignore[arg-type]
    return extractor.extract([Media("a", waveform=wave, duration_seconds=len(wave) / 16_000)])[0]


def named(wave: np.ndarray, **settings: object) -> dict[str, float]:
    config = AudioFunctionals.Config(**settings)  # type: ignore[arg-type]
    return dict(zip(AudioFunctionals(config).columns, extract(wave, **settings).values[0].tolist(), strict=True))


@pytest.mark.parametrize("chosen", SETS)
def test_names_are_unique_and_as_many_as_the_width(chosen: str) -> None:
    columns = AudioFunctionals(AudioFunctionals.Config(set=chosen)).columns  # type: ignore[arg-type]
    assert len(set(columns)) == len(columns) == extract(VOICE, set=chosen).values.shape[1]
    assert {"F0semitoneFrom27.5Hz_amean", "loudness_percentile80.0", "mfcc4_amean", "HNRdBACF_amean",
            "slopeV500-1500_amean", "alphaRatioUV_amean", "logRelF0-H1-H2_amean"} <= set(columns)
    assert len(columns) == {"egemaps_like": 88, "large": 1686}[chosen]


@pytest.mark.parametrize("chosen", SETS)
def test_a_voice_has_its_own_figures(chosen: str) -> None:
    found = named(VOICE, set=chosen)
    assert found["F0semitoneFrom27.5Hz_amean"] == pytest.approx(12 * np.log2(150 / 27.5), abs=0.1)
    assert found["F1frequency_amean"] == pytest.approx(700, rel=0.08)
    assert found["VoicedSegmentsPerSec"] == pytest.approx(1, abs=0.05)
    assert found["jitterLocal_amean"] < 0.01 and found["HNRdBACF_amean"] > 20
    assert named(pulses(100, jitter=0.04), set=chosen)["jitterLocal_amean"] == pytest.approx(0.04, abs=0.006)


@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("per", ["clip", "window"])
def test_no_sound_is_no_rows_and_any_other_is_finite(chosen: str, per: str) -> None:
    for silent in (VOICE[:0], np.zeros(16_000, np.float32), np.full(16_000, 5e-6, np.float32)):
        assert len(extract(silent, set=chosen, per=per).values) == 0
    for wave in (VOICE[2_000:2_001], VOICE[2_000:2_100], VOICE[:700], hiss(), np.ones(4_000, np.float32),
                 np.concatenate([np.zeros(16_000, np.float32), VOICE[:1_000]])):
        found = extract(wave, set=chosen, per=per)  # a sequence refuses what is not finite
        assert len(found.values) and (found.times[:, 1] > found.times[:, 0]).all()


def test_pitch_is_nought_where_nobody_speaks() -> None:
    found = named(hiss())
    assert found["F0semitoneFrom27.5Hz_amean"] == found["VoicedSegmentsPerSec"] == 0
    assert found["loudness_amean"] > 0


def test_silence_around_an_utterance_changes_little() -> None:
    padded = np.concatenate([hiss(level=1e-5), VOICE, hiss(level=1e-5)])
    alone, found = named(VOICE), named(padded)
    for name in ("loudness_amean", "F0semitoneFrom27.5Hz_percentile80.0", "equivalentSoundLevel_dBp", "mfcc1_amean"):
        assert found[name] == pytest.approx(alone[name], rel=0.05), name


def test_pitch_relative_to_its_own_median_knows_no_octave() -> None:
    glide = [vowel(f0_hz * factor, (700, 1200, 2600), seconds=0.4) for factor in (1, 2) for f0_hz in (100, 120, 150)]
    low, high = named(np.concatenate(glide[:3])), named(np.concatenate(glide[3:]))
    name = "F0semitoneFrom27.5Hz_relative_percentile99.0"
    assert low[name] == pytest.approx(12 * np.log2(150 / 120), abs=0.3) == high[name]


def test_windows_lie_about_the_middles_of_frames_and_follow_the_sound() -> None:
    wave = np.concatenate([vowel(120, (700, 1200, 2600)), vowel(240, (300, 2200, 3000))])
    found = extract(wave, set="egemaps_like", per="window", window_seconds=0.4, hop_seconds=0.04)
    assert found.values.shape == (50, 88)
    np.testing.assert_allclose(found.times[10], (0.42 - 0.2, 0.42 + 0.2), atol=1e-6)
    pitch = found.values[:, 0]
    np.testing.assert_allclose(pitch[5:18], 12 * np.log2(120 / 27.5), atol=0.2)
    np.testing.assert_allclose(pitch[32:45], 12 * np.log2(240 / 27.5), atol=0.2)


def test_a_window_over_the_whole_is_the_clip() -> None:
    window = extract(VOICE, per="window", window_seconds=2.0, hop_seconds=1.0)
    np.testing.assert_array_equal(window.values, extract(VOICE).values)
    assert window.times.tolist() == [[0, 1]]


def test_windows_shorter_than_a_step_take_the_nearest() -> None:
    found = extract(VOICE, set="egemaps_like", per="window", window_seconds=0.01, hop_seconds=0.0125)
    assert len(found.values) == 80 and (found.values[20:60, 0] > 0).all()


def test_a_window_hears_nothing_beyond_its_ends() -> None:
    wave = hiss(level=1e-4)
    wave[8_400:9_200] += hiss(seconds=0.05)
    found = extract(wave, set="egemaps_like", per="window", window_seconds=0.1, hop_seconds=0.1)
    columns = AudioFunctionals(AudioFunctionals.Config(set="egemaps_like")).columns
    level = found.values[:, columns.index("equivalentSoundLevel_dBp")]
    assert level[5] > -25 and (np.delete(level, 5) < -60).all()


def test_the_grid_covers_the_clip() -> None:
    assert windows_on_grid(1.01, 0.2, 0.5).tolist()[-1] == pytest.approx([0.91, 1.01])
    assert len(windows_on_grid(1.0, 0.066, 1 / 30)) == 30


@pytest.mark.parametrize("settings", [{"window_seconds": 0.0}, {"hop_seconds": float("nan")}, {"hop_seconds": -1.0}])
def test_windows_without_length_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least 0.01"):
        AudioFunctionals.Config(**settings)  # type: ignore[arg-type]
