"""Pitch, jitter, shimmer and purity of voices that are known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.sound.framing import num_windows
from pipeline.sound.prosody import Prosody, irregularity, pitch, prosody, runs
from tests.voices import hiss, pulses, vowel

INSIDE = slice(10, -10)  # steps whose windows hold the sound alone


@pytest.mark.parametrize("f0_hz", [80.0, 120.0, 233.3, 440.0, 610.0])
@pytest.mark.parametrize("voice", ["pulses", "vowel", "sine"])
def test_the_pitch_is_that_of_the_voice_within_one_in_a_hundred(f0_hz: float, voice: str) -> None:
    wave = {"pulses": lambda: pulses(f0_hz), "vowel": lambda: vowel(f0_hz, (700, 1200, 2600)),
            "sine": lambda: np.sin(2 * np.pi * f0_hz * np.arange(16_000) / 16_000).astype(np.float32)}[voice]()
    np.testing.assert_allclose(pitch(wave)[0][INSIDE], f0_hz, rtol=0.01)


def test_a_glide_is_followed() -> None:
    hertz = np.linspace(120, 240, 16_000)
    phase = 2 * np.pi * np.cumsum(hertz) / 16_000
    wave = sum(np.sin(number * phase) / number for number in range(1, 8)).astype(np.float32) / 4  # type: ignore
    np.testing.assert_allclose(pitch(wave)[0][INSIDE], hertz[80::160][INSIDE], rtol=0.01)


def test_a_moment_of_uneven_periods_is_no_octave() -> None:
    rough = np.concatenate([pulses(200, seconds=0.4), pulses(200, seconds=0.06, shimmer=0.7), pulses(200, seconds=0.4)])
    alone = pitch(pulses(200, shimmer=0.7))[0]
    assert np.median(alone[INSIDE]) == pytest.approx(100, rel=0.01), "for long it is one"
    found = pitch(rough)[0][INSIDE]
    np.testing.assert_allclose(found[found > 0], 200, rtol=0.05)


def test_hiss_and_silence_have_no_pitch() -> None:
    assert not pitch(hiss())[0].any() and not pitch(np.zeros(8_000, np.float32))[0].any()


def test_a_voice_is_purer_than_hiss_and_noise_in_it_shows_by_the_right_amount() -> None:
    voice = vowel(150, (700, 1200, 2600))
    voice *= 0.1 / voice.std()
    for ratio_db in (0, 10, 20):
        found = np.median(pitch(voice + hiss(level=0.1 * 10 ** (-ratio_db / 20)))[1][INSIDE])
        assert found == pytest.approx(ratio_db, abs=1.5)
    assert np.median(pitch(hiss())[1]) < -3
    assert np.median(pitch(voice)[1][INSIDE]) > 25


@pytest.mark.parametrize("share", [0.0, 0.02, 0.06])
def test_jitter_and_shimmer_are_those_of_the_train(share: float) -> None:
    for settings in ({"jitter": share}, {"shimmer": share}):
        wave = pulses(100, **settings)  # two periods are longer than the deepest voice's: no pitch an octave down
        found = dict(zip(("jitter", "shimmer"), irregularity(wave, pitch(wave)[0]), strict=True))
        for name, values in found.items():
            assert np.median(values[INSIDE]) == pytest.approx(settings.get(name, 0.0), abs=0.003), name


def test_where_there_is_no_voice_there_is_no_irregularity() -> None:
    found = prosody(np.concatenate([pulses(120, jitter=0.04, seconds=0.5), hiss(seconds=0.5, level=0.001)]))
    assert found.voiced[5:45].all() and not found.voiced[60:].any()
    assert not found.jitter[~found.voiced].any() and not found.shimmer[~found.voiced].any()


@pytest.mark.parametrize("num_samples", [0, 1, 48, 159, 161, 1000])
def test_short_sounds_have_finite_values(num_samples: int) -> None:
    found = prosody(pulses(300)[:num_samples])
    assert len(found.f0_hz) == num_windows(num_samples)
    assert all(np.isfinite(part).all() for part in (found.f0_hz, found.hnr_db, found.jitter, found.shimmer))


def test_stretches_are_found() -> None:
    assert runs(np.array([False, True, True, False, True])).tolist() == [[1, 3], [4, 5]]
    assert runs(np.zeros(3, bool)).shape == (0, 2)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="a waveform is"):
        prosody(np.zeros((2, 800), np.float32))
    with pytest.raises(ValueError, match="100 steps of pitch expected"):
        irregularity(np.zeros(16_000, np.float32), np.zeros(99, np.float32))
    with pytest.raises(ValueError, match="all parts of a prosody"):
        Prosody(*(np.zeros(size, np.float32) for size in (3, 3, 3, 4)))
