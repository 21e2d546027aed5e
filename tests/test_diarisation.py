"""Diarisation error rate against sums made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.diarisation import Errors, Score, pooled, score
from pipeline.errors import DatasetError, UsageError
from pipeline.segmenting.turns import Turn, Turns, to_rttm


def recording(*turns: tuple[float, float, str], name: str = "talk") -> dict[str, Turns]:
    return {name: Turns(name, tuple(sorted(Turn(*turn) for turn in turns)))}


# a speaks 0–10, b 10–20. Found: x 0–12 (2 s of b are confused), y 13–22 (1 s missed, 2 s too much).
TRUTH = recording((0, 10, "a"), (10, 20, "b"))
FOUND = recording((0, 12, "x"), (13, 22, "y"))


def errors(found: Score) -> tuple[float, ...]:
    whole = pooled(found.recordings)
    return tuple(round(value, 6) for value in (whole.missed_seconds, whole.false_alarm_seconds,
                                               whole.confusion_seconds, whole.scored_seconds))


def test_without_a_collar_every_second_counts() -> None:
    found = score(TRUTH, FOUND, collar_seconds=0)
    assert errors(found) == (1, 2, 2, 20)
    assert pooled(found.recordings).der == pytest.approx(5 / 20)


def test_the_collar_is_stated_for_each_side() -> None:
    """Half a second on each side of 0, 10 and 20: 2 s of the truth go, and 0.5 s of what is confused and too much."""
    assert errors(score(TRUTH, FOUND, collar_seconds=0.5)) == (1, 1.5, 1.5, 18)


def test_overlap_counts_for_both_speakers_or_is_left_out() -> None:
    truth, found = recording((0, 10, "a"), (8, 14, "b")), recording((0, 10, "x"), (10, 14, "y"))
    assert errors(score(truth, found, collar_seconds=0)) == (2, 0, 0, 16)
    assert errors(score(truth, found, collar_seconds=0, skip_overlap=True)) == (0, 0, 0, 12)


def test_turns_of_one_speaker_that_overlap_are_one() -> None:
    truth = recording((0, 6, "a"), (4, 10, "a"))
    assert errors(score(truth, recording((0, 10, "x")), collar_seconds=0)) == (0, 0, 0, 10)
    assert errors(score(truth, recording((0, 10, "x")), collar_seconds=0, skip_overlap=True)) == (0, 0, 0, 10)


def test_only_the_stretches_that_are_asked_for_are_scored() -> None:
    assert errors(score(TRUTH, FOUND, collar_seconds=0, uem={"talk": ((0, 11),)})) == (0, 0, 1, 11)


def test_one_speaker_is_scored_with_the_same_voice_and_with_the_true_one() -> None:
    found = score(TRUTH, FOUND, collar_seconds=0)
    assert pooled(found.one_speaker) == Errors(1, 2, 9, 20)  # b's 12–13 is missed, all else of b is confused
    assert pooled(found.one_speaker_true) == Errors(0, 0, 10, 20)


def test_recordings_are_pooled_by_time_and_told_apart() -> None:
    truth = TRUTH | recording((0, 60, "a"), name="long")
    found = score(truth, FOUND | recording((0, 60, "z"), name="long"), collar_seconds=0)
    assert found.recordings["long"].der == 0
    assert pooled(found.recordings).der == pytest.approx(5 / 80)


def test_a_recording_without_turns_is_missed_and_one_without_truth_left_out() -> None:
    found = score(TRUTH | recording((0, 60, "a"), name="long"), FOUND | recording((0, 1, "q"), name="new"),
                  collar_seconds=0)
    assert found.recordings["long"].missed_seconds == 60 and "new" not in found.recordings
    assert found.notes == ("no turns to score, so missed as a whole: long",
                           "not in the truth, so left out: new")


def test_nothing_scored_has_no_rate() -> None:
    found = score(recording((0, 0.4, "a")), recording((5, 6, "x")))
    assert pooled(found.recordings).der is None and pooled(found.recordings).false_alarm_seconds == 1
    assert "no true speech is scored, so there is no error rate" in found.notes[0]


def test_what_cannot_be_scored_is_named() -> None:
    with pytest.raises(UsageError, match="a collar is 0 s or more on each side, found -1"):
        score(TRUTH, FOUND, collar_seconds=-1)
    with pytest.raises(DatasetError, match="the truth has no turns"):
        score({}, FOUND)
    with pytest.raises(DatasetError, match=r"no recording of the turns to score \(new\) is in the truth \(talk\)"):
        score(TRUTH, recording((0, 1, "q"), name="new"))
    with pytest.raises(DatasetError, match="stretches to score lacks talk"):
        score(TRUTH, FOUND, uem={})


def test_the_command_gives_what_the_function_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = tmp_path / "truth.rttm", tmp_path / "found.rttm"
    truth.write_text(to_rttm(TRUTH.values()))
    found.write_text(to_rttm(FOUND.values()))
    options = ["evaluate-segments", "--truth", str(truth), "--segments", str(found)]
    assert main([*options, "--collar", "0.5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == score(TRUTH, FOUND, collar_seconds=0.5).to_json()
    assert told["der"] == pytest.approx(4 / 18) and set(told["recordings"]["talk"]) == {
        "der", "missed_seconds", "false_alarm_seconds", "confusion_seconds", "scored_seconds"}
    assert main(options) == 0
    assert "one speaker, same voice activity" in capsys.readouterr().out


def test_an_empty_answer_misses_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = tmp_path / "truth.rttm", tmp_path / "found.rttm"
    truth.write_text(to_rttm(TRUTH.values()))
    found.write_text("")
    assert main(["evaluate-segments", "--truth", str(truth), "--segments", str(found), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["der"] == 1 and "missed as a whole: talk" in shown.err
