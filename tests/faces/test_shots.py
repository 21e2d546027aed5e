"""Shots and key frames of made-up thumbnails."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces.shots import key_frames, shot_cuts


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


@pytest.mark.parametrize(("num_frames", "cuts", "stride", "expected"), [
    (10, [6], 4, [0, 3, 5, 6, 9]), (1, [], 4, [0]), (2, [], 4, [0, 1]), (0, [], 4, []), (5, [], 1, [0, 1, 2, 3, 4]),
    (5, [4], 4, [0, 3, 4]), (9, [], 4, [0, 4, 8])])
def test_key_frames_hold_both_ends_of_every_shot(num_frames: int, cuts: list[int], stride: int,
                                                 expected: list[int]) -> None:
    assert key_frames(num_frames, np.array(cuts, np.int64), stride).tolist() == expected


def test_key_frames_are_at_most_a_stride_apart() -> None:
    for num_frames in range(1, 60):
        assert np.diff(key_frames(num_frames, np.zeros(0, np.int64), 7)).max(initial=0) <= 7
