"""Tables of who speaks: AVA's and UniTalk's forms, real files, files cut anywhere, and rows that make no sense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DatasetError
from pipeline.speaking import speaker_rows
from pipeline.speaking.speaker_rows import COLUMNS
from pipeline.speaking.speaker_tables import (LABELS, SpeakerTable, join_tables, read_ground_truth, read_predictions,
                                              read_video_list)

AVA = "v,{time},0.1,0.2,0.3,0.4,{label},v_0_60:{number}"
HEADER = ",".join(COLUMNS)


def ava_row(time: object = "1.04", label: str = "NOT_SPEAKING", number: object = 1) -> str:
    return AVA.format(time=time, label=label, number=number)


def unitalk_row(time: object = "0.04", label: str = "NOT_SPEAKING", entity: str = "abc:1", video: str = "abc",
                label_id: object = None) -> str:
    number = int(label == "SPEAKING_AUDIBLE") if label_id is None else label_id
    return f"{video},{time},0.1,0.2,0.3,0.4,{label},{entity},{number},{entity}:0"


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_bytes(("\n".join(lines) + end).encode())
    return path


def equal(first: SpeakerTable, second: SpeakerTable) -> bool:
    pairs = [(getattr(first, name), getattr(second, name)) for name in (
        "row", "video", "time", "time_text", "box", "label", "entity", "label_id", "instance", "score")]
    return all(one is two is None or np.array_equal(one, two) for one, two in pairs)


@pytest.mark.parametrize("name, rows, tracks", [
    ("-5KQ66BBWC4", 11147, 120), ("-FaXLcSFjUI", 5382, 74), ("KVq6If6ozMY", 9799, 114), ("TzaVHtLXOzY", 7575, 93)])
def test_real_files_are_read_whole(shared_data: Path, name: str, rows: int, tracks: int) -> None:
    path = shared_data / "ava" / "train" / f"{name}-activespeaker.csv"
    table = read_ground_truth(path)
    assert len(table) == rows and len(table.tracks()) == tracks and table.notes == ()
    plain = [line.split(",") for line in path.read_text().splitlines()]
    assert table.time_text.tolist() == [cells[1] for cells in plain]
    assert table.time.tolist() == [float(cells[1]) for cells in plain]
    assert table.box.tolist() == [[float(cell) for cell in cells[2:6]] for cells in plain]
    assert [LABELS[code] for code in table.label] == [cells[6] for cells in plain]
    assert table.entity.tolist() == [cells[7] for cells in plain]
    assert table.row.tolist() == list(range(1, rows + 1)) and set(table.video) == {name}
    assert table.label_id is None and table.instance is None and table.score is None


def test_the_real_file_that_was_cut_is_named_with_its_row(shared_data: Path) -> None:
    path = shared_data / "ava" / "cut_mid_row-activespeaker.csv"
    with pytest.raises(DatasetError, match=r"cut_mid_row-activespeaker.csv, row 10206: the file was cut in the middle"
                                           r".*'8nO5FFbIA'.*VIDEO:1.*on_damage=partial"):
        read_ground_truth(path)
    table = read_ground_truth(path, on_damage="partial")
    assert len(table) == 10205 and table.row[-1] == 10205
    assert len(table.notes) == 1 and "row 10206" in table.notes[0] and table.notes[0].endswith("left out")


def test_forms_with_and_without_a_header_hold_the_same(tmp_path: Path) -> None:
    rows = [unitalk_row(f"{number / 25:g}", entity=f"abc:{number % 3}") for number in range(9)]
    rows.append(unitalk_row("7", "SPEAKING_AUDIBLE"))
    with_header = read_ground_truth(write(tmp_path / "a.csv", HEADER, *rows))
    without = read_ground_truth(write(tmp_path / "b.csv", *rows))
    assert with_header.row.tolist() == list(range(2, 12)) and without.row.tolist() == list(range(1, 11))
    assert equal(with_header.take(np.arange(10)), SpeakerTable(
        without.path, without.row + 1, without.video, without.time, without.time_text, without.box, without.label,
        without.entity, without.label_id, without.instance))
    assert without.label_id is not None and without.label_id.tolist() == [0] * 9 + [1]
    assert without.instance is not None and without.instance[0] == "abc:0:0"
    assert without.speaking.tolist() == [False] * 9 + [True]
    # As the authors' own scripts save a part of it: with the index of the table in front.
    pd.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "c.csv")
    trimmed = read_ground_truth(tmp_path / "c.csv")
    assert trimmed.entity.tolist() == without.entity.tolist() and trimmed.box.tolist() == without.box.tolist()
    windows = write(tmp_path / "d.csv", "\ufeff" + HEADER, *(f'"{row}"'.replace(",", '","') for row in rows), "", "")
    windows.write_bytes(windows.read_bytes().replace(b"\n", b"\r\n"))
    assert equal(read_ground_truth(windows), with_header)


def test_speech_that_is_not_heard_is_negative(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", *(ava_row(time, label) for time, label in enumerate(LABELS)))
    table = read_ground_truth(path)
    assert table.label.tolist() == [0, 1, 2] and table.speaking.tolist() == [False, True, False]


def test_predictions_have_their_score_at_the_end_to_the_last_digit(tmp_path: Path) -> None:
    scores = [0.1 + 0.2, 0.3, 1e-300, -5.0, 12345678901234567.0]
    rows = [f"{ava_row(time, 'SPEAKING_AUDIBLE')},{score!r}" for time, score in enumerate(scores)]
    for lines in (rows, [",".join([*COLUMNS[:8], "score"]), *rows]):
        table = read_predictions(write(tmp_path / "p.csv", *lines))
        assert table.score is not None and table.score.tolist() == scores
    rows = [f"{unitalk_row(time)},{score!r}" for time, score in enumerate(scores)]
    table = read_predictions(write(tmp_path / "p.csv", *rows))
    assert table.score is not None and table.score.tolist() == scores and table.instance is not None
    with pytest.raises(DatasetError, match=r"p.csv has 8 cells in its row 1.*expected 9 as AVA's files or 11"):
        read_predictions(write(tmp_path / "p.csv", ava_row()))
    for score in ("nan", "inf", "high", ""):
        with pytest.raises(DatasetError, match="row 2: its score is no finite number"):
            read_predictions(write(tmp_path / "p.csv", f"{ava_row(1)},0.5", f"{ava_row(2)},{score}"))


def test_ids_of_any_length_are_taken(tmp_path: Path) -> None:
    ids = ["x", "a-video-with-a-long-name_2", "-dash", "ünï"]
    path = write(tmp_path / "a.csv", *(unitalk_row(entity=f"{name}:7", video=name) for name in ids))
    table = read_ground_truth(path)
    assert table.video.tolist() == ids and table.entity.tolist() == [f"{name}:7" for name in ids]


def test_equal_text_is_kept_once(tmp_path: Path) -> None:
    table = read_ground_truth(write(tmp_path / "a.csv", *(ava_row(time) for time in range(50))))
    assert len({id(text) for text in table.entity}) == len({id(text) for text in table.video}) == 1


def test_a_file_is_read_the_same_in_blocks_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [ava_row(time, LABELS[time % 3], time % 7) for time in range(60)]
    path = write(tmp_path / "a.csv", *rows[:30], "", *rows[30:])
    whole = read_ground_truth(path)
    assert whole.row.tolist() == [*range(1, 31), *range(32, 62)]
    for size in (100, 173, 1000):
        monkeypatch.setattr(speaker_rows, "BLOCK_BYTES", size)
        assert equal(read_ground_truth(path), whole)
    monkeypatch.setattr(speaker_rows, "BLOCK_BYTES", 10)
    with pytest.raises(DatasetError, match="a line of more than 10 bytes"):
        read_ground_truth(path)


def test_tracks_are_sorted_by_time_and_none_is_lost_to_its_length(tmp_path: Path) -> None:
    """Two tracks of one length are two: a set of lengths would know one."""
    rows = [ava_row(time, number=number) for time in (3, 1, 2) for number in (9, 4)] + [ava_row(5, number=7)]
    table = read_ground_truth(write(tmp_path / "a.csv", *rows))
    tracks = table.tracks()
    assert np.diff(tracks.starts).tolist() == [3, 3, 1] and len(tracks) == 3
    ordered = table.take(tracks.order)
    assert ordered.entity.tolist() == ["v_0_60:9"] * 3 + ["v_0_60:4"] * 3 + ["v_0_60:7"]
    assert ordered.time.tolist() == [1, 2, 3, 1, 2, 3, 5]


WRONG = {
    "cells": (ava_row(2) + ",x", "it has 9 cells; expected 8"),
    "few cells": ("v,2,0.1", "it has 3 cells; expected 8"),
    "label": (ava_row(2, "SPEAKING"), "its label is 'SPEAKING'; expected one of NOT_SPEAKING"),
    "time": (ava_row("nan"), "its frame_timestamp is 'nan'; expected seconds"),
    "no time": (ava_row(""), "its frame_timestamp is ''"),
    "endless time": (ava_row("1e999"), "its frame_timestamp is '1e999'"),
    "time before the start": (ava_row("-1"), "its frame_timestamp is '-1'"),
    "box": (ava_row(2).replace("0.3", "wide"), "its entity_box_x2 is no finite number"),
    "no box": (ava_row(2).replace("0.3", ""), "its entity_box_x2 is no finite number"),
    "nan box": (ava_row(2).replace("0.3", "nan"), "its entity_box_x2 is no finite number"),
    "track": (ava_row(2, number="x"), "its entity_id is 'v_0_60:x'"),
    "video that leaves": (ava_row(2).replace("v,", "../v,", 1), "its video_id is '../v'"),
    "track that leaves": (ava_row(2).replace("v_0", "../../v_0", 1), "its entity_id is '../../v_0_60:1'"),
    "no video": (ava_row(2)[1:], "its video_id is ''"),
    "NUL": (ava_row(2).replace("0.3", "\0"), "it holds bytes that are no text"),
    "twice": (ava_row("1.00"), r"its track v_0_60:1 has the time 1.00 in row 1 already"),
    "other video": (ava_row(2).replace("v,", "w,", 1), "its track v_0_60:1 is of the video w here and of another"),
}


@pytest.mark.parametrize("line, message", WRONG.values(), ids=WRONG)
def test_a_row_that_makes_no_sense_is_named_or_left_out(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "a.csv", ava_row("1"), ava_row(3), line, ava_row(4))
    with pytest.raises(DatasetError, match=rf"a\.csv, row 3: {message}"):
        read_ground_truth(path)
    table = read_ground_truth(path, on_damage="partial")
    assert table.time.tolist() == [1, 3, 4] and table.row.tolist() == [1, 2, 4]
    assert len(table.notes) == 1 and "row 3: " in table.notes[0] and table.notes[0].endswith("left out")


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(ava_row(1).encode() + b"\n" + ava_row(2).encode().replace(b"v,", b"\xff,", 1) + b"\n")
    with pytest.raises(DatasetError, match="row 2: it holds bytes that are no text"):
        read_ground_truth(path)


@pytest.mark.parametrize("label, label_id, message", [
    ("SPEAKING_AUDIBLE", 0, "its label is SPEAKING_AUDIBLE and its label_id 0; expected 1"),
    ("SPEAKING_NOT_AUDIBLE", 1, "its label is SPEAKING_NOT_AUDIBLE and its label_id 1"),
    ("NOT_SPEAKING", 7, "its label_id is '7'; expected 0, 1 or 2")])
def test_a_label_id_that_contradicts_is_named(tmp_path: Path, label: str, label_id: int, message: str) -> None:
    path = write(tmp_path / "a.csv", HEADER, unitalk_row(), unitalk_row("0.08", label, label_id=label_id))
    with pytest.raises(DatasetError, match=f"row 3: {message}"):
        read_ground_truth(path)
    fine = write(tmp_path / "b.csv", *(unitalk_row(time, "SPEAKING_NOT_AUDIBLE", label_id=time) for time in (0, 2)))
    assert not read_ground_truth(fine).speaking.any()


def test_files_that_hold_nothing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.touch()
    with pytest.raises(DatasetError, match=r"a.csv is empty \(0 bytes\)"):
        read_ground_truth(path)
    for lines in ([HEADER], ["", ""]):
        with pytest.raises(DatasetError, match="a.csv (holds no row|has 1 cells)"):
            read_ground_truth(write(path, *lines))
    with pytest.raises(DatasetError, match="holds no row of a face: .*row 1: its label is 'X'"):
        read_ground_truth(write(path, ava_row(1, "X")), on_damage="partial")
    with pytest.raises(DatasetError, match="gone.csv cannot be read: No such file"):
        read_ground_truth(tmp_path / "gone.csv")
    with pytest.raises(DatasetError, match="cannot be read: Is a directory"):
        read_ground_truth(tmp_path)
    with pytest.raises(DatasetError, match="has 7 cells in its row 1, and no header; expected 8 as AVA's files or 10"):
        read_ground_truth(write(path, "a,b,c,d,e,f,g"))
    with pytest.raises(DatasetError, match="has no column label; its header names video_id, frame_timestamp"):
        read_ground_truth(write(path, HEADER.replace("label,", "lable,", 1), unitalk_row()))


def test_a_file_is_checked_wherever_it_is_cut(tmp_path: Path) -> None:
    """Whatever byte a file ends at: its rows before the last are there, and the last is right, refused or doubted."""
    content = "\n".join(unitalk_row(time) for time in (1, 2)).encode() + b"\n"
    first = content.index(b"\n") + 1
    path = tmp_path / "a.csv"
    for stop in range(first + 1, len(content) + 1):
        path.write_bytes(content[:stop])
        table = read_ground_truth(path, on_damage="partial")
        assert table.row.tolist() in ([1], [1, 2])
        assert stop == len(content) or "row 2" in table.notes[-1] or "last row, 2, may be cut" in table.notes[-1]
    assert table.notes == ()


def test_many_wrong_rows_are_counted(tmp_path: Path) -> None:
    table = read_ground_truth(write(tmp_path / "a.csv", ava_row(0), *(ava_row(n, "X") for n in range(1, 21))),
                              on_damage="partial")
    assert len(table) == 1 and len(table.notes) == 9
    assert table.notes[-1].endswith("a.csv: 12 more rows are wrong and were left out")


def test_tables_of_several_files_are_joined(tmp_path: Path) -> None:
    one = read_ground_truth(write(tmp_path / "a.csv", ava_row(1), ava_row(2)))
    two = read_ground_truth(write(tmp_path / "b.csv", ava_row(1, number=2), end=""))
    both = join_tables([one, two], tmp_path)
    assert both.row.tolist() == [1, 2, 1] and both.path == tmp_path and join_tables([one], tmp_path) is one
    assert len(both.notes) == 1 and "b.csv ends without the end of a line" in both.notes[0]
    with pytest.raises(DatasetError, match="c.csv and .*a.csv both hold the track v_0_60:1; expected each in one file"):
        join_tables([one, read_ground_truth(write(tmp_path / "c.csv", ava_row(9)))], tmp_path)


def test_lists_of_videos_need_no_end_of_their_last_line(shared_data: Path, tmp_path: Path) -> None:
    lists = shared_data / "unitalk"
    assert len(read_video_list(lists / "video_list" / "train.csv")) == 95
    test = read_video_list(lists / "video_list" / "val.csv")
    kinds = [read_video_list(path) for path in sorted((lists / "sub_categories").iterdir())]
    assert len(test) == 22 and sorted(video for kind in kinds for video in kind) == sorted(test)
    path = write(tmp_path / "a.csv", "Link", "https://x.org/watch?v=a-b&t=1", "", "a_video_of_mine",
                 end="")
    assert read_video_list(path) == ("a-b", "a_video_of_mine")


@pytest.mark.parametrize("content, message", [
    (b"", "names no video"), (b"a\nb\na\n", "row 3: a is in row 1 already"), (b"a,b\n", "row 1: 'a,b' is no id"),
    (b"../a\n", "is no id of a video"), (b"\xff\n", "cannot be read"), (b"https://x.org/\n", "is no id of a video")])
def test_a_list_of_something_else_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_video_list(path)
    with pytest.raises(DatasetError, match="gone.csv cannot be read"):
        read_video_list(tmp_path / "gone.csv")
