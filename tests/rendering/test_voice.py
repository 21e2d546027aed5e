from __future__ import annotations

import numpy as np
import pytest

from pipeline.rendering.speech import utter
from pipeline.rendering.voice import MANNERS, SAMPLE_RATE_HZ, Manner, choose_manner, loudness, speak

STEADY = Manner(pitch_range=0.0, slope=0.0, jitter=0.0, breath=0.0)


def say(text: str, manner: Manner, pitch_hz: float = 125.0, tract: float = 1.0) -> np.ndarray:
    phones, _ = utter(text, rate=manner.rate, start_seconds=.2)
    return speak(phones, 24_000, manner=manner, pitch_hz=pitch_hz, tract=tract, rng=np.random.default_rng(0))


def spectrum(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    windowed = waveform * np.hanning(len(waveform))
    return np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE_HZ), np.abs(np.fft.rfft(windowed))


def test_a_steady_voice_has_harmonics_of_its_pitch() -> None:
    frequencies, magnitude = spectrum(say("aaah", STEADY)[5000:9000])
    peaks = [frequencies[np.argmax(magnitude * (abs(frequencies - harmonic) < 60))] for harmonic in (125, 250, 375)]
    assert peaks == pytest.approx([125, 250, 375], abs=5)


def test_vowels_differ_by_their_formants() -> None:
    def share_above(text: str, limit_hz: float) -> float:
        frequencies, magnitude = spectrum(say(text, STEADY)[5000:9000])
        return float((magnitude[frequencies > limit_hz] ** 2).sum() / (magnitude ** 2).sum())

    assert share_above("eee", 1800) > 4 * share_above("ooo", 1800)


def test_silence_leads_and_follows_the_words() -> None:
    waveform = say("coffee", MANNERS["neutral"])
    assert np.abs(waveform[:2500]).max() < .01 < np.abs(waveform).max() <= 1
    assert np.abs(waveform[-2000:]).max() < .01
    assert waveform.dtype == np.float32


def test_anger_is_louder_than_neutral_and_sadness_softer() -> None:
    angry, neutral, sad = (float(np.square(say("leave me alone", MANNERS[name])).mean())
                           for name in ("anger", "neutral", "sadness"))
    assert angry > 3 * neutral and neutral > 3 * sad


def test_a_shorter_vocal_tract_moves_the_energy_up() -> None:
    def centre(tract: float) -> float:
        frequencies, magnitude = spectrum(say("aaah", STEADY, tract=tract)[5000:9000])
        return float((frequencies * magnitude).sum() / magnitude.sum())

    assert centre(1.18) > 1.05 * centre(1.0)


def test_a_person_differs_from_day_to_day() -> None:
    rng = np.random.default_rng(0)
    assert choose_manner("joy", rng) != choose_manner("joy", rng)


def test_loudness_is_the_root_mean_square_around_each_time() -> None:
    tone = .5 * np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    levels = loudness(tone, np.array([-1.0, 0.0, .5, 3.0]))
    assert levels == pytest.approx([0, .25, .5 / np.sqrt(2), 0], abs=1e-3)
