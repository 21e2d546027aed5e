"""Subtitles as they come: odd but whole files are read, wrong lines are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import DatasetError, UsageError
from pipeline.words.subtitles import Cue, as_ass, as_vtt, read_cues, read_transcript

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n2\n00:00:03,000 --> 00:00:04,000\n<i>General</i>\nKenobi!\n"
VTT = ("WEBVTT - a talk\n\nNOTE\nnothing\n\nSTYLE\n::cue { color: red }\n\nfirst\n"
       "00:01.000 --> 00:02.500 line:0 align:start\n<v.loud Ann Lee>Salt &amp; <00:01.500>pepper</v>\n\n"
       "00:00:03.000 --> 00:00:04.000\n- {\\an8}Yes\n")


def write(folder: Path, text: str | bytes, name: str = "words.srt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_srt_cues_have_times_and_words(tmp_path: Path) -> None:
    assert read_cues(write(tmp_path, SRT)) == [Cue(1.0, 2.5, "Hello there."), Cue(3.0, 4.0, "General Kenobi!")]


@pytest.mark.parametrize("content", [
    b"\xef\xbb\xbf" + SRT.encode(), SRT.replace("\n", "\r\n").encode(), SRT.replace("\n", "\r").encode(),
    SRT.encode("utf-16"), SRT.replace(",", ".").encode(), SRT.replace("2\n00", "00").encode(),
    ("\n\n" + SRT.rstrip()).encode(), SRT.replace("\n00:00:03,000", "\n0:00:03,0").encode(),
    SRT.replace("02,500", "02,500 X1:10 X2:20 Y1:1 Y2:2").encode()],
    ids=["bom", "crlf", "cr", "utf-16", "points", "no numbers", "blank ends", "short times", "coordinates"])
def test_odd_srt_files_give_the_same_cues(tmp_path: Path, content: bytes) -> None:
    assert read_cues(write(tmp_path, content)) == read_cues(write(tmp_path, SRT, "plain.srt"))


def test_webvtt_gives_voices_and_leaves_out_notes_styles_and_tags(tmp_path: Path) -> None:
    assert read_cues(write(tmp_path, VTT, "words.vtt")) \
        == [Cue(1.0, 2.5, "Salt & pepper", "Ann Lee"), Cue(3.0, 4.0, "- Yes")]


def test_overlapping_and_unordered_cues_are_kept_by_start(tmp_path: Path) -> None:
    text = "00:00:05,000 --> 00:00:06,000\nlater\n\n00:00:01,000 --> 00:00:09,000\nearlier\n"
    assert [cue.text for cue in read_cues(write(tmp_path, text))] == ["earlier", "later"]


def test_an_srt_cue_may_hold_an_empty_line_and_a_number_of_its_own(tmp_path: Path) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nroom\n\n101\nand more\n\n2\n00:00:03,000 --> 00:00:04,000\n7\n"
    assert [cue.text for cue in read_cues(write(tmp_path, text))] == ["room 101 and more", "7"]


def test_control_characters_and_hostile_words_stay_words_on_one_line(tmp_path: Path) -> None:
    text = "00:00:01,000 --> 00:00:02,000\n\x1b[31mred\x00 1 < 2 <script>alert(1)</script>\n"
    assert read_cues(write(tmp_path, text))[0].text == "[31mred 1 < 2 alert(1)"


def test_cues_without_words_are_left_out(tmp_path: Path) -> None:
    assert len(read_cues(write(tmp_path, SRT + "\n3\n00:00:05,000 --> 00:00:06,000\n<i></i>\n"))) == 2


@pytest.mark.parametrize(("text", "message"), [
    (SRT.replace("00:00:03,000", "00:00:3x,000"), "line 6: expected times such as"),
    (SRT.replace("00:00:04,000", "00:00:02,000"), "line 6: a cue ends after it starts"),
    (SRT.replace("00:00:04,000", "00:61:04,000"), "line 6: minutes and seconds go to 59"),
    (SRT.replace("00:00:04,000", "999:00:04,000"), "line 6: a cue ends after it starts and within 100 hours"),
    (SRT.replace("00:00:03,000", "-0:00:03,000"), "line 6: expected times"),
    ("Dear diary,\n" + SRT, "line 1: expected the number of a cue or its times"),
    ("", "holds no cue with words"), ("1\n2\n", "holds no cue"),
    (SRT.encode() + b"\n\xff", "line 10: byte 0xff is not UTF-8"),
    (b"\xff\xfea", "is not UTF-16")])
def test_what_makes_no_sense_is_named_by_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_cues(write(tmp_path, text))


def test_a_vtt_file_begins_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 1: expected WEBVTT, found '1'; if it is an SRT file"):
        read_cues(write(tmp_path, SRT, "words.vtt"))


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no file .*nowhere.srt"):
        read_cues(tmp_path / "nowhere.srt")
    with pytest.raises(UsageError, match="expected a file of subtitles"):
        read_cues(write(tmp_path, SRT, "words.doc"))
    with (tmp_path / "huge.srt").open("wb") as file:
        file.truncate(2 ** 24 + 1)
    with pytest.raises(DatasetError, match="larger than 16 MiB"):
        read_cues(tmp_path / "huge.srt")


def test_a_transcript_is_its_words_on_one_line(tmp_path: Path) -> None:
    assert read_transcript(write(tmp_path, "\ufeffOh no,\r\n  you know! ", "words.txt")) == "Oh no, you know!"
    with pytest.raises(DatasetError, match="holds no words"):
        read_transcript(write(tmp_path, " \n", "words.txt"))


def test_a_cue_lasts() -> None:
    with pytest.raises(ValueError, match="is empty or starts before 0"):
        Cue(2.0, 2.0, "oh")


def test_a_written_webvtt_track_reads_back(tmp_path: Path) -> None:
    cues = [Cue(0.5, 3661.25, "a --> b <v Eve>\n[joy 43 %]", "Ann & Ben"), Cue(3662, 3663, "…")]
    path = write(tmp_path, as_vtt(cues, "made --> here\n\nnot a cue"), "words.vtt")
    assert [(cue.start_seconds, cue.stop_seconds, cue.speaker) for cue in read_cues(path)] \
        == [(0.5, 3661.25, "Ann & Ben"), (3662.0, 3663.0, "")]
    assert read_cues(path)[0].text == "a --> b <v Eve> [joy 43 %]"


def test_an_ass_track_has_one_line_a_cue_and_no_formatting_of_strangers() -> None:
    lines = as_ass([Cue(0.5, 62.256, "{\\fs400}big\nDialogue: 0", "Ann, Ben")], "a\nb").splitlines()
    assert lines[-1] == "Dialogue: 0,0:00:00.50,0:01:02.26,Default,Ann; Ben,0,0,0,,(⧵fs400)big\\NDialogue: 0"
    assert lines[1] == "Title: a b"
