"""What two stores differ in: counted by hand on stores whose differences were put in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.training_stores import TASKS, make_clips, make_store, rows_of

from pipeline.cli import main
from pipeline.clip import Corpus
from pipeline.curation.differences import differences
from pipeline.media import FeatureSequence
from pipeline.storage.packing import FeatureData, write_store
from pipeline.store import FeatureStore


def test_a_store_differs_from_itself_in_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = make_store(tmp_path / "a.h5", sizes={"train": 20})
    found = differences(FeatureStore(store), FeatureStore(store))
    assert found["columns"] == {} and not found["clips"]["only_first"] and not found["only_second"]
    for part in found["features"].values():
        assert part["same_recipe"] and part["identical"] == part["clips"] > 0 and part["cosine_mean"] is None
    assert main(["diff", str(store), str(store)]) == 0
    assert "20 clips in both, 0 only in the first" in capsys.readouterr().out


def test_what_was_put_in_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = make_clips({"train": 12})
    other = [replace(clip, text="other words") if place == 2 else clip for place, clip in enumerate(clips)][1:]
    rows = {clip.clip_id: rows_of(clip, "text_bert", seed=place * 7) for place, clip in enumerate(clips)}
    moved = dict(list(rows.items())[1:])
    far, long = clips[3].clip_id, clips[4].clip_id
    moved[far] = replace(rows[far], values=rows[far].values * np.float32(1.5))
    moved[long] = FeatureSequence(np.ones((9, 6), np.float32), np.zeros((9, 2), np.float32))
    moved[clips[5].clip_id] = FeatureSequence.empty((6,))
    paths = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for path, kept, cells, layer in ((paths[0], clips, rows, -1), (paths[1], other, moved, -2)):
        write_store(path, corpus=Corpus("made-up", TASKS), clips=kept, features={
            "text_bert": FeatureData("text", (6,), {"extractor": "text_bert", "settings": {"layer": layer}}, cells)})
    found = differences(*map(FeatureStore, paths))
    assert found["clips"] == {"both": 11, "only_first": 1, "only_second": 0, "first_names": [clips[0].clip_id],
                              "second_names": []}
    assert found["columns"] == {"text": 1}
    part = found["features"]["text_bert"]
    assert (part["clips"], part["identical"], part["other_lengths"], part["only_first"]) == (10, 8, 1, 1)
    assert part["cosine_least"] == pytest.approx(1) and part["relative_most"] == pytest.approx(1 / 3)
    assert part["furthest"] == far and part["settings"] == (("settings.layer", -1, -2),)
    assert main(["diff", *map(str, paths)]) == 0
    said = capsys.readouterr().out
    assert "text_bert: settings.layer is -1 in the first, -2 in the second" in said and far in said
    assert "1 clips have another text" in said
    assert main(["diff", *map(str, paths), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["features"]["text_bert"]["identical"] == 8


def test_rows_of_another_shape_are_said_and_not_compared(tmp_path: Path) -> None:
    clips = make_clips({"train": 3})
    for name, width in (("a", 4), ("b", 5)):
        rows = FeatureSequence(np.ones((2, width), np.float32), np.zeros((2, 2), np.float32))
        write_store(tmp_path / name, corpus=Corpus("made-up", TASKS), clips=clips, features={
            "x": FeatureData("text", (width,), {"extractor": "x"}, {clip.clip_id: rows for clip in clips})})
    part = differences(FeatureStore(tmp_path / "a"), FeatureStore(tmp_path / "b"))["features"]["x"]
    assert part["other_shape"] and part["cosine_mean"] is None
