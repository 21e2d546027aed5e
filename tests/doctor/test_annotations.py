from __future__ import annotations

import doctest

import pytest

from pipeline.clip import Clip
from pipeline.datasets import RecordedSpan
from pipeline.doctor import annotations


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(annotations) == (0, 1)


@pytest.mark.parametrize(("text", "wrong"), [
    ("Itâ€™s", "UTF-8 read as CP1252: 'â€™'"), ("cafÃ©", "UTF-8 read as CP1252: 'Ã©'"),
    ("ÐŸÑ€Ð¸Ð²", "UTF-8 read as CP1252"), ("it\x92s", "control character"),
    ("lost \ufffd", "characters lost"), ("a &amp; b", "markup: '&amp;'"), ("<br/>No", "markup: '<br/>'"),
    ("“It’s a café…” — no", ""), ("Größe, naïve, señor", ""), ("1 < 2 & 3 > 2", ""), ("どこ？", "")])
def test_text_that_went_through_a_wrong_encoding_is_told_from_text_that_did_not(text: str, wrong: str) -> None:
    assert annotations.garbled(text).startswith(wrong) and bool(annotations.garbled(text)) == bool(wrong)


def test_overlaps_are_counted_once_a_clip_however_many_there_are() -> None:
    clips = [Clip(f"all/{number}") for number in range(2000)]
    spans = {clip.clip_id: RecordedSpan("talk", 0.0, 5.0) for clip in clips}
    assert len(list(annotations.time_findings(clips, spans))) == 1999


def test_a_clip_is_named_with_the_one_of_another_split_though_its_own_has_a_longer() -> None:
    clips = [Clip("train/long", split="train"), Clip("dev/short", split="dev"), Clip("train/late", split="train")]
    spans = {clip.clip_id: RecordedSpan("talk", start, stop)
             for clip, start, stop in zip(clips, (0.0, 9.95, 10.0), (20.0, 11.0, 12.0))}
    found = [(one.kind, one.clips) for one in annotations.time_findings(clips, spans)]
    assert found == [("overlap across splits", ("train/long", "dev/short")),
                     ("overlap across splits", ("dev/short", "train/late"))]
