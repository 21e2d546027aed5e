"""Face tracks of a clip, in pixels of its source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.extractors.faces import Faces
from pipeline.faces import COLUMNS
from pipeline.media import FeatureSequence, Frames, Media

from .conftest import SOURCE, Build, picture_at

X1, Y1, X2, Y2 = (COLUMNS.index(name) for name in ("x1", "y1", "x2", "y2"))


@pytest.fixture(scope="module")
def extractor() -> Faces:
    return Faces()


@pytest.fixture(scope="module")
def rows(extractor: Faces, build_media: Build) -> FeatureSequence:
    return extractor.extract([build_media(extractor.needs)])[0]


def test_one_face_is_one_track_on_every_frame(rows: FeatureSequence) -> None:
    assert rows.values.shape == (20, 16) and set(rows.values[:, 0]) == {0.0}
    np.testing.assert_allclose(rows.times[:, 0], np.arange(20) / 15, atol=1e-6)


def test_boxes_and_landmarks_are_pixels_of_the_source(rows: FeatureSequence) -> None:
    first, last = rows.values[0], rows.values[-1]
    # The astronaut's eyes lie at (205, 102) and (247, 104) of the portrait, which stands 130 pixels further left, 20
    # lower, and wanders right from 20 by a pixel a frame.
    np.testing.assert_allclose(first[6:10], [95, 122, 137, 124], atol=4)
    assert last[6] - first[6] == pytest.approx(19, abs=4)
    assert (rows.values[:, [X1, Y1]] >= 0).all()
    assert (rows.values[:, X2] <= SOURCE[1]).all() and (rows.values[:, Y2] <= SOURCE[0]).all()
    assert ((rows.values[:, X1] < rows.values[:, 6]) & (rows.values[:, 8] < rows.values[:, X2])).all()


def with_pictures(extractor: Faces, pictures: list[np.ndarray]) -> Media:
    frames = Frames(np.stack(pictures), np.arange(len(pictures)), rate_hz=15, num_frames=len(pictures),
                    source_size=SOURCE)
    return Media("a", {extractor.request: frames}, duration_seconds=len(pictures) / 15)


def test_two_people_are_two_rows_a_frame(extractor: Faces) -> None:
    one = picture_at(0, shift=0, face=True)[:, :200]
    picture = np.concatenate([one, one[:, ::-1]], axis=1)
    frames = Frames(np.stack([picture] * 4), np.arange(4), rate_hz=15, num_frames=4, source_size=picture.shape[:2])
    found, = extractor.extract([Media("a", {extractor.request: frames}, duration_seconds=4 / 15)])
    assert found.values[:, 0].tolist() == [0, 1] * 4
    assert np.abs(found.values[0, X1] - found.values[1, X1]) > 100


def test_a_face_after_a_cut_is_another_track(extractor: Faces) -> None:
    pictures = [picture_at(0, shift=0, face=True)] * 8 + [picture_at(0, shift=60, face=True)[::1] // 2 + 100] * 8
    found, = extractor.extract([with_pictures(extractor, pictures)])
    assert found.values[:, 0].tolist() == [0.0] * 8 + [1.0] * 8


def test_a_wall_has_no_rows_and_one_frame_is_enough_for_a_face(extractor: Faces) -> None:
    wall, face = (picture_at(0, shift=0, face=shown) for shown in (False, True))
    assert extractor.extract([with_pictures(extractor, [wall] * 5)])[0].values.shape == (0, 16)
    assert extractor.extract([with_pictures(extractor, [face])])[0].values.shape == (1, 16)
    assert extractor.extract([with_pictures(extractor, [np.zeros((1, 1, 3), np.uint8)])])[0].values.shape == (0, 16)


def test_times_end_with_the_clip(extractor: Faces, build_media: Build) -> None:
    clip = replace(build_media(extractor.needs, num_samples=0, num_frames=8), duration_seconds=0.5)
    found, = extractor.extract([clip])
    assert found.times[-1].tolist() == [np.float32(7 / 15), np.float32(0.5)]


def test_a_setting_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="lines, min_face_pixels and stride are at least 1"):
        Faces.Config(stride=0)


def test_weights_are_those_of_the_wheel(extractor: Faces) -> None:
    assert [record.name for record in extractor.weights] == ["pnet.pt", "rnet.pt", "onet.pt"]
    assert {record.source for record in extractor.weights} == {"pretrained"}
