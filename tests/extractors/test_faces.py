"""Face tracks of a clip, in pixels of its source."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut
from skimage.transform import resize

from pipeline.clip import Clip
from pipeline.config import with_settings
from pipeline.decode import read_media
from pipeline.errors import UsageError
from pipeline.extractors.faces import Faces
from pipeline.faces import COLUMNS
from pipeline.faces.levels import LEVELS
from pipeline.faces.tracking import overlap
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


@pytest.mark.parametrize("name", ["lines", "min_face_pixels", "stride"])
def test_a_setting_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lines, min_face_pixels and stride are at least 1"):
        Faces.Config(**{name: 0})
    with pytest.raises(UsageError, match="faces: .*at least 1"):
        with_settings(Faces.Config(), {name: "0"}, owner="faces")


def test_a_level_is_a_choice_of_settings_and_each_can_be_said() -> None:
    assert Faces.Config().level == LEVELS["balanced"]
    said = Faces.Config(detection="fast", stride=3)
    assert said.level == replace(LEVELS["fast"], stride=3)
    with pytest.raises(UsageError, match="faces.detection=best: expected one of fast, balanced, dense"):
        with_settings(Faces.Config(), {"detection": "best"}, owner="faces")


def test_a_recipe_holds_what_the_level_means() -> None:
    settings = Faces(Faces.Config(detection="dense", stride=2)).settings()
    assert settings["detection"] == "dense" and settings["stride"] == 2
    assert settings["cascade"] == {"pyramid_factor": 0.709, "thresholds": [0.6, 0.7, 0.7], "most_candidates": 2000,
                                   "is_exact": True}
    assert Faces(Faces.Config(lines=180)).settings() == Faces().settings(), "the same settings, however they were said"


@pytest.mark.parametrize("detection", ["fast", "dense"])
def test_every_level_finds_the_same_face(rows: FeatureSequence, build_media: Build, detection: str) -> None:
    level = Faces(Faces.Config(detection=detection))
    found, = level.extract([build_media(level.needs)])
    assert found.values[:, 0].tolist() == rows.values[:, 0].tolist()
    shared = [overlap(one[None, X1:Y2 + 1], other[None, X1:Y2 + 1])[0, 0]
              for one, other in zip(found.values, rows.values, strict=True)]
    assert np.median(shared) > 0.85


def test_a_track_ends_on_the_frame_where_the_face_leaves(extractor: Faces) -> None:
    pictures = [picture_at(0, shift=0, face=number < 13) for number in range(30)]
    pictures = [(picture.astype(int) * 9 // 10 + 12).astype(np.uint8) for picture in pictures]
    wall = picture_at(0, shift=0, face=False)
    for number in range(13, 30):  # the head sinks out of the picture: no cut
        pictures[number] = wall.copy()
        down = min(220, 30 + 12 * (number - 13))
        pictures[number][20 + down:240] = pictures[0][20:240 - down]
    dense = Faces(Faces.Config(lines=180, stride=1))
    last, true = (extractor_rows.times[-1, 0] for extractor_rows in (
        one.extract([Media("a", {one.request: frames}, duration_seconds=2.0)])[0]
        for one in (extractor, dense)
        for frames in [Frames(np.stack(pictures), np.arange(30), rate_hz=15, num_frames=30, source_size=SOURCE)]))
    assert abs(last - true) < 3 / 15


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (12, 300), (500, 90), (40, 30)])
@pytest.mark.parametrize("detection", ["fast", "balanced", "dense"])
def test_pictures_of_any_shape_pass(detection: str, size: tuple[int, int]) -> None:
    level = Faces(Faces.Config(detection=detection))
    noise = np.random.default_rng(0).integers(0, 256, (5, *size, 3), np.uint8)
    frames = Frames(noise, np.arange(5), rate_hz=15, num_frames=5, source_size=size)
    found, = level.extract([Media("a", {level.request: frames}, duration_seconds=1 / 3)])
    assert found.values.shape[1] == len(COLUMNS) and len(found.values) <= 5


def test_memory_of_a_huge_still_is_bounded_in_dense() -> None:
    program = ("import resource, numpy as np, torch; torch.set_num_threads(1)\n"
               "from pipeline.extractors.faces import Faces\n"
               "from pipeline.media import Frames, Media\n"
               "level = Faces(Faces.Config(detection='dense'))\n"
               "def seek(h, w):\n"
               "    frames = Frames(np.full((1, h, w, 3), 90, np.uint8), np.arange(1), rate_hz=15, num_frames=1,\n"
               "                    source_size=(h, w))\n"
               "    level.extract([Media('a', {level.request: frames}, duration_seconds=.1)])\n"
               "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
               "small = seek(100, 100); print(seek(4000, 5000) - small)")
    grown = float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
    assert grown < 560, "megabytes: 375 in strips, 770 if the first network sees the picture at once"


def test_the_contract_holds_for_a_crowd_that_changes(extractor: Faces, build_media: Build) -> None:
    clips = [build_media(extractor.needs, clip_id=str(number), num_frames=3 + 7 * number, shift=10 * number)
             for number in range(3)]
    together = extractor.extract(clips)
    for clip, expected in zip(clips, together, strict=True):
        assert extractor.extract([clip])[0].values.tobytes() == expected.values.tobytes()


def tracks_of(extractor: Faces, video: Path) -> list[tuple[float, float]]:
    """Begin and end of each track in seconds."""
    media = read_media(Clip("a", video), (extractor.request,), waveform=False)
    rows = extractor.extract([media])[0]
    numbers = rows.values[:, 0]
    assert sorted(set(numbers)) == list(range(len(set(numbers))))
    return [(float(rows.times[numbers == number][0, 0]), float(rows.times[numbers == number][-1, 1]))
            for number in sorted(set(numbers))]


@pytest.mark.parametrize("detection", ["fast", "balanced"])
def test_real_videos_have_the_tracks_that_a_person_sees(shared_data: Path, detection: str) -> None:
    level, videos = Faces(Faces.Config(detection=detection)), shared_data / "video"
    assert tracks_of(level, videos / "obama_speech.mp4") == [(0.0, 8.75)] * 2, "two men throughout"
    assert tracks_of(level, videos / "no_face.mp4") == [] == tracks_of(level, videos / "shot_change.mp4")
    (begin, end), = tracks_of(level, videos / "face_noface.mov")
    assert begin == 0 and end == pytest.approx(2.4, abs=0.01), "the cartoon begins there"


@pytest.mark.parametrize("detection", LEVELS)
def test_a_still_picture_is_searched_at_full_size_at_every_level(tmp_path: Path, detection: str) -> None:
    picture = np.full((720, 960, 3), 90, np.uint8)
    picture[300:340, 500:540] = resize(astronaut()[0:180, 130:310], (40, 40), preserve_range=True)
    Image.fromarray(picture).save(tmp_path / "small.png")
    level = Faces(Faces.Config(detection=detection))  # type: ignore[arg-type]
    clip = Clip("small", tmp_path / "small.png")
    media = read_media(clip, level.needs.frames, waveform=False)
    more = read_media(clip, level.second_look(media), waveform=False)
    assert bool(more.frames) == (detection != "dense")
    found, = level.extract([replace(media, frames={**media.frames, **more.frames})])
    assert len(found.values) == 1 and overlap(found.values[:, 1:5], np.array([[512, 315, 530, 338]])) > 0.5
    fixed = Faces(Faces.Config(detection=detection, lines=180))  # type: ignore[arg-type]
    assert fixed.second_look(read_media(clip, fixed.needs.frames, waveform=False)) == ()


def test_weights_are_those_of_the_wheel(extractor: Faces) -> None:
    assert [record.name for record in extractor.weights] == ["pnet.pt", "rnet.pt", "onet.pt"]
    assert {record.source for record in extractor.weights} == {"pretrained"}
