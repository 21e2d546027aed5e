"""Pictures for active-speaker networks: a track's own, or each track of a video on 25 frames a second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import ClipError
from pipeline.extractors.asd_faces import SIDE, AsdFaces
from pipeline.faces import COLUMNS
from pipeline.faces.retiming import nearest_rows, retime, track_spans
from pipeline.media import FeatureSequence, Frames, Media, PictureRequest, TrackMedia

HEIGHT, WIDTH = 180, 320
LEVELS = {0: 60, 1: 180}  # how bright each person is


def video(*tracks: tuple[int, range], speed: float = 45.0, config: AsdFaces.Config = AsdFaces.Config(),
          num_frames: int = 50) -> Media:
    """A clip at 25 Hz, decoded at half its 360 lines, in which squares of one brightness each move to the right, and
    the rows that ``faces`` would have of them."""
    pictures = np.full((num_frames, HEIGHT, WIDTH, 3), 120, np.uint8)
    for number, grid in tracks:
        for frame in range(num_frames):
            if grid.start / 15 <= frame / 25 < grid.stop / 15:
                left = round(20 + 140 * number + speed * frame / 25)
                pictures[frame, 60:100, left:left + 40] = LEVELS[number]
    found = sorted((frame, number) for number, grid in tracks for frame in grid)
    rows = np.zeros((len(found), len(COLUMNS)), np.float32)
    for row, (frame, number) in zip(rows, found, strict=True):
        left = 20 + 140 * number + speed * frame / 15
        row[:6] = number, 2 * left, 120, 2 * (left + 40), 200, 0.9
    starts = np.array([frame for frame, _ in found], np.float32) / 15
    request = AsdFaces(config).request
    return Media("a", {request: Frames(pictures, np.arange(num_frames), rate_hz=25.0, num_frames=num_frames,
                                       source_size=(2 * HEIGHT, 2 * WIDTH))}, duration_seconds=num_frames / 25,
                 features={"faces": FeatureSequence(rows, np.stack([starts, starts + np.float32(1 / 15)], axis=1))})


def rows_of(media: Media, **config: object) -> FeatureSequence:
    [found] = AsdFaces(AsdFaces.Config(**config)).extract([media])  # type: ignore[arg-type]
    return found


def test_each_track_of_a_video_gives_its_frames_one_track_after_the_other() -> None:
    media = video((0, range(0, 30)), (1, range(9, 21)))
    found, faces = rows_of(media, crop="box"), media.features["faces"]
    tracks = retime(faces.values, faces.times, 25.0)
    assert found.values.shape == (70, SIDE, SIDE) and found.values.dtype == np.uint8
    for track, span in zip(tracks, track_spans(tracks), strict=True):
        middles = found.values[span, 30:82, 30:82].reshape(span.stop - span.start, -1)
        np.testing.assert_allclose(middles.mean(1), LEVELS[track.number], atol=1)
        np.testing.assert_allclose(found.times[span, 0], track.frames / 25, atol=1e-6)
    np.testing.assert_allclose(found.times[:, 1] - found.times[:, 0], 0.04, atol=1e-6)
    assert np.abs(found.times[nearest_rows(tracks), 0] - faces.times[:, 0]).max() <= 0.021


def test_the_loose_crop_shows_what_is_around_the_face_and_the_box_does_not() -> None:
    media = video((0, range(0, 30)), speed=0.0)
    share = {crop: (rows_of(media, crop=crop).values == LEVELS[0]).mean() for crop in ("box", "loose")}
    assert share["box"] > 0.95
    assert share["loose"] == pytest.approx(1 / 1.4 ** 2, abs=0.03)


def test_the_middle_is_that_of_the_crop_at_twice_the_size() -> None:
    media = video((0, range(0, 30)), speed=0.0)
    found = rows_of(media, part="middle").values
    assert found.shape[1:] == (SIDE, SIDE)
    # The loose crop is 1.4 of the face's sides high and begins with it: its middle is .35 to 1.05 of these.
    assert (found == LEVELS[0]).mean() == pytest.approx(0.65 / 0.7, abs=0.03)


def test_the_crop_follows_a_face_that_moves() -> None:
    found = rows_of(video((0, range(0, 30))), crop="box").values
    assert (np.abs(found[8:-8].astype(int) - LEVELS[0]) < 2).mean() > 0.9


def test_a_video_without_faces_or_pictures_gives_no_rows() -> None:
    assert rows_of(video()).values.shape == (0, SIDE, SIDE)
    media = video((0, range(0, 30)))
    [request] = media.frames
    none = Frames(np.zeros((0, HEIGHT, WIDTH, 3), np.uint8), np.zeros(0, np.int64), rate_hz=25.0, num_frames=0,
                  source_size=(0, 0))
    assert rows_of(replace(media, frames={request: none})).values.dtype == np.uint8


def test_a_face_track_gives_its_own_pictures() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE)).astype(np.uint8)
    times = np.stack([np.arange(5), np.arange(1, 6)], axis=1).astype(np.float32) / 25
    found = rows_of(Media("a", track=TrackMedia(times, 25.0, {PictureRequest(SIDE): pictures})), clips="tracks")
    np.testing.assert_array_equal(found.values, pictures)
    np.testing.assert_array_equal(found.times, times)


def test_a_video_among_face_tracks_is_a_failure() -> None:
    with pytest.raises(ClipError, match="is no face track, as the other clips of its corpus are"):
        rows_of(Media("a"), clips="tracks")


def test_tracks_need_pictures_and_videos_frames_and_faces() -> None:
    tracks, videos = AsdFaces(AsdFaces.Config(clips="tracks", part="middle")), AsdFaces()
    assert tracks.needs.pictures == (PictureRequest(224, 112),) and not tracks.needs.frames
    assert not tracks.needs.features and tracks.needs.media
    assert videos.needs.features == ("faces",) and not videos.needs.pictures


def test_settings_that_say_nothing_for_tracks_change_no_recipe_of_tracks() -> None:
    plain, other = (AsdFaces(AsdFaces.Config(clips="tracks", lines=lines)).settings() for lines in (360, 720))
    assert plain == other == {"clips": "tracks", "part": "whole"}
    assert AsdFaces().settings()["crop"] == "square, margin .4"
