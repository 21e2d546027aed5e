"""Dialogues of made voices: who speaks when is known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from pipeline.media import SAMPLE_RATE_HZ
from pipeline.segmenting.turns import Turn
from tests.voices import vowel

VOWELS_HZ = (730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (530, 1840, 2480)  # of men (Peterson and Barney)
PEOPLE = {"low": (110.0, 1.0), "high": (210.0, 1.22), "middle": (160.0, 0.9)}  # pitch, length of the vocal tract


@lru_cache(maxsize=None)
def _syllable(person: str, number: int) -> np.ndarray:
    pitch_hz, stretch = PEOPLE[person]
    sound = vowel(pitch_hz * (1 + 0.05 * (number % 3)), [hertz * stretch for hertz in VOWELS_HZ[number]], seconds=0.25)
    return np.asarray(sound * np.sin(np.pi * np.arange(len(sound)) / len(sound)) ** 0.7, np.float32)


def dialogue(people: Sequence[str], *, turn_seconds: float = 4.0, pause_seconds: float = 0.5,
             seed: int = 0) -> tuple[np.ndarray, tuple[Turn, ...]]:
    """People speak one after the other, syllables at random; float32 (S,) with faint noise, and the true turns."""
    random = np.random.default_rng(seed)
    silence = np.zeros(round(pause_seconds * SAMPLE_RATE_HZ), np.float32)
    parts, turns, now = [silence], [], pause_seconds
    for person in people:
        parts += [_syllable(person, int(number)) for number in random.integers(0, 4, round(turn_seconds / 0.25))]
        parts.append(silence)
        turns.append(Turn(now, now + turn_seconds, person))
        now += turn_seconds + pause_seconds
    sound = np.concatenate(parts)
    return (sound + random.normal(0, 1e-4, len(sound))).astype(np.float32), tuple(turns)
