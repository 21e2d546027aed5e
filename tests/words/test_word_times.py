"""Times of words: emissions made by hand whose course is known, and guesses by length."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from pipeline.words import word_times
from pipeline.words.word_times import forced, proportional, speech_span, words_of

VOCABULARY = {"A": 1, "B": 2, "C": 3, "'": 4}
BETWEEN = 5


def heard(symbols: str, *, certainty: float = 0.9) -> np.ndarray:
    """What a network would give that hears one symbol a frame: letters, ``_`` for nothing, ``|`` between words."""
    numbers = [{"_": 0, "|": BETWEEN, **VOCABULARY}[symbol] for symbol in symbols]
    emission = np.full((len(numbers), 6), (1 - certainty) / 5, np.float32)
    emission[np.arange(len(numbers)), numbers] = certainty
    return np.log(emission)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(word_times) == (0, 2)


def test_words_are_found_where_they_are_heard() -> None:
    found = forced(heard("__AAB___CC_A__"), ["ab", "ca"], VOCABULARY, blank=0)
    assert found is not None
    spans, certainty = found
    assert spans.tolist() == [[2, 5], [8, 12]]
    np.testing.assert_allclose(certainty, [.9, .9], atol=1e-3)


def test_a_letter_said_twice_is_two_letters() -> None:
    found = forced(heard("AA_A__B"), ["aa", "b"], VOCABULARY, blank=0)
    assert found is not None and found[0].tolist() == [[0, 4], [6, 7]]


def test_what_stands_between_words_belongs_to_neither() -> None:
    found = forced(heard("AB||__CA"), ["ab", "ca"], VOCABULARY, blank=0, between=BETWEEN)
    assert found is not None and found[0].tolist() == [[0, 2], [6, 8]]


def test_words_of_unknown_letters_get_what_lies_between_their_neighbours() -> None:
    found = forced(heard("_A____B__"), ["42", "a", "x", "y", "b", "z"], VOCABULARY, blank=0)
    assert found is not None
    assert found[0].tolist() == [[0, 1], [1, 2], [2, 4], [4, 6], [6, 7], [7, 9]]
    assert (found[1] > 0).tolist() == [False, True, False, False, True, False]


@pytest.mark.parametrize("vocabulary", [VOCABULARY, {name.lower(): number for name, number in VOCABULARY.items()}])
def test_capitals_and_quotes_are_those_of_the_network(vocabulary: dict[str, int]) -> None:
    found = forced(heard("_A'B_"), ["a’B!"], vocabulary, blank=0)
    assert found is not None and found[0].tolist() == [[1, 4]] and found[1][0] > .85


@pytest.mark.parametrize(("symbols", "words"), [("AB", ["abc"]), ("AA", ["aa"]), ("AB", ["42"]), ("AB", ["x", "y"])])
def test_a_text_that_does_not_fit_the_sound_has_no_times(symbols: str, words: list[str]) -> None:
    assert forced(heard(symbols), words, VOCABULARY, blank=0) is None


def test_what_is_heard_less_surely_is_less_certain() -> None:
    sure, unsure = (forced(heard("_ABC_", certainty=certainty), ["abc"], VOCABULARY, blank=0) for certainty in (.9, .5))
    assert sure is not None and unsure is not None and sure[1][0] > unsure[1][0] > 0


def test_a_guess_deals_out_a_stretch_by_letters() -> None:
    np.testing.assert_allclose(proportional(["oh,", "yes!", "no"], 1.0, 4.5), [[1, 2], [2, 3.5], [3.5, 4.5]])
    assert proportional([], 0, 1).shape == (0, 2)


def test_speech_goes_from_the_first_to_the_last_loud_moment() -> None:
    sound = np.zeros(32_000, np.float32)
    sound[8000:24_000] = np.sin(np.arange(16_000) / 5)
    start, stop = speech_span(sound + np.float32(1e-4))
    assert start == pytest.approx(.5, abs=.03) and stop == pytest.approx(1.5, abs=.03)


@pytest.mark.parametrize("length", [0, 100, 16_000])
def test_silence_and_scraps_are_taken_whole(length: int) -> None:
    assert speech_span(np.zeros(length, np.float32)) == (0.0, length / 16_000)


def test_words_have_letters_or_digits() -> None:
    assert words_of(" — … 2 cups, \n please") == ("2", "cups,", "please")
