"""Stores joined by clip id, and which features a model gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.training_stores import CLASSES, TASKS, make_clips, make_store

from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import StoreError
from pipeline.joined import choose_inputs, is_labelled, open_stores
from pipeline.storage.packing import FeatureData, write_store
from pipeline.store import FeatureStore


def test_clips_of_two_stores_meet_by_id_whatever_their_order(tmp_path: Path) -> None:
    clips = make_clips({"train": 20, "dev": 8})
    first = make_store(tmp_path / "a.h5", clips=clips[:24], features=["text_bert"])
    second = make_store(tmp_path / "b.h5", clips=clips[:3:-1], features=["face_r3d18"])
    joined = open_stores([first, second])
    assert joined.clips["clip_id"].tolist()[:24] == [clip.clip_id for clip in clips[:24]]
    assert set(joined.clips["clip_id"]) == {clip.clip_id for clip in clips}
    for path, feature in ((first, "text_bert"), (second, "face_r3d18")):
        store, rows = FeatureStore(path), joined.rows(feature)
        known = set(store.clips["clip_id"])
        for place, clip_id in enumerate(joined.clips["clip_id"]):
            found = rows.values[rows.starts[place]:rows.starts[place] + rows.lengths[place]]
            expected = store.read(clip_id, feature).values if clip_id in known else found[:0]
            np.testing.assert_array_equal(found, expected)
    assert not joined.rows("face_r3d18").lengths[:4].any()


def test_labels_are_taken_from_whichever_store_has_them(tmp_path: Path) -> None:
    clips = make_clips({"train": 12}, tasks=TASKS[:1])
    bare = [Clip(clip.clip_id, split=clip.split, group=clip.group) for clip in clips]
    first = make_store(tmp_path / "a.h5", clips=bare, features=["text_bert"], tasks=TASKS[:1])
    second = make_store(tmp_path / "b.h5", clips=clips, features=["face_r3d18"])
    joined = open_stores([first, second])
    expected = [CLASSES.index(str(clip.labels["emotion"])) if clip.labels else -1 for clip in clips]
    assert joined.labels("emotion").tolist() == expected
    assert not is_labelled(joined.labels("arousal")).any()


def test_stores_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    clips = make_clips({"train": 6})
    first = make_store(tmp_path / "a.h5", clips=clips, features=["text_bert"])
    with pytest.raises(StoreError, match="a.h5 and .*b.h5 both hold 'text_bert'"):
        open_stores([first, make_store(tmp_path / "b.h5", clips=clips, features=["text_bert"])])
    moved = [Clip(clips[0].clip_id, split="dev")]
    with pytest.raises(StoreError, match="train/clip0 is in split 'train' of an earlier store and in 'dev' of"):
        open_stores([first, make_store(tmp_path / "c.h5", clips=moved, features=["face_r3d18"])])
    other = (Task("emotion", ("sad", "glad")),)
    with pytest.raises(StoreError, match="task 'emotion' has classes calm, glad, angry in an earlier store and sad"):
        open_stores([first, make_store(tmp_path / "d.h5", clips=[Clip("x", labels={"emotion": "glad"})], tasks=other,
                                       features=["face_r3d18"])])
    relabelled = [Clip(clips[0].clip_id, split="train", labels={"emotion": next(
        name for name in CLASSES if name != clips[0].labels["emotion"])})]
    both = open_stores([first, make_store(tmp_path / "e.h5", clips=relabelled, features=["face_r3d18"])])
    with pytest.raises(StoreError, match="train/clip0 has another label for 'emotion' in .*e.h5"):
        both.labels("emotion")
    with pytest.raises(ValueError, match="at least one store"):
        open_stores([])


def test_a_task_or_feature_that_no_store_has_is_named_with_those_there_are(tmp_path: Path) -> None:
    joined = open_stores(make_store(tmp_path / "a.h5", sizes={"train": 6}, features=["text_bert"]))
    with pytest.raises(StoreError, match="no task 'valence', only emotion, arousal"):
        joined.labels("valence")
    with pytest.raises(StoreError, match="no feature 'face_r3d18', only text_bert; add it with: python -m pipeline"
                                         " extract --dataset made-up --extractors face_r3d18 --out .*a.h5"):
        choose_inputs(joined, ["text_bert", "face_r3d18"])


def store_with(path: Path, features: dict[str, tuple[str, tuple[int, ...], bool]], *,
               empty: tuple[str, ...] = ()) -> Path:
    from pipeline.media import FeatureSequence
    clip = Clip("one", labels={"emotion": "calm"})
    return write_store(path, corpus=Corpus("c", TASKS), clips=[clip], features={
        name: FeatureData(modality, shape, {"extractor": name}, {"one": FeatureSequence(
            np.zeros((0 if name in empty else 1, *shape), np.float32),
            np.zeros((0 if name in empty else 1, 2), np.float32))}, is_input=is_input)
        for name, (modality, shape, is_input) in features.items()})


def test_one_feature_is_chosen_for_each_of_text_sound_and_picture(tmp_path: Path) -> None:
    features = {"video_r3d18": ("video", (8,), True), "face_r3d18": ("face", (8,), True),
                "faces": ("face", (4,), False),
                "audio_logmel": ("audio", (4,), True), "audio_resnet18": ("audio", (8,), True),
                "text_bert": ("text", (8,), True), "text_bert@base": ("text", (8,), True)}
    joined = open_stores(store_with(tmp_path / "a.h5", features))
    assert choose_inputs(joined) == ("text_bert", "audio_resnet18", "face_r3d18")
    assert choose_inputs(joined, ["video_r3d18", "text_bert", "video_r3d18"]) == ("video_r3d18", "text_bert")


def test_what_a_model_prefers_is_chosen_together_where_it_is_stored(tmp_path: Path) -> None:
    features = {"text_bert": ("text", (8,), True), "audio_logmel@b": ("audio", (4,), True),
                "audio_logmel@a": ("audio", (4,), True), "audio_functionals": ("audio", (9,), True)}
    joined = open_stores(store_with(tmp_path / "a.h5", features, empty=("audio_logmel@a",)))
    preferred = ("audio_logmel", "audio_functionals")
    assert choose_inputs(joined, None, preferred) == ("audio_logmel@b", "audio_functionals")
    assert choose_inputs(joined, ["text_bert"], preferred) == ("text_bert",)
    assert choose_inputs(joined, None, ("face_r3d18",)) == choose_inputs(joined) == ("text_bert", "audio_functionals")


def test_a_feature_without_any_rows_is_not_chosen_and_unknown_ones_go_by_width(tmp_path: Path) -> None:
    features = {"face_r3d18": ("face", (8,), True), "video_new": ("video", (9,), True),
                "video_other": ("video", (3,), True)}
    joined = open_stores(store_with(tmp_path / "a.h5", features, empty=("face_r3d18",)))
    assert choose_inputs(joined) == ("video_other",)
    with pytest.raises(StoreError, match="no rows of any feature that a model can learn from; it holds faces"):
        choose_inputs(open_stores(store_with(tmp_path / "b.h5", {"faces": ("face", (4,), False)})))
