"""Labelled clips for a DataLoader: the same batches as this program's own, from any number of workers."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pipeline import FeatureStore
from pipeline.batch import Batch, Batches
from pipeline.clip import Clip, Corpus
from pipeline.clip_dataset import ClipDataset
from pipeline.errors import StoreError
from pipeline.joined import open_stores
from pipeline.media import FeatureSequence
from pipeline.storage.packing import FeatureData, write_store
from tests.training_stores import MODALITIES, TASKS, make_store

FEATURES = tuple(MODALITIES)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    path = tmp_path_factory.mktemp("stores") / "store.h5"
    return FeatureStore(make_store(path, sizes={"train": 30, "dev": 12}))


def equal(one: Batch, other: Batch, *, task: str) -> bool:
    return (one.clip_ids.tolist() == other.clip_ids.tolist() and torch.equal(one.labels[task], other.labels[task])
            and all(torch.equal(one.features[name], other.features[name])
                    and torch.equal(one.mask[name], other.mask[name]) for name in one.features))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_loader_give_the_batches_of_training(store: FeatureStore, start: str) -> None:
    clips = store.dataset(FEATURES, "emotion", "train")
    joined = open_stores(store.path)
    own = Batches({name: joined.rows(name) for name in FEATURES}, {"emotion": joined.labels("emotion")},
                  joined.clips["clip_id"].to_numpy())
    places = np.asarray([store.place(clip_id) for clip_id in clips.clip_ids])
    expected = list(own.epoch(places, 8))
    found = list(DataLoader(clips, 8, num_workers=2, multiprocessing_context=start, collate_fn=clips.collate))
    assert len(found) == len(expected) == 4
    assert all(equal(one, other, task="emotion") for one, other in zip(found, expected, strict=True))
    assert {len(batch) for batch in found} == {8, len(clips) - 24}


def test_only_clips_with_a_label_are_there(store: FeatureStore) -> None:
    clips = store.dataset("text_bert", "emotion", "train")
    assert isinstance(clips, ClipDataset) and clips.features == ("text_bert",)
    assert len(clips) == 28 and "train/clip10" not in clips.clip_ids
    assert len(store.dataset("text_bert", "emotion")) == 28 + 11
    assert len(store.dataset("text_bert", "arousal", "dev")) == 12
    assert repr(clips) == "ClipDataset(28 clips, text_bert, emotion)"


def test_an_item_is_what_the_store_says(store: FeatureStore) -> None:
    clips = store.dataset(["audio_logmel", "text_bert"], "arousal")
    for index in (0, 5, -1):
        clip = clips[index]
        assert list(clip.features) == ["audio_logmel", "text_bert"]
        for name, rows in clip.features.items():
            assert rows.dtype == torch.float32
            np.testing.assert_array_equal(rows.numpy(), store.read(clip.clip_id, name).values)
        assert clip.label.dtype == torch.float32 and clip.label.shape == ()
        assert clip.label == store.labels("arousal")[store.place(clip.clip_id)]
    with pytest.raises(IndexError):
        clips[len(clips)]


def test_rows_that_are_changed_leave_the_store_as_it_is(store: FeatureStore) -> None:
    clips = store.dataset("face_r3d18", "arousal")
    before = clips[0].features["face_r3d18"].clone()
    clips[0].features["face_r3d18"].zero_()
    assert torch.equal(clips[0].features["face_r3d18"], before) and before.any()


def test_a_clip_without_rows_is_masked_out(store: FeatureStore) -> None:
    clips = store.dataset("text_bert", "arousal")
    empty = next(index for index in range(len(clips)) if not len(clips[index].features["text_bert"]))
    assert clips[empty].features["text_bert"].shape == (0, 6)
    batch = clips.collate([clips[empty]])
    assert batch.features["text_bert"].shape == (1, 1, 6) and not batch.features["text_bert"].any()
    assert not batch.mask["text_bert"].any()
    both = clips.collate([clips[empty], clips[0]])
    assert both.mask["text_bert"].any(dim=1).tolist() == [False, True]


def test_pixels_come_as_numbers(tmp_path: Path) -> None:
    pixels = FeatureSequence(np.full((2, 4, 4, 3), 200, np.uint8), np.asarray([[0, 1], [1, 2]], np.float32))
    path = write_store(tmp_path / "pixels.h5", corpus=Corpus("made-up", TASKS), features={
        "crops": FeatureData("face", (4, 4, 3), {}, {"a": pixels}, dtype="uint8")},
        clips=[Clip("a", labels={"emotion": "glad"})])
    rows = FeatureStore(path).dataset("crops", "emotion")[0].features["crops"]
    assert rows.dtype == torch.float32 and rows.shape == (2, 4, 4, 3) and (rows == 200).all()


def test_a_pickled_dataset_is_the_same_dataset(store: FeatureStore) -> None:
    clips = store.dataset(FEATURES, "emotion", "dev")
    again = pickle.loads(pickle.dumps(clips))
    assert again.clip_ids.tolist() == clips.clip_ids.tolist()
    assert equal(again.collate([again[3]]), clips.collate([clips[3]]), task="emotion")


@pytest.mark.parametrize(("features", "task", "split", "message"), [
    ("text_bart", "emotion", None, "no feature 'text_bart', only audio_logmel"),
    ("text_bert", "mood", None, "no task 'mood', only emotion, arousal"),
    ("text_bert", "emotion", "test", "no clip of split 'test', only of dev, train"),
])
def test_what_is_not_there_is_named(store: FeatureStore, features: str, task: str, split: str | None,
                                    message: str) -> None:
    with pytest.raises(StoreError, match=message):
        store.dataset(features, task, split)


def test_a_split_without_labels_is_an_error(tmp_path: Path) -> None:
    path = make_store(tmp_path / "bare.h5", features=["text_bert"],
                      clips=[Clip("train/a", split="train"), Clip("dev/b", split="dev", labels={"emotion": "glad"})])
    with pytest.raises(StoreError, match="in split train has a label of emotion"):
        FeatureStore(path).dataset("text_bert", "emotion", "train")


def test_no_feature_at_all_is_misuse(store: FeatureStore) -> None:
    with pytest.raises(ValueError, match="at least one feature"):
        store.dataset([], "emotion")
