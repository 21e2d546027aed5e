"""What is answered for: which rows belong to which, and what a clip's rows say of the clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.frame_stores import MOOD, SPEAKING, grid, make_frame_store

from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.joined import JoinedStores, open_stores
from pipeline.learning.units import RowsAsClips, Units, align, clip_units, frame_units, settle_level
from pipeline.media import FeatureSequence
from pipeline.storage.packing import FeatureData, write_store


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> JoinedStores:
    return open_stores(make_frame_store(tmp_path_factory.mktemp("units") / "tracks.h5"))


def store_of(path: Path, **features: FeatureSequence) -> JoinedStores:
    """A store of one clip."""
    return open_stores(write_and_name(path / "one.h5", features))


def write_and_name(path: Path, features: dict[str, FeatureSequence]) -> Path:
    write_store(path, corpus=Corpus("one", (MOOD,)), clips=[Clip("all/a", labels={"mood": "calm"})], features={
        name: FeatureData("audio", rows.values.shape[1:], {"extractor": name}, {"all/a": rows})
        for name, rows in features.items()})
    return path


def rows(times: np.ndarray, kind: str = "measured") -> FeatureSequence:
    values = np.arange(len(times), dtype=np.float32)[:, None]
    return FeatureSequence(values, times.astype(np.float32), kind)  # type: ignore[arg-type]


def test_every_row_of_the_clock_is_a_unit_with_the_label_that_stands_there(stores: JoinedStores) -> None:
    units = frame_units(stores, [SPEAKING, MOOD], "frame_labels")
    store = stores.stores[0]
    for place, clip_id in enumerate(store.column("clip_id")):
        own = units.of(np.array([place]))
        truth = store.read(clip_id, "frame_labels")
        assert units.labels["speaking"][own].tolist() == truth.values[:, 0].tolist()
        assert (units.labels["mood"][own] == store.labels("mood")[place]).all()
        np.testing.assert_array_equal(units.times[own], truth.times)  # type: ignore[index]
    table = units.rows()
    assert table is not None and table["row"].iloc[:3].tolist() == [0, 1, 2]
    assert table["start_seconds"].iloc[:3].tolist() == [0, 0.04, 0.08]


def test_rows_of_equal_times_belong_together_and_a_clip_without_rows_gives_none(stores: JoinedStores) -> None:
    units = frame_units(stores, [SPEAKING], "frame_labels")
    index = align(stores, "asd_faces", units)
    lengths = stores.rows("asd_faces").lengths
    assert (index[np.isin(units.owner, np.flatnonzero(lengths == 0))] == -1).all()
    there = np.isin(units.owner, np.flatnonzero(lengths))
    np.testing.assert_array_equal(index[there], np.arange(lengths.sum()))


def test_the_row_around_the_middle_belongs_whatever_its_number(tmp_path: Path) -> None:
    halves = np.array([[0.0, 0.5], [0.5, 1.0]])
    windows = np.stack([np.arange(0, 1, .1), np.arange(0, 1, .1) + .3], 1)
    late = np.array([[0.6, 0.8], [0.8, 1.0]])
    found = store_of(tmp_path, clock=rows(grid(10, 10)), halves=rows(halves), windows=rows(windows), late=rows(late))
    units = frame_units(found, [MOOD], "clock")
    assert align(found, "halves", units).tolist() == [0] * 5 + [1] * 5
    assert align(found, "windows", units).tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert align(found, "late", units).tolist() == [-1] * 6 + [0, 0, 1, 1]


def test_rows_without_times_are_refused(tmp_path: Path) -> None:
    words = FeatureSequence(np.ones((3, 1), np.float32), np.full((3, 2), np.nan, np.float32), "none")
    found = store_of(tmp_path, clock=rows(grid(10, 10)), words=words)
    with pytest.raises(TrainingError, match="words have no times.*--level utterance"):
        align(found, "words", frame_units(found, [MOOD], "clock"))
    with pytest.raises(TrainingError, match="words cannot be answered for one by one.*without times"):
        frame_units(found, [MOOD], "words")


def test_labels_that_are_not_stored_or_not_classes_are_refused(stores: JoinedStores, tmp_path: Path) -> None:
    other = Task("laughing", ("no", "yes"), level="frame")
    with pytest.raises(StoreError, match="no labels of frames for 'laughing'.*--extractors frame_labels"):
        frame_units(stores, [other], "asd_audio")
    with pytest.raises(StoreError, match="values for frames"):
        frame_units(stores, [Task("speaking", value_range=(0, 1), level="frame")], "asd_audio")


def test_a_clip_is_labelled_by_what_is_looked_for_in_it_or_by_what_is_commonest() -> None:
    owner = np.array([0, 0, 0, 1, 1, 3])
    units = Units("clock", owner, np.array([0, 3, 5, 5]), np.array([3, 2, 0, 1]), {
        "speaking": np.array([0, 0, 1, 0, 0, -1]), "mood": np.array([0, 0, 1, 1, 1, 0]),
        "arousal": np.array([0.0, 0.5, np.nan, 1.0, 1.0, np.nan], np.float32)})
    assert units.clip_labels(SPEAKING, 4).tolist() == [1, 0, -1, -1]
    assert units.clip_labels(MOOD, 4).tolist() == [0, 1, -1, 0]
    arousal = units.clip_labels(Task("arousal", value_range=(0, 1)), 4)
    np.testing.assert_array_equal(arousal, np.array([0.25, 1.0, np.nan, np.nan], np.float32))
    assert clip_units({"mood": np.array([1])}, 1).of(np.array([0])).tolist() == [0]


def test_rows_that_stand_as_clips_have_one_row_of_each_feature_and_no_words(stores: JoinedStores) -> None:
    units = frame_units(stores, [SPEAKING], "asd_audio")
    view = RowsAsClips(stores, units)
    assert len(view) == len(units) == stores.rows("asd_audio").lengths.sum()
    assert set(view.rows("asd_faces").lengths) == {0, 1}
    assert view.clips["clip_id"].tolist() == stores.clips["clip_id"].to_numpy()[units.owner].tolist()
    assert (view.clips["text"] == "").all()
    np.testing.assert_array_equal(view.labels("speaking"), units.labels["speaking"])


@pytest.mark.parametrize(("level", "clock", "model_level", "tasks", "expected"), [
    ("auto", "", "clip", [MOOD], ("utterance", "")), ("auto", "", "clip", [SPEAKING], ("frame", "frame_labels")),
    ("auto", "", "frame", [MOOD], ("frame", "asd_audio")), ("frame", "asd_faces", "clip", [MOOD],
                                                            ("frame", "asd_faces"))])
def test_the_level_follows_the_model_and_the_tasks(stores: JoinedStores, level: str, clock: str, model_level: str,
                                                   tasks: list[Task], expected: tuple[str, str]) -> None:
    found = settle_level(level, clock, model_level=model_level, tasks=tasks,  # type: ignore[arg-type]
                         stores=stores, inputs=["asd_audio"])
    assert found == expected


def test_a_level_that_does_not_fit_is_refused(stores: JoinedStores) -> None:
    with pytest.raises(UsageError, match="level=utterance: frames are labelled for speaking"):
        settle_level("utterance", "", model_level="clip", tasks=[SPEAKING], stores=stores, inputs=["asd_audio"])
    with pytest.raises(UsageError, match="level=utterance: the model answers for rows"):
        settle_level("utterance", "", model_level="frame", tasks=[MOOD], stores=stores, inputs=["asd_audio"])
    with pytest.raises(UsageError, match="clock=asd_audio: only level=frame"):
        settle_level("utterance", "asd_audio", model_level="clip", tasks=[MOOD], stores=stores, inputs=["asd_audio"])
