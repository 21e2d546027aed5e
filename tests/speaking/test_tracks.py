"""The faces of a store with their scores: which features hold them, and what each track is in short."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import StoreError
from pipeline.faces import COLUMNS, SPEAKING_COLUMNS
from pipeline.faces.alignment import FIVE_POINTS
from pipeline.media import FeatureSequence
from pipeline.speaking.tracks import face_features, read_faces, summarise_tracks
from pipeline.storage.packing import Cell, FeatureData, write_store
from pipeline.store import FeatureStore

CORPUS = Corpus("toy", (Task("mood", ("glad", "sad")),), "CC0", redistribute="yes")
CLIPS = (Clip("train/two", split="train", labels={"mood": "glad"}), Clip("train/none", split="train"),
         Clip("test/one", split="test", speaker="anna"))
FACES_RECIPE, SPEAKING_RECIPE = {"extractor": "faces", "fingerprint": "f" * 32}, {
    "extractor": "speaking", "fingerprint": "a" * 32, "upstream": {"faces": "f" * 32}}


def face_rows(*faces: tuple[int, int, float, float]) -> FeatureSequence:
    """Faces as (frame, track, left edge, probability), 40 pixels wide and 50 high."""
    rows = [[track, left, 20, left + 40, 70, probability, *(FIVE_POINTS * 40 + (left, 22)).ravel()]
            for _, track, left, probability in faces]
    times = np.array([[frame / 15, (frame + 1) / 15] for frame, *_ in faces], np.float32).reshape(-1, 2)
    return FeatureSequence(np.array(rows, np.float32).reshape(-1, len(COLUMNS)), times)


FACES: dict[str, FeatureSequence] = {
    "train/two": face_rows((0, 0, 10, 0.9), (0, 1, 70, 1.0), (1, 0, 10, 0.8), (3, 1, 72, 1.0)),
    "train/none": face_rows(), "test/one": face_rows((2, 4, 30, 0.5))}
SCORES: dict[str, tuple[float, ...]] = {"train/two": (0.1, 0.9, 0.2, 0.8), "train/none": ()}


def speaking_rows(faces: FeatureSequence, scores: tuple[float, ...]) -> FeatureSequence:
    values = np.column_stack([faces.values[:, :5], np.array(scores, np.float32)]).astype(np.float32)
    return FeatureSequence(values.reshape(-1, len(SPEAKING_COLUMNS)), faces.times)


def face_store(path: Path, *, speaking: bool = True, scores: Mapping[str, tuple[float, ...]] = MappingProxyType(SCORES),
               clips: tuple[Clip, ...] = CLIPS, corpus: Corpus = CORPUS,
               faces: Mapping[str, FeatureSequence] = MappingProxyType(FACES),
               more: Mapping[str, FeatureData] = MappingProxyType({})) -> FeatureStore:
    """Two people in a clip, one in another, none in a third; the clip with one was not scored."""
    features = {"faces": FeatureData("face", (len(COLUMNS),), FACES_RECIPE, columns=COLUMNS, is_input=False,
                                     cells={name: Cell.of(rows) for name, rows in faces.items()}), **more}
    if speaking:
        known = {name: speaking_rows(FACES[name], score) for name, score in scores.items()}
        features["speaking"] = FeatureData("face", (len(SPEAKING_COLUMNS),), SPEAKING_RECIPE, columns=SPEAKING_COLUMNS,
                                           is_input=False, cells={name: Cell.of(rows) for name, rows in known.items()})
    return FeatureStore(write_store(path, corpus=corpus, clips=clips, features=features))


def test_faces_come_with_the_scores_that_were_made_from_them(tmp_path: Path) -> None:
    store = face_store(tmp_path / "a.h5")
    assert face_features(store) == ("faces", "speaking")
    faces = read_faces(store, store.place("train/two"), "faces", "speaking")
    assert faces.tracks.tolist() == [0, 1, 0, 1] and len(faces) == 4
    np.testing.assert_allclose(faces.speaking, [0.1, 0.9, 0.2, 0.8])


def test_what_was_not_scored_has_no_scores(tmp_path: Path) -> None:
    store = face_store(tmp_path / "a.h5")
    assert np.isnan(read_faces(store, store.place("test/one"), "faces", "speaking").speaking).all()
    silent = face_store(tmp_path / "b.h5", speaking=False)
    assert face_features(silent) == ("faces", None)
    assert np.isnan(read_faces(silent, 0, "faces", None).speaking).all()


def test_scores_of_other_faces_are_left_alone(tmp_path: Path) -> None:
    other = FeatureData("face", (len(COLUMNS),), {"fingerprint": "b" * 32}, columns=COLUMNS)
    store = face_store(tmp_path / "a.h5", more={"faces@dense": other})
    assert face_features(store, "faces@dense") == ("faces@dense", None)
    assert face_features(store) == ("faces", "speaking")


def test_scores_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    faces = face_rows((0, 1, 10, 0.9))
    wrong = FeatureData("face", (len(SPEAKING_COLUMNS),), SPEAKING_RECIPE, columns=SPEAKING_COLUMNS,
                        cells={"train/two": Cell.of(speaking_rows(faces, (0.5,)))})
    store = face_store(tmp_path / "a.h5", speaking=False, more={"speaking2": wrong})
    with pytest.raises(StoreError, match="speaking2 of clip train/two has 1 rows that are not those of faces"):
        read_faces(store, 0, *face_features(store))


def test_a_store_without_faces_says_how_to_add_them(tmp_path: Path) -> None:
    plain = FeatureStore(write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={
        "wide": FeatureData("video", (5,))}))
    with pytest.raises(StoreError, match="has no feature of faces; add it with: python -m pipeline extract"):
        face_features(plain)
    with pytest.raises(StoreError, match="wide of .* holds no faces; those that do: none"):
        face_features(plain, "wide")
    with pytest.raises(StoreError, match="has no feature 'faces@x'"):
        face_features(plain, "faces@x")


def test_a_track_in_short_is_its_span_and_its_averages(tmp_path: Path) -> None:
    store = face_store(tmp_path / "a.h5")
    first, second = summarise_tracks(read_faces(store, 0, *face_features(store)))
    assert (first.number, first.num_rows, first.height_pixels) == (0, 2, 50)
    assert (first.start_seconds, first.stop_seconds) == pytest.approx((0, 2 / 15))
    assert (second.start_seconds, second.stop_seconds) == pytest.approx((0, 4 / 15))
    assert (first.probability, first.speaking, second.speaking) == pytest.approx((0.85, 0.15, 0.85))
    unknown, = summarise_tracks(read_faces(store, 2, *face_features(store)))
    assert (unknown.number, unknown.speaking) == (4, None)
    assert summarise_tracks(read_faces(store, 1, *face_features(store))) == []
