"""Pictures of the followed face, frame by frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.batch import gather_rows
from pipeline.cli import main
from pipeline.extractors.face_frames import FaceFrames
from pipeline.extractors.face_r3d18 import FaceR3d18
from pipeline.joined import open_stores
from pipeline.media import FeatureSequence, Frames, Media
from pipeline.store import FeatureStore
from tests.networks.test_crops import LARGE, MIDDLE, NUM_FRAMES, everywhere, face, scene


def rows_of(faces: dict[int, list[np.ndarray]], *, speaking: dict[int, float] | None = None,
            **settings: Any) -> FeatureSequence:
    """Rows of a scene whose frames carry their number as their grey level."""
    extractor = FaceFrames(FaceFrames.Config(**settings))
    found, = extractor.extract([scene(extractor, faces, speaking=speaking)])
    return found


def frames_of(found: FeatureSequence) -> list[int]:
    """The frame of each row, by its time."""
    return np.round(found.times[:, 0] * 15).astype(int).tolist()  # type: ignore[no-any-return]


def test_each_frame_in_which_the_face_is_seen_is_a_picture_of_its_own_time() -> None:
    found = rows_of({frame: [LARGE] for frame in (0, 3, 4, 17, NUM_FRAMES - 1)}, side=40)
    assert found.values.shape == (5, 40, 40, 3) and found.values.dtype == np.uint8
    assert found.values[:, 20, 20, 0].tolist() == frames_of(found) == [0, 3, 4, 17, NUM_FRAMES - 1]
    np.testing.assert_allclose(found.times[:, 1] - found.times[:, 0], 1 / 15, atol=1e-6)


def test_every_third_frame_is_five_a_second_and_decodes_no_others() -> None:
    found = rows_of(everywhere(LARGE), every=3)
    assert frames_of(found) == list(range(0, NUM_FRAMES, 3)) == found.values[:, 50, 50, 0].tolist()
    wanted = FaceFrames(FaceFrames.Config(every=3)).request.snippets
    assert wanted is not None and wanted.frames(10).tolist() == [0, 3, 6, 9]


def test_one_face_is_followed_a_second_at_a_time_and_another_never_stands_in() -> None:
    faces = {frame: [MIDDLE] if frame in (5, 6) else [LARGE, MIDDLE] for frame in range(16)}
    faces |= {frame: [MIDDLE] for frame in range(16, 32)}
    extractor = FaceFrames()
    clip = scene(extractor, faces)
    assert frames_of(extractor.extract([clip])[0]) == [frame for frame in range(32) if frame not in (5, 6)]
    followed = extractor.snippets(clip)
    assert [int(track) for track in followed.faces[followed.rows[:, 0], 0]] == [0] * 14 + [1] * 16


def test_who_speaks_is_followed_and_all_come_by_time_then_track() -> None:
    both = everywhere(LARGE, MIDDLE)
    assert len(rows_of(both, face="speaking", speaking={0: 0.1, 1: 0.2}).values) == 0
    assert len(rows_of(both, face="speaking", speaking={0: 0.1, 1: 0.9}).values) == NUM_FRAMES
    extractor = FaceFrames(FaceFrames.Config(face="all"))
    found = extractor.snippets(scene(extractor, both))
    assert [int(track) for track in found.faces[found.rows[:, 0], 0]] == [0, 1] * NUM_FRAMES
    assert np.round(found.times[:, 0] * 15).astype(int).tolist() == sorted([*range(NUM_FRAMES)] * 2)


def test_faces_that_are_not_good_enough_give_no_row() -> None:
    unsure = face(0, 10, 60, probability=0.5)
    assert frames_of(rows_of({0: [LARGE], 1: [unsure], 2: [LARGE]})) == [0, 2]
    assert len(rows_of({0: [LARGE]}, least_face_pixels=61).values) == 0
    assert len(rows_of({0: [LARGE]}, least_sharpness=1.0).values) == 0, "one grey level"


def test_the_pictures_are_those_that_other_extractors_of_faces_show_their_networks() -> None:
    chance = np.random.default_rng(0)
    noise = chance.integers(0, 256, (NUM_FRAMES, 240, 240, 3)).astype(np.uint8)
    mine, network = FaceFrames(), FaceR3d18(FaceR3d18.Config(weights="random"))
    faces = everywhere(LARGE)
    theirs = network.snippets(scene(network, faces, values=noise))
    found, = mine.extract([scene(mine, faces, values=noise)])
    np.testing.assert_array_equal(found.values, theirs.crops)


def test_no_faces_and_no_frames_give_no_rows() -> None:
    assert rows_of({}).values.shape == (0, 112, 112, 3)
    extractor = FaceFrames()
    clip: Media = scene(extractor, everywhere(LARGE))
    none = Frames(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64), rate_hz=15, num_frames=0, source_size=(0, 0))
    found, = extractor.extract([replace(clip, frames={extractor.request: none})])
    assert found.values.shape == (0, 112, 112, 3) and found.values.dtype == np.uint8


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="side and every are at least 1, found 0 and 1"):
        FaceFrames.Config(side=0)
    assert FaceFrames(FaceFrames.Config(side=64)).settings()["side"] == 64


def test_a_real_video_is_stored_as_pictures_and_reaches_a_model_as_pixels(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "video" / "single_face.mp4"
    (tmp_path / "clips.csv").write_text(f"path,emotion\n{source},happy\n", encoding="utf-8")
    assert main(["extract", "--dataset", "manifest", "--manifest", str(tmp_path / "clips.csv"), "--out",
                 str(tmp_path / "a.h5"), "--extractors", "face_frames", "--set", "face_frames.every=5", "--set",
                 "face_frames.side=64", "--jobs", "1"]) == 0
    store = FeatureStore(tmp_path / "a.h5")
    rows = store.read(store.clips["clip_id"].iloc[0], "face_frames")
    assert rows.values.shape[1:] == (64, 64, 3) and rows.values.dtype == np.uint8 and len(rows.values) > 3
    steps = np.diff(rows.times[:, 0])
    np.testing.assert_allclose(steps, np.round(steps * 3) / 3, atol=1e-4)
    pixels, real = gather_rows(open_stores(tmp_path / "a.h5").rows("face_frames"))
    assert pixels.shape == (1, len(rows.values), 64, 64, 3) and bool(real.all())
