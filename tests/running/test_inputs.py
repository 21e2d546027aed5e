"""A clip's input digest: it changes when what its rows are made from does, and only then."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import torch

from pipeline.clip import Clip
from pipeline.recipes import choose_extractors, plan_features
from pipeline.running.inputs import input_digest

CLIP = Clip("all/a", Path("a.avi"), 1.0, 2.0, "Hi", "Ann", "d", 3, view=(0.0, 0.0, .5, 1.0))


def digests(clip: Clip) -> tuple[str, str]:
    """Of a feature of the file, and of one of the words."""
    sound, words = plan_features(choose_extractors(["audio_logmel", "text_bert"], {}, shared={"weights": "random"},
                                                   device=torch.device("cpu")))
    return input_digest(sound, clip, "digest"), input_digest(words, clip, "digest")


def test_another_view_or_none_is_another_input_of_what_is_made_from_the_file() -> None:
    views = (CLIP, replace(CLIP, view=(.5, 0.0, 1.0, 1.0)), replace(CLIP, view=None))
    found = [digests(clip) for clip in views]
    assert len({sound for sound, _ in found}) == 3 and len({words for _, words in found}) == 1


def test_a_clip_without_a_view_keeps_the_digest_that_it_had() -> None:
    clip = replace(CLIP, view=None)
    assert digests(clip)[0] == hashlib.sha256(repr(["digest", 1.0, 2.0]).encode()).hexdigest()[:32]


def test_speaker_labels_and_split_are_no_input_of_the_file() -> None:
    other = replace(CLIP, speaker="Ben", split="test", labels={"emotion": "joy"}, turn=9)
    assert digests(other) == digests(CLIP)
