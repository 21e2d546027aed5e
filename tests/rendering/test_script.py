from __future__ import annotations

import doctest

import pytest

from pipeline.rendering import script
from pipeline.rendering.script import SPLITS, write_script

SEVEN = {"neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"}


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(script).failed == 0


@pytest.mark.parametrize("num_clips", [21, 60, 200])
def test_every_split_holds_every_emotion(num_clips: int) -> None:
    lines = write_script(num_clips, seed=3)
    assert len(lines) == num_clips
    for split in SPLITS:
        assert {line.emotion for line in lines if line.split == split} == SEVEN


def test_neutral_is_the_most_frequent_emotion_in_every_split() -> None:
    for split in SPLITS:
        emotions = [line.emotion for line in write_script(60, seed=0) if line.split == split]
        assert max(set(emotions), key=emotions.count) == "neutral"


def test_sentiment_follows_emotion_and_surprise_goes_both_ways() -> None:
    pairs = {(line.emotion, line.sentiment) for line in write_script(300, seed=0)}
    assert pairs == {("neutral", "neutral"), ("joy", "positive"), ("surprise", "positive"), ("surprise", "negative"),
                     ("sadness", "negative"), ("fear", "negative"), ("anger", "negative"), ("disgust", "negative")}


def test_the_same_seed_gives_the_same_script_and_another_seed_another() -> None:
    assert write_script(30, seed=1) == write_script(30, seed=1)
    assert write_script(30, seed=1) != write_script(30, seed=2)


def test_stems_are_unique_within_a_split_and_repeat_across_splits() -> None:
    lines = write_script(60, seed=0)
    assert len({(line.split, line.stem) for line in lines}) == 60
    assert all(("dia0_utt0", split) in {(line.stem, line.split) for line in lines} for split in SPLITS)


def test_speakers_of_a_dialogue_take_turns() -> None:
    for before, after in zip(lines := write_script(60, seed=0), lines[1:]):
        if (before.split, before.dialogue) == (after.split, after.dialogue):
            assert (before.speaker, before.partner) == (after.partner, after.speaker)


def test_some_voices_faces_and_sentences_do_not_show_the_emotion() -> None:
    lines = [line for line in write_script(400, seed=0) if line.emotion != "neutral"]
    for shown in ("voice_emotion", "face_emotion"):
        hidden = sum(getattr(line, shown) != line.emotion for line in lines) / len(lines)
        assert .02 < hidden < .2


def test_fewer_than_three_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 clips, asked for 2"):
        write_script(2, seed=0)
