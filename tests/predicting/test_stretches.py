"""How recordings are cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.predicting.stretches import PART_SECONDS, Cuts, Stretch, parts_of, utterances_of, windows_of
from pipeline.words.subtitles import Cue


def test_cues_are_cut_at_the_end_and_those_behind_it_are_counted() -> None:
    found, notes = utterances_of([Cue(0, 1, "a"), Cue(2, 9, "b", "Ann"), Cue(3.95, 5, "c"), Cue(8, 9, "d")], 4.0)
    assert found == [Stretch("utterance", 0, 1, "a"), Stretch("utterance", 2, 4.0, "b", "Ann")]
    assert notes == ["2 of 4 cues lie behind the recording's end and are left out"]


@pytest.mark.parametrize(("duration", "expected"), [
    (0.4, [(0.0, 0.4)]), (2.0, [(0.0, 2.0)]), (2.1, [(0.1, 2.1)]), (3.0, [(0.0, 2.0), (1.0, 3.0)]),
    (3.5, [(0.0, 2.0), (1.0, 3.0), (1.5, 3.5)])])
def test_windows_reach_from_start_to_end(duration: float, expected: list[tuple[float, float]]) -> None:
    found = windows_of([], duration, 2.0)
    assert [(part.start_seconds, part.stop_seconds) for part in found] == expected


def test_a_window_has_the_words_of_the_utterance_at_its_middle() -> None:
    said = [Stretch("utterance", 0.0, 1.2, "oh", "Ann"), Stretch("utterance", 2.5, 4.0, "no")]
    assert [(part.text, part.speaker) for part in windows_of(said, 4.0, 2.0)] == [("oh", "Ann"), ("", ""), ("no", "")]
    assert windows_of(said, 4.0, 0) == []


@pytest.mark.parametrize("duration", [0.05, 3.0, PART_SECONDS, PART_SECONDS + 0.05, 150.0])
def test_parts_cover_a_recording(duration: float) -> None:
    parts = parts_of(duration)
    assert parts[0].start_seconds == 0 and parts[-1].stop_seconds == pytest.approx(duration, abs=0.1)
    assert all(a.stop_seconds == b.start_seconds for a, b in zip(parts, parts[1:]))
    assert all(0 < part.stop_seconds - part.start_seconds <= PART_SECONDS for part in parts)


def test_utterances_are_the_turns_of_one_dialogue_and_windows_stand_alone() -> None:
    cuts = Cuts([(Path("a b.mp4"), [Stretch("utterance", 0, 1, "oh", "Ann"), Stretch("window", 0, 1)]),
                 (Path("c.mp4"), [Stretch("utterance", 0, 1)])])
    found = [(clip.clip_id, clip.dialogue, clip.turn, clip.speaker) for clip in cuts.clips()]
    assert found == [("all/00000-000000", "0", 0, "Ann"), ("all/00000-000001", "", -1, ""),
                     ("all/00001-000000", "1", 0, "")]
    assert not cuts.corpus.tasks and all(clip.source and clip.source.is_absolute() for clip in cuts.clips())
