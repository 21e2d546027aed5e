"""MELD-FAIR's times: stretches by place in the dialogue, of one video each, and what is left as it was cut."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from pipeline.datasets import _meld_fair
from pipeline.datasets._meld_fair import COLUMNS, Stretch, one_stretch, read_times
from pipeline.datasets.meld import Meld
from pipeline.errors import DatasetError
from tests.datasets.test_meld import row, touch, write_csv


@pytest.fixture()
def root(tmp_path: Path) -> Path:
    """A dialogue whose ids have a hole, with empty files for videos, and another that MELD-FAIR leaves out."""
    write_csv(tmp_path / "train_sent_emo.csv", [row(1, 0), row(1, 1), row(1, 8), row(2, 0)])
    touch(tmp_path / "train_splits", "dia1_utt0.mp4", "dia1_utt1.mp4", "dia1_utt8.mp4", "dia2_utt0.mp4")
    return tmp_path


def times(root: Path, *rows: tuple[object, ...]) -> Path:
    return write_csv(root / "fair.csv", [tuple(map(str, cells)) for cells in rows], COLUMNS)


def read(root: Path, path: Path) -> Meld:
    return Meld(Meld.Config(root=root, splits=("train",), times=path))


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(_meld_fair) == (0, 1)


def test_utterances_lie_where_they_are_said(root: Path) -> None:
    path = times(root, ("train", 1, 0, 1, 0, 0.5, 2.0), ("train", 1, 1, 1, 0, 2.1, 2.5),
                 ("train", 1, 1, 1, 1, 0.0, 3.0), ("train", 1, 2, 1, 8, 0.25, 1.5), ("dev", 2, 0, 2, 0, 0.0, 1.0))
    reader = read(root, path)
    found = {clip.clip_id: (clip.source and clip.source.name, clip.start_seconds, clip.stop_seconds)
             for clip in reader.clips()}
    assert found == {"train/dia1_utt0": ("dia1_utt0.mp4", 0.5, 2.0), "train/dia1_utt1": ("dia1_utt1.mp4", 0.0, 3.0),
                     "train/dia1_utt8": ("dia1_utt8.mp4", 0.25, 1.5), "train/dia2_utt0": ("dia2_utt0.mp4", 0.0, None)}
    assert reader.notes == ["train: 3 clips by MELD-FAIR's times, 1 clip that it leaves out as published; 1 clip lie in"
                            " several videos, of which 0 s in others than the main one are left out"]
    assert reader.recorded_spans() == {}


def test_places_count_the_rows_of_a_dialogue_and_not_its_ids(root: Path) -> None:
    clips = {clip.clip_id: clip for clip in read(root, times(root, ("train", 1, 2, 1, 1, 0.0, 1.0))).clips()}
    assert clips["train/dia1_utt8"].source == root / "train_splits" / "dia1_utt1.mp4"


def test_clips_of_text_alone_stay_so(tmp_path: Path) -> None:
    write_csv(tmp_path / "train_sent_emo.csv", [row(1, 0)])
    clip, = read(tmp_path, times(tmp_path, ("train", 1, 0, 1, 0, 0.5, 2.0))).clips()
    assert clip.source is None and clip.stop_seconds is None


def test_equal_lengths_take_the_first_video() -> None:
    assert one_stretch([Stretch("a", 1.0, 2.0), Stretch("b", 0.0, 1.0)]) == (Stretch("a", 1.0, 2.0), 1.0)


@pytest.mark.parametrize(("cells", "message"), [
    (("train", 1, 0, 1, 0, "x", 2.0), "row 2: from 'x' to '2.0'; expected seconds"),
    (("train", 1, 0, 1, 0, 2.0, 2.0), "the end behind the start"),
    (("train", 1, 0, 1, 0, 0, "inf"), "expected seconds"),
    (("train", 1, 0, 1, 0, "nan", 1), "expected seconds"),
    (("train", "one", 0, 1, 0, 0, 1), "Dialogue ID is 'one'; expected a whole number")])
def test_a_row_that_makes_no_sense_is_named(tmp_path: Path, cells: tuple[object, ...], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_times(times(tmp_path, cells))


def test_a_file_of_another_corpus_is_refused(root: Path) -> None:
    with pytest.raises(DatasetError, match="fair.csv has none of the clips of train"):
        list(read(root, times(root, ("train", 7, 0, 7, 0, 0.0, 1.0))).clips())


def test_a_file_that_is_not_there_is_named_with_where_to_get_it(root: Path) -> None:
    with pytest.raises(DatasetError, match="no file .*gone.csv; expected csvs/MELD_video_realignment_timestamps.csv"):
        list(read(root, root / "gone.csv").clips())


def test_a_file_that_is_no_text_is_refused(root: Path) -> None:
    (root / "fair.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="is not text in UTF-8"):
        list(read(root, root / "fair.csv").clips())
