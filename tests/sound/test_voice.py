"""Loudness and presence of a voice, on sounds whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from pipeline.sound import voice
from pipeline.sound.voice import HOP_SECONDS, Voice, harmonicity, speech_envelope, speech_levels, voice_activity
from tests.faces.counterfactuals import syllables, vowel

TIMES = np.arange(48_000) / 16_000


def tone(hertz: float, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * TIMES)).astype(np.float32)


def hiss(amplitude: float = 0.1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, amplitude, 48_000).astype(np.float32)


def test_a_full_scale_tone_in_the_band_is_at_zero_decibels_and_one_outside_is_not() -> None:
    np.testing.assert_allclose(speech_levels(tone(1000, 1.0))[5:-5], 0, atol=0.1)
    np.testing.assert_allclose(speech_levels(tone(1000, 0.1))[5:-5], -20, atol=0.1)
    assert speech_levels(tone(60, 1.0))[5:-5].max() < -25
    np.testing.assert_allclose(speech_levels(np.zeros(1600, np.float32)), -100, atol=1e-3)


def test_a_tone_is_periodic_and_hiss_is_not() -> None:
    assert harmonicity(tone(150))[5:-5].min() > 0.9
    assert np.mean(harmonicity(hiss()) > 0.65) < 0.1


def test_a_voice_is_a_voice() -> None:
    active = voice_activity(vowel(syllables(6, 1)))
    assert len(active) == 600 and np.mean(active >= 0.5) > 0.7


@pytest.mark.parametrize("sound", [np.zeros(48_000, np.float32), hiss(), hiss(3e-4), tone(220), tone(220, 1e-3)],
                         ids=["silence", "hiss", "faint hiss", "a steady tone", "a faint tone"])
def test_nobody_speaks(sound: np.ndarray) -> None:
    assert voice_activity(sound).max() < 0.5


def test_a_click_in_a_quiet_room_is_no_voice() -> None:
    sound = hiss(1e-4)
    sound[24_000:24_800] += vowel(np.ones(5))
    assert voice_activity(sound).max() < 0.3


def test_a_voice_too_faint_to_be_heard_is_none() -> None:
    assert voice_activity(vowel(syllables(4, 1)) * 1e-3).max() < 0.5


def test_loudness_of_the_recording_does_not_matter() -> None:
    sound = vowel(syllables(6, 2))
    loud, soft = voice_activity(sound) >= 0.5, voice_activity(sound / 3) >= 0.5
    assert np.mean(loud == soft) > 0.9


def test_a_short_pause_belongs_to_the_phrase_and_a_long_one_does_not() -> None:
    loudness = 0.65 + 0.35 * np.sin(2 * np.pi * 4 * np.arange(800) / 100)
    loudness[200:218] = 0
    loudness[500:650] = 0
    active = voice_activity(vowel(loudness)) >= 0.5
    assert active[200:218].all()
    assert not active[530:620].any()


def test_a_voice_in_noise_is_found_where_it_is() -> None:
    loudness = syllables(3, 4)
    sound = np.concatenate([np.zeros(48_000, np.float32), vowel(loudness), np.zeros(48_000, np.float32)])
    noisy = sound + np.random.default_rng(0).normal(0, 3e-3, len(sound)).astype(np.float32)
    active = voice_activity(noisy) >= 0.5
    assert not active[:270].any() and not active[630:].any() and active[320:580].mean() > 0.7


def test_the_envelope_follows_the_loudness() -> None:
    loudness = syllables(5, 5)
    envelope = speech_envelope(vowel(loudness))
    assert np.corrcoef(envelope, np.log10(loudness + 0.02))[0, 1] > 0.9
    assert envelope.min() >= 0 and envelope.max() < 2


def test_two_people_at_a_table_agree_with_who_spoke_when(shared_data: Path) -> None:
    sound = wavfile.read(shared_data / "speech" / "sample.wav")[1].astype(np.float32) / 32768
    active = voice_activity(sound) >= 0.5
    spoken = np.zeros(len(active), bool)
    for line in (shared_data / "speech" / "sample.rttm").read_text().splitlines():
        start, length = (float(field) for field in line.split()[3:5])
        spoken[round(start / HOP_SECONDS):round((start + length) / HOP_SECONDS)] = True
    assert (active & ~spoken).sum() < 0.05 * spoken.sum() and (~active & spoken).sum() < 0.05 * spoken.sum()


@pytest.mark.parametrize("samples", [1, 48, 159, 161, 511, 4000])
def test_the_shortest_sounds_have_their_steps(samples: int) -> None:
    heard = Voice.of(hiss()[:samples])
    assert len(heard.envelope) == len(heard.activity) == -(-samples // 160)
    assert np.isfinite(heard.envelope).all() and np.isfinite(heard.activity).all()


def test_no_sound_has_no_steps_and_nobody_is_heard_at_any_time() -> None:
    heard = Voice.of(np.zeros(0, np.float32))
    assert len(heard.activity) == 0 and heard.activity_at(np.array([0.0, 1.0])).tolist() == [0, 0]
    assert len(speech_envelope(np.zeros(0, np.float32))) == len(voice_activity(np.zeros(0, np.float32))) == 0


def test_values_at_times_are_interpolated_and_zero_outside() -> None:
    heard = Voice(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    assert heard.envelope_at(np.array([-1.0, 0.005, 0.01, 0.015, 2.0])).tolist() == pytest.approx([0, 0, 0.5, 1, 0])
    assert heard.activity_at(np.array([[0.01]])).tolist() == [[pytest.approx(0.5)]]


def test_a_voice_is_what_the_functions_say() -> None:
    sound = vowel(syllables(2, 6))
    heard = Voice.of(sound)
    np.testing.assert_array_equal(heard.envelope, speech_envelope(sound))
    np.testing.assert_array_equal(heard.activity, voice_activity(sound))


def test_long_sounds_are_analysed_in_blocks_that_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = vowel(syllables(3, 7))
    whole = speech_levels(sound), harmonicity(sound)
    monkeypatch.setattr(voice, "_BLOCK_STEPS", 37)
    np.testing.assert_allclose(speech_levels(sound), whole[0], atol=1e-3)
    np.testing.assert_allclose(harmonicity(sound), whole[1], atol=1e-3)


@pytest.mark.parametrize("function", [speech_levels, harmonicity, speech_envelope, voice_activity])
def test_two_channels_are_refused(function: object) -> None:
    with pytest.raises(ValueError, match=r"a waveform is \(S,\), found \(2, 100\)"):
        function(np.zeros((2, 100), np.float32))  # type: ignore[operator]


def test_an_envelope_without_its_activity_is_refused() -> None:
    with pytest.raises(ValueError, match=r"envelope and activity are \(T,\), found \(3,\) and \(2,\)"):
        Voice(np.zeros(3), np.zeros(2))
