"""R3D-18 on aligned crops of the largest face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.extractors.face_r3d18 import FaceR3d18
from pipeline.faces import COLUMNS
from pipeline.faces.alignment import EXPRESSION_CROP
from pipeline.media import FeatureSequence, Frames, Media

SIDE = 240


class Watched:
    """Stands for the network: keeps what it was given."""

    def __init__(self) -> None:
        self.frames, self.rows = np.zeros((0, 112, 112, 3), np.uint8), np.zeros((0, 16), np.int64)

    def __call__(self, frames: np.ndarray, rows: np.ndarray, *, batch_size: int) -> np.ndarray:
        self.frames, self.rows = frames, rows
        return np.ones((len(rows), 512), np.float32)


def face(track: int, x: float, y: float, side: float) -> np.ndarray:
    """A row whose landmarks fill a box as the crop's template does."""
    points = EXPRESSION_CROP.template * side + [x, y]
    return np.array([track, x, y, x + side, y + side, 0.99, *points.ravel()], np.float32)


def clip_of(extractor: FaceR3d18, faces: dict[int, list[np.ndarray]], num_frames: int = 40) -> Media:
    """Frames that carry their number as their grey level; faces by frame."""
    wanted = extractor.request.snippets.frames(num_frames) if extractor.request.snippets else np.arange(num_frames)
    values = np.stack([np.full((SIDE, SIDE, 3), number, np.uint8) for number in wanted])
    values[:, :, SIDE // 2:] += 100
    rows = [(frame, row) for frame in sorted(faces) for row in faces[frame]]
    times = np.array([[frame / 15, (frame + 1) / 15] for frame, _ in rows], np.float32).reshape(-1, 2)
    found = np.stack([row for _, row in rows]) if rows else np.zeros((0, len(COLUMNS)), np.float32)
    frames = Frames(values, wanted, rate_hz=15, num_frames=num_frames, source_size=(2 * SIDE, 2 * SIDE))
    return Media("a", {extractor.request: frames}, duration_seconds=num_frames / 15,
                 features={"faces": FeatureSequence(found, times)})


@pytest.fixture
def extractor() -> FaceR3d18:
    made = FaceR3d18(FaceR3d18.Config(weights="random"))
    made.__dict__["network"] = Watched()
    return made


def numbers(extractor: FaceR3d18) -> list[list[int]]:
    """Grey level of each crop of each snippet."""
    watched = extractor.__dict__["network"]
    return watched.frames[watched.rows][:, :, 50, 50, 0].astype(int).tolist()  # type: ignore[no-any-return]


def test_a_snippet_shows_the_frames_of_its_face(extractor: FaceR3d18) -> None:
    clip = clip_of(extractor, {frame: [face(0, 20, 20, 150)] for frame in range(40)})
    found, = extractor.extract([clip])
    assert numbers(extractor) == [list(range(start, start + 16)) for start in (0, 8, 16, 24)]
    np.testing.assert_allclose(found.times[:, 0], np.array([0, 8, 16, 24]) / 15, atol=1e-6)


def test_frames_where_the_face_is_not_seen_repeat_its_nearest_crop(extractor: FaceR3d18) -> None:
    clip = clip_of(extractor, {frame: [face(0, 20, 20, 150)] for frame in (3, 4, 12)}, num_frames=16)
    extractor.extract([clip])
    assert numbers(extractor) == [[3, 3, 3, 3, *[4] * 5, *[12] * 7]]


def test_a_snippet_without_a_face_gives_no_row(extractor: FaceR3d18) -> None:
    found, = extractor.extract([clip_of(extractor, {frame: [face(0, 20, 20, 150)] for frame in range(30, 40)})])
    np.testing.assert_allclose(found.times, np.array([[16, 32], [24, 40]]) / 15, atol=1e-6)
    assert extractor.extract([clip_of(extractor, {})])[0].values.shape == (0, 512)


def test_of_two_people_the_one_who_covers_most_is_followed(extractor: FaceR3d18) -> None:
    left, right = face(0, 20, 20, 100), face(1, 270, 20, 180)
    extractor.extract([clip_of(extractor, {frame: [left, right] for frame in range(16)}, num_frames=16)])
    assert numbers(extractor) == [[number + 100 for number in range(16)]], "the right half is brighter by 100"


def test_crops_are_cut_from_where_the_face_is_in_the_smaller_picture(extractor: FaceR3d18) -> None:
    # Source pixels are twice the picture's: a face across the picture's middle has the step in its crop's middle.
    extractor.extract([clip_of(extractor, {0: [face(0, SIDE - 56, 100, 112)]}, num_frames=1)])
    crop = extractor.__dict__["network"].frames[0, :, :, 0].astype(int)
    assert (crop[:, :52] == 0).all() and (crop[:, 60:] == 100).all()


def test_a_clip_without_frames_has_no_rows_even_if_faces_are_named(extractor: FaceR3d18) -> None:
    clip = clip_of(extractor, {0: [face(0, 20, 20, 150)]})
    none = Frames(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64), rate_hz=15, num_frames=0, source_size=(0, 0))
    assert extractor.extract([replace(clip, frames={extractor.request: none})])[0].values.shape == (0, 512)


def test_the_crops_recipe_is_among_the_settings(extractor: FaceR3d18) -> None:
    assert extractor.settings()["crop"] == "eyes at .35" and extractor.needs.features == ("faces",)


def test_settings_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="lines is at least 1, found 0"):
        FaceR3d18.Config(lines=0)
    with pytest.raises(ValueError, match="batch_size is at least 1, found 0"):
        FaceR3d18.Config(batch_size=0)
