"""The table of faces: every row, exact numbers, empty where nothing was computed, whole or not at all."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.cli import main
from pipeline.clip import Clip
from pipeline.errors import StoreError, UsageError
from pipeline.exporting import ExportConfig, export
from pipeline.exporting.tracks import HEADER
from pipeline.faces import SPEAKING_COLUMNS
from pipeline.storage.packing import Cell, FeatureData
from pipeline.store import FeatureStore
from tests.speaking.test_tracks import CLIPS, CORPUS, FACES, SCORES, SPEAKING_RECIPE, face_store, speaking_rows

TRACKS = ExportConfig("tracks")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return face_store(tmp_path / "store.h5")


def test_a_csv_holds_every_face_of_every_frame(store: FeatureStore, tmp_path: Path) -> None:
    written = export(store, tmp_path / "faces.csv", TRACKS)
    assert (written.num_clips, dict(written.rows)) == (3, {"faces": 5})
    assert written.num_bytes == (tmp_path / "faces.csv").stat().st_size
    with (tmp_path / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HEADER and len(rows) == 5
    assert [(row["clip"], row["track"], row["speaking"]) for row in rows] == [
        ("train/two", "0", "0.1"), ("train/two", "1", "0.9"), ("train/two", "0", "0.2"), ("train/two", "1", "0.8"),
        ("test/one", "4", "")]


def test_numbers_read_back_as_they_were(store: FeatureStore, tmp_path: Path) -> None:
    export(store, tmp_path / "faces.csv", TRACKS)
    export(store, tmp_path / "faces.json", TRACKS)
    from_json = pd.DataFrame(json.loads((tmp_path / "faces.json").read_text())["rows"])
    for table in (pd.read_csv(tmp_path / "faces.csv", dtype=str), from_json):
        assert tuple(table) == HEADER
        numbers = table[list(HEADER[2:-1])].to_numpy().astype(np.float64).astype(np.float32)
        expected = np.concatenate([np.column_stack([FACES[name].times, FACES[name].values[:, 1:]])
                                   for name in ("train/two", "test/one")])
        np.testing.assert_array_equal(numbers, expected)
        assert np.isnan(table["speaking"].astype(float)).tolist() == [False] * 4 + [True]


def test_a_json_says_what_it_holds_and_on_what_terms(store: FeatureStore, tmp_path: Path) -> None:
    export(store, tmp_path / "faces.json", replace(TRACKS, share=True))
    found = json.loads((tmp_path / "faces.json").read_text())
    assert found["dataset"] == "toy" and found["corpus"]["licence"] == "CC0"
    assert found["faces"] == {"feature": "faces", "fingerprint": "f" * 32}
    assert found["speaking"] == {"feature": "speaking", "fingerprint": "a" * 32}
    assert found["rows"][-1]["speaking"] is None and found["rows"][0]["track"] == 0


def test_a_store_without_scores_or_faces_in_its_clips_gives_a_table_all_the_same(tmp_path: Path) -> None:
    store = face_store(tmp_path / "store.h5", speaking=False, clips=(CLIPS[1],))
    assert json.loads((export(store, tmp_path / "a.json", TRACKS).folder).read_text())["rows"] == []
    assert export(store, tmp_path / "a.csv", TRACKS).folder.read_text() == ",".join(HEADER) + "\n"
    assert json.loads((tmp_path / "a.json").read_text())["speaking"] is None


def test_splits_choose_and_clip_ids_are_quoted(tmp_path: Path) -> None:
    odd = Clip('train/a,"b"', split="train")
    store = face_store(tmp_path / "store.h5", speaking=False, clips=(odd, CLIPS[2]),
                       faces={odd.clip_id: FACES["train/two"], "test/one": FACES["test/one"]})
    for name in ("a.csv", "a.json"):
        export(store, tmp_path / name, replace(TRACKS, splits=("train",)))
    assert set(pd.read_csv(tmp_path / "a.csv")["clip"]) == {odd.clip_id}
    assert {row["clip"] for row in json.loads((tmp_path / "a.json").read_text())["rows"]} == {odd.clip_id}


@pytest.mark.parametrize(("name", "changes", "message"), [
    ("faces.txt", {}, "tracks are written to a file that ends in .csv or .json"),
    ("faces.csv", {"share": True}, "a CSV has no place for the corpus's terms"),
    ("faces.csv", {"task": "mood"}, "--task is not for --format tracks"),
    ("faces.csv", {"float16": True}, "--float16 is not for --format tracks"),
    ("faces.csv", {"features": ("faces", "speaking")}, "writes one feature of faces, found --features faces,speaking")])
def test_what_makes_no_sense_is_a_usage_error(store: FeatureStore, tmp_path: Path, name: str,
                                              changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(store, tmp_path / name, replace(TRACKS, **changes))  # type: ignore[arg-type]
    assert not (tmp_path / name).exists()


def test_terms_that_forbid_to_pass_on_hold_for_faces_too(tmp_path: Path) -> None:
    store = face_store(tmp_path / "store.h5", corpus=replace(CORPUS, redistribute="no"))
    with pytest.raises(UsageError, match="do not allow to pass on"):
        export(store, tmp_path / "faces.json", replace(TRACKS, share=True))
    allowed = replace(TRACKS, share=True, i_have_permission="the owner, in writing")
    assert json.loads(export(store, tmp_path / "a.json", allowed).folder.read_text())["permission"].startswith("the o")


def test_a_file_that_is_there_is_never_overwritten(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("mine")
    with pytest.raises(StoreError, match="faces.csv is there already"):
        export(store, tmp_path / "faces.csv", TRACKS)
    assert (tmp_path / "faces.csv").read_text() == "mine"
    with pytest.raises(StoreError, match="speaking of .* holds no faces; those that do: faces"):
        export(store, tmp_path / "other.csv", replace(TRACKS, features=("speaking",)))


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    another = speaking_rows(FACES["train/two"], SCORES["train/two"])
    scores = FeatureData("face", (len(SPEAKING_COLUMNS),), SPEAKING_RECIPE, columns=SPEAKING_COLUMNS,
                         cells={"train/two": Cell.of(another), "test/one": Cell.of(another)})
    store = face_store(tmp_path / "store.h5", speaking=False, more={"speaking": scores})
    for name in ("half.csv", "half.json"):
        with pytest.raises(StoreError, match="clip test/one has 4 rows that are not those of faces"):
            export(store, tmp_path / name, TRACKS)
    assert [path.name for path in tmp_path.iterdir()] == ["store.h5"]


def test_the_command_writes_what_the_function_writes(store: FeatureStore, tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    export(store, tmp_path / "a.csv", TRACKS)
    assert main(["export", str(store.path), "--format", "tracks", "--out", str(tmp_path / "b.csv")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
