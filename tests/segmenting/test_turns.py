"""Turns and their files: what is written is read again, and what is no turn is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import DatasetError, UsageError
from pipeline.segmenting.turns import WRITERS, Turn, Turns, format_of, read_turns, read_uem, to_labels

TALK = Turns("talk", (Turn(0.5, 2.25, "a"), Turn(2.0, 3.0, "b"), Turn(4.0, 5.0, "a")), 6.0)
OTHER = Turns("other", (Turn(1.0, 1.5, "x"),), 2.0)


def written(folder: Path, text: str, name: str = "a.rttm") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind, name", [("rttm", "talk.rttm"), ("csv", "talk.csv"), ("labels", "talk.txt"),
                                        ("json", "talk.json")])
def test_what_is_written_is_read_again(tmp_path: Path, kind: str, name: str) -> None:
    path = written(tmp_path, WRITERS[kind]([TALK]), name)
    assert format_of(path) == kind
    assert read_turns(path)["talk"].turns == TALK.turns


@pytest.mark.parametrize("kind", ["rttm", "csv", "json"])
def test_a_file_holds_many_recordings(tmp_path: Path, kind: str) -> None:
    found = read_turns(written(tmp_path, WRITERS[kind]([TALK, OTHER]), f"all.{kind}"))
    assert list(found) == ["talk", "other"] and found["other"].speakers == ("x",)


def test_a_label_track_is_for_one_recording() -> None:
    with pytest.raises(UsageError, match="for one recording, found 2"):
        to_labels([TALK, OTHER])


def test_lines_of_rttm_that_are_no_turns_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, ";; made by hand\n\nSPKR-INFO a 1 <NA> <NA> <NA> adult b <NA>\nSPEAKER a 1 1 2 <NA> <NA>"
                             " b\nSPEAKER a 1 3 0 <NA> <NA> b <NA> <NA>\n")
    assert read_turns(path)["a"].turns == (Turn(1, 3, "b"),)


@pytest.mark.parametrize("name, text, message", [
    ("a.rttm", "SPEAKER a 1 nan 2 <NA> <NA> b", "line 1: expected a time in seconds, found 'nan'"),
    ("a.rttm", "SPEAKER a 1 1 -2 <NA> <NA> b", "a turn lasts 0 s or more, found -2 s"),
    ("a.rttm", "SPEAKER a 1 -1 2 <NA> <NA> b", "starts at 0 s or later, stops after that"),
    ("a.rttm", "SPEAKER a 1 1 1e9 <NA> <NA> b", "starts at 0 s or later"),
    ("a.rttm", "SPEAKER a 1 1 2", "expected at least 8 fields of a SPEAKER line, found 5"),
    ("a.rttm", "\n<html>", "line 2: expected a line that begins with SPEAKER, found '<html>'"),
    ("a.csv", "begin,end\n1,2\n", "expected the columns recording, start, stop, speaker"),
    ("a.csv", "start,stop,speaker\n1,2,\n", "line 2: a speaker is a name without spaces"),
    ("a.csv", "start,stop,speaker\n1\n", "expected a time in seconds, found 'None'"),
    ("a.txt", "1 2 b", "expected start, stop and speaker between tabs"),
    ("a.json", "[1]", "expected an object of recordings"),
    ("a.json", '{"a": {"turns": 3}}', "expected 'a' to have a list of turns"),
    ("a.json", '{"a": {"turns": [{"start": 1}]}}', "turn 1 of 'a': expected an object with start, stop and speaker"),
    ("a.json", '{"a": {"turns": [{"start": true, "stop": 2, "speaker": "b"}]}}', "expected a time in seconds"),
    ("a.json", '{"a b": {"turns": [{"start": 1, "stop": 2, "speaker": "b"}]}}', "a recording is a name without spaces"),
    ("a.json", "[" * 100_000, "a.json")])
def test_what_is_no_turn_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_turns(written(tmp_path, text, name))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_turns(tmp_path / "nowhere.rttm")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_turns(tmp_path)
    (tmp_path / "sound.rttm").write_bytes(b"RIFF\xff\xfe\x00")
    with pytest.raises(DatasetError, match="is no text.*save it as UTF-8"):
        read_turns(tmp_path / "sound.rttm")
    with (tmp_path / "large.rttm").open("wb") as file:
        file.truncate(2 ** 27)
    with pytest.raises(DatasetError, match="128 MiB, more than a file of turns can have"):
        read_turns(tmp_path / "large.rttm")
    with pytest.raises(UsageError, match="expected a file that ends in"):
        format_of(tmp_path / "a.doc")


def test_stretches_to_score_are_read(tmp_path: Path) -> None:
    assert read_uem(written(tmp_path, "a 1 0.0 5\na 1 7 8\n")) == {"a": ((0.0, 5.0), (7.0, 8.0))}
    for text, message in (("a 1 5", "expected recording, channel, start and stop, found 3"),
                          ("a 1 5 4", "stops after that, found 5 to 4")):
        with pytest.raises(DatasetError, match=message):
            read_uem(written(tmp_path, text))


def test_turns_check_themselves() -> None:
    with pytest.raises(ValueError, match="a turn starts at 0 s or later"):
        Turn(2, 2, "a")
    with pytest.raises(ValueError, match="a name without spaces, found 'a b'"):
        Turn(1, 2, "a b")
    with pytest.raises(ValueError, match="a recording is a name without spaces"):
        Turns("", ())
    with pytest.raises(ValueError, match="not in order of their starts"):
        Turns("a", (Turn(2, 3, "a"), Turn(1, 2, "a")))
