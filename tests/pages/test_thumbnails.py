"""Faces for pages: the right clips, the right moment, and no picture where the file is gone."""

from __future__ import annotations

import base64
import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.clip import Clip
from pipeline.decode import ffmpeg_path
from pipeline.faces import COLUMNS
from pipeline.faces.alignment import FIVE_POINTS
from pipeline.media import FeatureSequence
from pipeline.pages.thumbnails import SIDE, Thumbnail, picture_clip, problems, spread


@pytest.fixture(scope="module")
def red_then_green(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second: red, then from the middle on green; its left half is black throughout."""
    frames = np.zeros((30, 96, 128, 3), np.uint8)
    frames[:15, :, 64:, 0] = 255
    frames[15:, :, 64:, 1] = 255
    path = tmp_path_factory.mktemp("media") / "colours.mp4"
    subprocess.run([ffmpeg_path(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "128x96", "-r", "30",
                    "-i", "-", "-pix_fmt", "yuv420p", "-threads", "1", str(path)], input=frames.tobytes(), check=True)
    return path


def face_at(seconds: float, left: float, *, probability: float = 0.99) -> np.ndarray:
    box = [0, left, 20, left + 40, 60, probability]
    return np.array([*box, *(FIVE_POINTS * 40 + (left, 20)).ravel(), seconds], np.float32)


def faces(*rows: np.ndarray) -> FeatureSequence:
    table = np.stack(rows)
    return FeatureSequence(table[:, :len(COLUMNS)].copy(), np.stack([table[:, -1], table[:, -1] + 1 / 15], 1))


def colour(thumbnail: Thumbnail) -> list[int]:
    """The middle of the picture, each channel rounded to dark or bright."""
    picture = Image.open(io.BytesIO(base64.b64decode(thumbnail.data_uri.partition(",")[2])))
    assert picture.format == "JPEG" and picture.size == (SIDE, SIDE)
    return [round(value / 255) for value in picture.getpixel((SIDE // 2, SIDE // 2))]


def test_the_picture_shows_the_face_at_its_time_and_place(red_then_green: Path) -> None:
    clip = Clip("test/a", red_then_green)
    assert colour(picture_clip(clip, faces(face_at(0.2, 80)))) == [1, 0, 0]
    assert colour(picture_clip(clip, faces(face_at(0.8, 80)))) == [0, 1, 0]
    assert colour(picture_clip(clip, faces(face_at(0.8, 5)))) == [0, 0, 0]


def test_times_count_from_the_start_of_the_clip(red_then_green: Path) -> None:
    clip = Clip("test/a", red_then_green, start_seconds=0.4, stop_seconds=0.9)
    picture = picture_clip(clip, faces(face_at(0.2, 80)))
    assert colour(picture) == [0, 1, 0] and picture.seconds == pytest.approx(0.2)


def test_the_surest_of_the_faces_is_shown(red_then_green: Path) -> None:
    rows = faces(face_at(0.8, 80, probability=0.5), face_at(0.2, 80, probability=0.9))
    assert colour(picture_clip(Clip("test/a", red_then_green), rows)) == [1, 0, 0]


def test_a_file_that_is_gone_or_broken_or_without_picture_gives_no_picture(tmp_path: Path) -> None:
    rows = faces(face_at(0.0, 10))
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    sound = tmp_path / "sound.wav"
    subprocess.run([ffmpeg_path(), "-v", "error", "-f", "lavfi", "-i", "sine=duration=1", str(sound)], check=True)
    found = [picture_clip(Clip("test/a", source), rows)
             for source in (None, tmp_path / "gone.mp4", tmp_path / "broken.mp4", sound)]
    assert [thumbnail.data_uri for thumbnail in found] == [""] * 4
    assert problems(found) == {"its file is no longer there": 2, "its file cannot be decoded (permanent)": 1,
                               "its file has no picture": 1}


def test_groups_share_the_places_and_mistakes_come_first() -> None:
    keys = {f"a{number}": "a" for number in range(10)} | {"b0": "b", "b1": "b"}
    assert spread(keys, {"a7", "b1"}, 4) == ["a0", "a7", "b0", "b1"]
    assert spread(keys, {"a7", "b1"}, 2) == ["a7", "b1"]
    assert spread(keys, set(), 99) == list(keys)
    assert spread({}, set(), 5) == []
