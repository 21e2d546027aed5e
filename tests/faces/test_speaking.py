"""Scores of mouths and voices that go together, or do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from pipeline.faces.mouths import Mouth
from pipeline.faces.speaking import excess, moving, speaking_scores, together
from pipeline.sound.voice import Voice
from tests.faces.counterfactuals import syllables, vowel

SECONDS = 6.0


def mouth_of(curve: np.ndarray, *, change: float = 0.35, noise: float = 0.03, eyes: float = 30.0) -> Mouth:
    """A mouth that opens with a curve at 100 Hz, as :func:`measure_mouths` would give it at 25 Hz."""
    times = np.arange(len(curve) // 4) / 25
    opening = np.interp(times + 0.04, np.arange(len(curve)) / 100, curve)  # lips lead
    speed = np.abs(np.gradient(gaussian_filter1d(opening, 1)))
    starts = np.arange(int(times[-1] * 15)) / 15
    grain = np.random.default_rng(0).uniform(0.9, 1.1, (2, len(times)))
    return Mouth(np.arange(len(starts)), starts, times, change * speed / speed.mean() + noise * grain[0],
                 noise * grain[1], 0.2 + 0.1 * opening, eyes)


SPEAKER = mouth_of(syllables(SECONDS, 1))
LISTENER = mouth_of(syllables(SECONDS, 2), change=0.0)
OWN = Voice.of(vowel(syllables(SECONDS, 1)))


def mean(mouth: Mouth, voice: Voice) -> float:
    return float(speaking_scores(mouth, voice).mean())


def test_a_speaker_speaks_and_a_listener_does_not() -> None:
    assert mean(SPEAKER, OWN) > 0.8 and mean(LISTENER, OWN) < 0.1
    assert speaking_scores(SPEAKER, OWN).dtype == np.float32
    assert len(speaking_scores(SPEAKER, OWN)) == len(SPEAKER.rows)


def test_nobody_speaks_in_silence() -> None:
    hush = Voice.of(np.zeros(96_000, np.float32))
    assert mean(SPEAKER, hush) < 1e-6
    assert mean(SPEAKER, Voice.of(np.zeros(0, np.float32))) == 0


@pytest.mark.parametrize("seconds", [-0.2, 0.2])
def test_sound_a_little_out_of_time_is_forgiven(seconds: float) -> None:
    assert mean(SPEAKER, Voice.of(np.roll(vowel(syllables(SECONDS, 1)), round(seconds * 16_000)))) > 0.7


def test_sound_two_seconds_out_of_time_is_not_his() -> None:
    late = []
    for seed in range(1, 7):
        mouth, sound = mouth_of(syllables(SECONDS, seed)), vowel(syllables(SECONDS, seed))
        late.append(mean(mouth, Voice.of(np.roll(sound, 32_000))))
        assert late[-1] < mean(mouth, Voice.of(sound)) - 0.2
    assert np.mean(late) < 0.5


def test_sound_of_other_clips_is_not_his() -> None:
    scores = [mean(SPEAKER, Voice.of(vowel(syllables(SECONDS, seed)))) for seed in range(2, 10)]
    assert np.mean(scores) < 0.5 and max(scores) < mean(SPEAKER, OWN)


def test_chance_is_seldom_taken_for_a_match() -> None:
    odds = [together(mouth_of(syllables(4, seed)), Voice.of(vowel(syllables(4, seed + 100)))).mean()
            for seed in range(30)]
    assert np.mean(odds) < 0 and np.mean(np.array(odds) > 1) < 0.15


def test_of_two_moving_mouths_the_one_in_time_speaks_there_and_then() -> None:
    first, second = syllables(SECONDS, 3), syllables(SECONDS, 4)
    first[300:], second[:300] = 0, 0
    voice = Voice.of(vowel(first + second))
    early, late = (speaking_scores(mouth_of(curve), voice) for curve in (first, second))
    assert early[:35].mean() > 0.7 > 0.3 > early[55:].mean()
    assert late[55:].mean() > 0.7 > 0.3 > late[:35].mean()


def test_two_who_speak_in_chorus_both_speak() -> None:
    assert mean(mouth_of(syllables(SECONDS, 1), change=0.2), OWN) > 0.7 and mean(SPEAKER, OWN) > 0.7


def test_a_breath_is_part_of_the_turn_and_a_long_silence_is_not() -> None:
    loudness = syllables(SECONDS, 5)
    loudness[200:250], loudness[350:] = 0, 0
    scores = speaking_scores(mouth_of(loudness), Voice.of(vowel(loudness)))
    assert scores[31:36].min() > 0.5
    assert scores[65:].max() < 0.1


def test_one_grimace_counts_for_less_than_moving_all_the_time() -> None:
    grimace = mouth_of(syllables(SECONDS, 1), change=0.0)
    motion = grimace.motion.copy()
    motion[60:70] = 0.8
    assert moving(replace(grimace, motion=motion), OWN)[65] < moving(SPEAKER, OWN)[40:90].mean()
    assert mean(replace(grimace, motion=motion), OWN) < 0.2


def test_a_head_whose_whole_face_changes_is_no_moving_mouth() -> None:
    turning = replace(SPEAKER, noise=SPEAKER.motion * 0.8)
    assert excess(turning).max() == 0 and mean(turning, OWN) < 0.3


def test_too_little_to_tell_is_no_evidence() -> None:
    short = mouth_of(syllables(0.8, 1))
    assert (together(short, OWN) == 0).all()
    assert 0.5 < mean(short, OWN) < 0.9
    still = replace(SPEAKER, motion=SPEAKER.noise, opening=np.ones(len(SPEAKER.times)))
    np.testing.assert_allclose(together(still, OWN), 0, atol=1e-9)


def test_a_face_too_small_to_see_the_mouth_of_is_not_said_to_speak() -> None:
    scores = [mean(replace(SPEAKER, eyes_pixels=eyes), OWN) for eyes in (4.0, 8.0, 12.0)]
    assert scores[0] < 0.3 < scores[1] < scores[2]


def test_a_face_without_frames_is_not_said_to_speak() -> None:
    nothing = np.zeros(0)
    once = Mouth(np.array([7]), np.array([1.0]), nothing, nothing, nothing, nothing, 0.0)
    scores = speaking_scores(once, OWN)
    assert scores.shape == (1,) and 0 <= scores[0] < 0.5


def test_scores_stay_between_zero_and_one_for_any_signals() -> None:
    rng = np.random.default_rng(0)
    for scale in (1e-6, 1.0, 1e6):
        wild = replace(SPEAKER, motion=rng.exponential(scale, len(SPEAKER.times)),
                       opening=rng.normal(0, scale, len(SPEAKER.times)))
        scores = speaking_scores(wild, OWN)
        assert np.isfinite(scores).all() and 0 <= scores.min() and scores.max() <= 1
