"""Shots and key frames of made-up thumbnails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip
from pipeline.decode import read_media
from pipeline.faces.shots import changes, cuts_of, key_frames, shot_cuts, thumbnails
from pipeline.media import FrameRequest


def shots(*levels: tuple[int, float]) -> np.ndarray:
    """Thumbnails of shots: frames and grey level of each, with a little noise."""
    random = np.random.default_rng(0)
    frames = np.concatenate([np.full((count, 8, 8), level) for count, level in levels])
    return np.clip(frames + random.normal(0, 1, frames.shape), 0, 255)


@pytest.mark.parametrize(("levels", "cuts"), [
    ([(20, 50.0), (20, 150.0)], [20]), ([(20, 50.0), (10, 150.0), (30, 40.0)], [20, 30]), ([(40, 50.0)], []),
    ([(1, 50.0), (20, 150.0)], [1]), ([(20, 50.0), (1, 150.0)], [20]), ([(3, 50.0), (3, 150.0)], [3]),
    ([(1, 50.0), (2, 150.0)], [1]), ([(2, 50.0)], []), ([(1, 50.0)], []), ([(20, 100.0), (20, 105.0)], [])])
def test_a_cut_is_where_the_picture_changes(levels: list[tuple[int, float]], cuts: list[int]) -> None:
    assert shot_cuts(shots(*levels)).tolist() == cuts


def test_steady_motion_is_no_cut() -> None:
    moving = np.arange(12)[:, None, None] * np.ones((1, 8, 8)) * 20
    assert len(shot_cuts(moving)) == 0
    assert shot_cuts(np.zeros((0, 8, 8))).dtype == np.int64


def test_a_flash_is_no_cut_and_a_picture_shown_for_one_frame_is_two() -> None:
    flash = np.concatenate([shots((12, 50.0)), np.full((1, 8, 8), 250.0), shots((12, 50.0))])
    assert len(shot_cuts(flash)) == 0
    assert shot_cuts(shots((12, 50.0), (1, 250.0), (12, 130.0))).tolist() == [12, 13]


def test_sudden_motion_right_after_a_cut_is_no_further_cut() -> None:
    levels = np.cumsum([0.0] * 10 + [60.0] + [18.0, 14.0, 19.0, 15.0, 17.0, 13.0])
    assert shot_cuts(levels[:, None, None] * np.ones((1, 8, 8))).tolist() == [10]


def test_blocks_make_no_difference() -> None:
    pictures = shots((9, 50.0), (1, 250.0), (9, 50.0), (9, 120.0))
    whole = changes([pictures])
    for size in (1, 2, 5):
        np.testing.assert_array_equal(changes(pictures[at:at + size] for at in range(0, len(pictures), size)), whole)
    assert cuts_of(whole).tolist() == [19]


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (3, 500), (180, 320), (360, 640), (1080, 1920)])
def test_thumbnails_of_any_size_are_small_and_alike(size: tuple[int, int]) -> None:
    ramp = np.linspace(0, 200, size[0]).round().astype(np.uint8)
    frames = np.broadcast_to(ramp[None, :, None, None], (2, *size, 3))
    small = thumbnails(frames)
    assert small.shape[0] == 2 and small.dtype == np.float32 and max(small.shape[1:]) <= max(48, size[1])
    assert small.mean() == pytest.approx(frames.mean(), abs=4)


def test_the_cut_of_a_real_video_is_found_at_any_size(shared_data: Path) -> None:
    video = shared_data / "video" / "shot_change.mp4"
    requests = tuple(FrameRequest(15.0, lines=lines) for lines in (144, 180, 360))
    frames = read_media(Clip("a", video), requests, waveform=False).frames
    assert [shot_cuts(thumbnails(frames[request].take(slice(None)))).tolist() for request in requests] == [[48]] * 3


@pytest.mark.parametrize(("num_frames", "cuts", "stride", "expected"), [
    (10, [6], 4, [0, 3, 5, 6, 9]), (1, [], 4, [0]), (2, [], 4, [0, 1]), (0, [], 4, []), (5, [], 1, [0, 1, 2, 3, 4]),
    (5, [4], 4, [0, 3, 4]), (9, [], 4, [0, 4, 8])])
def test_key_frames_hold_both_ends_of_every_shot(num_frames: int, cuts: list[int], stride: int,
                                                 expected: list[int]) -> None:
    assert key_frames(num_frames, np.array(cuts, np.int64), stride).tolist() == expected


def test_key_frames_are_at_most_a_stride_apart() -> None:
    for num_frames in range(1, 60):
        assert np.diff(key_frames(num_frames, np.zeros(0, np.int64), 7)).max(initial=0) <= 7
