"""Places of emotions on the circle of pleasure and arousal."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.learning.emotions import PLACES, SYNONYMS, emotion_distances

RAVDESS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
MELD = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")


def test_distances_are_those_between_places() -> None:
    found = emotion_distances(["happy", "sad"])
    assert found[0, 1] == pytest.approx(np.hypot(0.81 + 0.63, 0.51 + 0.27)) and found.dtype == np.float32


@pytest.mark.parametrize("names", [RAVDESS, MELD, ("ang", "x")[:0]])
def test_distances_are_symmetric_and_at_most_the_circle_is_wide(names: tuple[str, ...]) -> None:
    found = emotion_distances(list(names) or list(PLACES))
    np.testing.assert_array_equal(found, found.T)
    assert not found.diagonal().any() and found.max() <= 2
    assert (found + np.eye(len(found)) > 0).all(), "no two emotions lie in one place"


def test_every_place_lies_in_the_circle_and_every_synonym_has_one() -> None:
    assert all(np.hypot(*place) <= 1 for place in PLACES.values())
    assert set(SYNONYMS.values()) <= set(PLACES)


def test_anger_is_nearer_to_fear_than_to_joy_and_sadness_opposes_joy() -> None:
    distance = dict(zip(MELD, emotion_distances(MELD)[MELD.index("anger")], strict=True))
    assert distance["fear"] < distance["disgust"] < distance["sadness"] < distance["joy"]
    assert emotion_distances(MELD)[MELD.index("joy")].argmax() == MELD.index("sadness")


def test_words_of_corpora_mean_the_same_in_any_case() -> None:
    np.testing.assert_array_equal(emotion_distances(["Joy", "ANGER"]), emotion_distances(["happy", "angry"]))


def test_an_emotion_without_a_place_is_named_beside_those_that_have_one() -> None:
    with pytest.raises(UsageError, match="no place on the circle of pleasure and arousal is known for hangry; known are"
                                         " .*anger.*calm.*Use metric_loss=triplet"):
        emotion_distances(["joy", "hangry"])
