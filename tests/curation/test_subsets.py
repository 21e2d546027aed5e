"""A part of a store is a store: with its rows, failures, files and the story of how it was made."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.clip import Clip, Corpus, Task
from pipeline.curation.subsets import Selection, read_ids, subset
from pipeline.curation.verification import verify
from pipeline.errors import StoreError, UsageError
from pipeline.storage.lock import locked
from pipeline.storage.packing import (Cell, Failure, FeatureData, SourceRecord, rows_digest, stored_clips,
                                      stored_sources, write_store)
from pipeline.store import FeatureStore
from tests.storage.test_packing import sequence

CORPUS = Corpus("toy", (Task("mood", ("glad", "sad")), Task("level", value_range=(0.0, 1.0)),
                        Task("grade", ("1", "2", "3")), Task("text", ("yes", "no"))))
MOODS, GRADES = ("glad", "sad", None), "123"
CLIPS = [Clip(f"{split}/{number}", Path(f"{number}.mp4"), text=f"words {number}", split=split,
              dialogue=str(70 + 5 * number), speaker="Ann" if number % 2 else "Ben", turn=number,
              labels={name: label for name, label in (("mood", MOODS[number % 3]), ("grade", GRADES[number % 3]),
                                                      ("level", number / 10), ("text", "yes")) if label is not None})
         for number, split in enumerate(["train"] * 4 + ["dev"] * 2 + ["test"] * 2)]
FAILURE = Failure("decode", "permanent", "no moov atom")
SOURCES = {clip.clip_id: SourceRecord(7, 8, f"{place:032x}") for place, clip in enumerate(CLIPS)}


@pytest.fixture()
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "whole.h5", CLIPS)


def make(path: Path, clips: list[Clip]) -> Path:
    cells = {clip.clip_id: Cell.failed(FAILURE) if place == 3 else Cell.of(sequence(place, seed=place))
             for place, clip in enumerate(CLIPS) if place != 5 and clip in clips}
    toy = FeatureData("audio", (4,), {"extractor": "toy"}, cells=cells, columns=("a", "b", "c", "d"))
    return write_store(path, corpus=CORPUS, clips=clips, features={"toy": toy, "other": dataclasses.replace(
        toy, is_input=False)}, sources={clip.clip_id: SOURCES[clip.clip_id] for clip in clips},
        attributes={"note": "kept"}, requests=[{"command": "extract"}])


@pytest.mark.parametrize(("selection", "places"), [
    (Selection("dialogue < 80 and split == 'train'"), [0, 1]),
    (Selection("mood == 'sad' or level >= 0.7"), [1, 4, 7]),
    (Selection("mood == ''"), [2, 5]), (Selection("grade >= 2 and speaker == 'Ann'"), [1, 5, 7]),
    (Selection("`labels/text` == 'yes' and text == 'words 6'"), [6]),
    (Selection(splits=("dev", "test")), [4, 5, 6, 7]), (Selection(labels=(("mood", "sad"),)), [1, 4, 7]),
    (Selection(labels=(("mood", "sad"), ("mood", "glad"), ("grade", "1"))), [0, 3, 6]),
    (Selection(labels=(("text", "yes"),), splits=("dev",)), [4, 5]),
    (Selection(clips=("test/7", "train/0", "test/7")), [0, 7]),
    (Selection("turn > 3", ("test", "dev"), (("mood", "sad"),), ("dev/4", "train/1")), [4]),
    (Selection(features=("toy",)), [*range(8)]),
])
def test_the_clips_that_are_asked_for_are_kept_whole(store: Path, tmp_path: Path, selection: Selection,
                                                     places: list[int]) -> None:
    cut = subset(store, tmp_path / "some.h5", selection)
    found, kept = FeatureStore(cut.path), [CLIPS[place] for place in places]
    assert [clip.clip_id for clip in stored_clips(found)] == [clip.clip_id for clip in kept]
    assert [clip.text for clip in stored_clips(found)] == [clip.text for clip in kept]
    assert stored_sources(found) == {clip.clip_id: SOURCES[clip.clip_id] for clip in kept}
    for place, clip in zip(places, kept, strict=True):
        if place not in (3, 5):
            assert rows_digest(found.read(clip.clip_id, "toy")) == rows_digest(sequence(place, seed=place))
    assert verify(cut.path).findings == []
    assert (cut.num_clips, cut.of_clips, cut.features["toy"]) == (len(places), 8, len(found.array("toy")))


@pytest.mark.parametrize(("splits", "clips", "statuses"), [
    (("train",), CLIPS[:4], ["empty", "done", "done", "failed"]),
    (("test", "dev"), CLIPS[4:], ["done", "missing", "done", "done"])])
def test_a_subset_is_what_would_have_been_made_of_these_clips_alone(
        store: Path, tmp_path: Path, splits: tuple[str, ...], clips: list[Clip], statuses: list[str]) -> None:
    found = FeatureStore(subset(store, tmp_path / "some.h5", Selection(splits=splits)).path)
    alone = FeatureStore(make(tmp_path / "alone.h5", clips))
    assert found.features == ("other", "toy") and found.corpus == alone.corpus
    for name in found.features:
        assert found.digest(name) == alone.digest(name) and found.head(name) == alone.head(name)
        assert found.status(name).tolist() == alone.status(name).tolist() == statuses
    for task in ("mood", "level", "grade", "text"):
        np.testing.assert_array_equal(found.labels(task), alone.labels(task))
    assert found.failures.to_dict() == alone.failures.to_dict()
    assert len(found.failures) == 2 * statuses.count("failed")
    assert found.attributes["note"] == "kept" and found.requests == [{"command": "extract"}]


def test_some_features_alone(store: Path, tmp_path: Path) -> None:
    cut = subset(store, tmp_path / "some.h5", Selection(features=("other",), splits=("test",)))
    assert FeatureStore(cut.path).features == ("other",) and FeatureStore(cut.path).num_clips == 2


@pytest.mark.parametrize(("selection", "said"), [
    (Selection(), "nothing to cut by; expected --where, --split, --label, --clips or --features"),
    (Selection("spilt == 'train'"), "no column named 'spilt'; did you mean 'split'"),
    (Selection("split == 'nowhere'"), "no clip of .* is left by that; it has 8 clips .train 4, dev 2, test 2."),
    (Selection(splits=("dve",)), "no split named 'dve'; did you mean 'dev'"),
    (Selection(labels=(("moods", "sad"),)), "no task named 'moods'; did you mean 'mood'"),
    (Selection(labels=(("mood", "mad"),)), "no class of mood named 'mad'; did you mean 'sad'"),
    (Selection(labels=(("level", "0.5"),)), "level is a number and has no classes; ask for it with --where"),
    (Selection(features=("toys",)), "no feature named 'toys'; did you mean 'toy'"),
    (Selection(clips=("dev/4", "dev/9", "x")), "has no clip 'dev/9', nor 1 others of the list; ids look like train/0"),
])
def test_what_is_not_there_is_named_with_what_is(store: Path, tmp_path: Path, selection: Selection, said: str) -> None:
    with pytest.raises((UsageError, StoreError), match=said):
        subset(store, tmp_path / "some.h5", selection)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole.h5"]


def test_nothing_is_written_over(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="whole.h5 is there already; name another --out"):
        subset(store, store, Selection(splits=("dev",)))
    with locked(tmp_path / "some.h5"), pytest.raises(StoreError, match="is being written by"):
        subset(store, tmp_path / "some.h5", Selection(splits=("dev",)))
    with pytest.raises(StoreError, match="cannot write"):
        subset(store, store / "some.h5", Selection(splits=("dev",)))


def test_ids_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("train/0\n\n  dev/4 \r\n", encoding="utf-8")
    assert read_ids(tmp_path / "ids") == ("train/0", "dev/4")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, said in (("empty", "names no clip; expected one clip id a line"), ("bytes", "it is not UTF-8"),
                       ("none", "No such file"), (".", "Is a directory")):
        with pytest.raises(UsageError, match=said):
            read_ids(tmp_path / name)


def test_the_command_cuts_and_says_what_it_kept(store: Path, tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ids.txt").write_text("train/0\ntrain/1\ndev/4\n")
    out = tmp_path / "some.h5"
    assert main(["subset", str(store), "--where", "dialogue < 80", "--split", "train,dev", "--label", "mood=glad",
                 "--label", "mood=sad", "--clips", str(tmp_path / "ids.txt"), "--features", "toy",
                 "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}\n" and "2 of 8 clips" in said.err
    assert FeatureStore(out).column("clip_id").tolist() == ["train/0", "train/1"]
    assert main(["subset", str(store), "--label", "mood", "--out", str(tmp_path / "x.h5")]) == 2
    assert "--label mood: expected TASK=CLASS" in capsys.readouterr().err
