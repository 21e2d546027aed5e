"""What a store holds, in numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip, Corpus, Task
from pipeline.inspection import summarise
from pipeline.media import FeatureSequence
from pipeline.packing import Cell, Failure, FeatureData, write_store
from pipeline.store import FeatureStore

CORPUS = Corpus("toy", (Task("mood", ("glad", "sad")), Task("level", value_range=(0.0, 1.0)),
                        Task("none", value_range=(0.0, 1.0))), "CC0")
CLIPS = [Clip("train/a", split="train", labels={"mood": "sad", "level": 0.0}), Clip("dev/b", split="dev"),
         Clip("train/c", split="train", labels={"mood": "sad", "level": 1.0})]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    cells = {"train/a": Cell.of(FeatureSequence(np.ones((3, 2, 5), np.float32), np.zeros((3, 2), np.float32))),
             "dev/b": Cell.failed(Failure("decode", "passing", "no picture"))}
    recipe = {"weights": [{"source": "random"}, {"source": "random"}]}
    return FeatureStore(write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={
        "wide": FeatureData("video", (2, 5), recipe, cells=cells), "plain": FeatureData("audio", (1,))}))


def test_a_summary_counts_everything(store: FeatureStore) -> None:
    summary = summarise(store)
    assert (summary["dataset"], summary["clips"], summary["splits"]) == ("toy", 3, {"train": 2, "dev": 1})
    assert summary["tasks"]["mood"] == {"glad": 0, "sad": 2, "unlabelled": 1}
    assert summary["tasks"]["level"] == {"mean": 0.5, "sd": 0.5, "unlabelled": 1}
    assert summary["tasks"]["none"] == {"mean": None, "sd": None, "unlabelled": 3}
    wide = summary["features"]["wide"]
    assert {status: wide[status] for status in ("done", "empty", "failed", "missing")} == {
        "done": 1, "empty": 0, "failed": 1, "missing": 1}
    assert (wide["rows"], wide["row_shape"], wide["modality"], wide["weights"]) == (3, [2, 5], "video", "random")
    assert wide["megabytes"] == pytest.approx(120e-6, abs=1e-3) and wide["digest"] == store.digest("wide")
    assert summary["features"]["plain"]["weights"] == "none" and summary["features"]["plain"]["missing"] == 3
    assert summary["failures"] == [{"clip": "dev/b", "feature": "wide", "stage": "decode", "kind": "passing",
                                    "message": "no picture"}]


def test_a_summary_is_json(store: FeatureStore) -> None:
    assert json.loads(json.dumps(summarise(store))) == summarise(store)
