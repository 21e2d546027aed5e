from __future__ import annotations

import numpy as np
import pytest

from pipeline.rendering.script import write_script
from pipeline.rendering.speech import opening_and_rounding, pronounce, utter


@pytest.mark.parametrize(("word", "syllables"), [("coffee", 2), ("table", 1), ("yuck", 1), ("disgusting", 3),
                                                 ("you", 1), ("thing", 1), ("stop", 1), ("!", 0)])
def test_a_word_has_as_many_vowels_as_its_spelling(word: str, syllables: int) -> None:
    assert sum(phone.is_vowel for phone in pronounce(word)) == syllables


def test_lips_shut_for_m_b_and_p_and_open_widest_for_a() -> None:
    for word in ("m", "b", "p"):
        assert pronounce(word)[0].opening == 0
    assert pronounce("a")[0].opening > .8


def test_words_follow_each_other_and_fill_the_phones() -> None:
    phones, words = utter("Stop it, leave me alone!", rate=1.0, start_seconds=.2)
    assert [word.text for word in words] == ["Stop", "it", "leave", "me", "alone"]
    assert words[0].start_seconds == pytest.approx(.2)
    assert words[-1].stop_seconds == pytest.approx(sum(phone.seconds for phone in phones))
    assert words[1].stop_seconds < words[2].start_seconds, "the comma pauses"
    assert words[2].stop_seconds == words[3].start_seconds


def test_a_faster_rate_shortens_the_sentence() -> None:
    slow, fast = (sum(phone.seconds for phone in utter("They moved the table here", rate=rate, start_seconds=0)[0])
                  for rate in (.9, 1.2))
    assert slow / fast == pytest.approx(1.2 / .9)


def test_every_sentence_of_the_script_lasts_between_three_quarters_and_two_and_a_half_seconds() -> None:
    for line in write_script(150, seed=0):
        phones, _ = utter(line.text, rate=1.0, start_seconds=0.0)
        assert .74 < sum(phone.seconds for phone in phones) < 2.46


def test_the_mouth_is_shut_before_and_after_the_words() -> None:
    phones, words = utter("aa", rate=1.0, start_seconds=.3)
    openings, _ = opening_and_rounding(phones, [0.0, .29, .35, words[-1].stop_seconds + .1])
    assert np.array(openings)[[0, 1, 3]].tolist() == [0, 0, 0]
    assert openings[2] > .5


def test_text_without_letters_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to say in '...'"):
        utter("...", rate=1.0, start_seconds=0.0)
