"""Tracks of made-up boxes."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces import COLUMNS
from pipeline.faces.tracking import face_rows, fill, link, overlap

NONE = np.zeros((0, 15), np.float32)


def box(x: float, y: float = 0.0, side: float = 10.0, probability: float = 0.9) -> np.ndarray:
    """A detection (15,) with its landmarks at its corner."""
    return np.array([x, y, x + side, y + side, probability, *[x, y] * 5], np.float32)


def test_overlap_of_boxes() -> None:
    a, b = np.array([[0, 0, 10, 10.0]]), np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10], [3, 3, 3, 3.0]])
    np.testing.assert_allclose(overlap(a, b), [[1, 1 / 3, 0, 0]])


def frames_of(tracks: list[dict[int, np.ndarray]]) -> list[list[int]]:
    return [sorted(track) for track in tracks]


NO_CUT = np.zeros(0, np.int64)


def test_a_face_is_followed_and_two_faces_are_two_tracks() -> None:
    detections = [np.stack([box(number), box(100 - number)]) for number in range(4)]
    tracks = link(detections, np.arange(4) * 4, NO_CUT)
    assert frames_of(tracks) == [[0, 4, 8, 12]] * 2
    assert [track[12][0] for track in tracks] == [3, 97]


def test_a_track_never_crosses_a_cut() -> None:
    keys = np.array([0, 4, 5, 9])
    assert frames_of(link([box(0)[None]] * 4, keys, np.array([5]))) == [[0, 4], [5, 9]]


def test_people_who_cross_keep_their_tracks() -> None:
    left, right = np.arange(0, 60, 4), np.arange(60, 0, -4)
    detections = [np.stack([box(a, 0, 20), box(b, 12, 20)]) for a, b in zip(left, right, strict=True)]
    tracks = link(detections, np.arange(len(left)), NO_CUT)
    assert len(tracks) == 2
    assert [row[0] for row in tracks[0].values()] == left.tolist()
    assert [row[0] for row in tracks[1].values()] == right.tolist()


@pytest.mark.parametrize(("missing", "num_tracks"), [(1, 1), (2, 1), (3, 2)])
def test_a_track_survives_a_gap_of_two_key_frames(missing: int, num_tracks: int) -> None:
    detections = [box(0)[None], *[NONE] * missing, box(1)[None]]
    assert len(link(detections, np.arange(len(detections)), NO_CUT)) == num_tracks


def test_no_detections_give_no_tracks_and_no_rows() -> None:
    assert link([], NO_CUT, NO_CUT) == [] and link([NONE] * 3, np.arange(3), NO_CUT) == []
    frames, rows = face_rows([], num_keys=3)
    assert frames.shape == (0,) and rows.shape == (0, len(COLUMNS)) and rows.dtype == np.float32


def test_between_key_frames_a_face_moves_evenly() -> None:
    frames, rows = fill({4: box(0), 8: box(8)})
    assert frames.tolist() == [4, 5, 6, 7, 8] and rows[:, 0].tolist() == [0, 2, 4, 6, 8]
    assert rows.dtype == np.float32


def test_rows_stand_by_frame_then_track() -> None:
    frames, rows = face_rows([{0: box(0), 2: box(2)}, {1: box(50), 2: box(50)}], num_keys=3)
    assert frames.tolist() == [0, 1, 1, 2, 2] and rows[:, 0].tolist() == [0, 0, 1, 0, 1]
    assert rows[:, 1].tolist() == [0, 1, 50, 2, 50]


def test_a_face_found_once_is_dropped_unless_the_clip_has_one_key_frame() -> None:
    assert len(face_rows([{0: box(0)}], num_keys=3)[0]) == 0
    assert len(face_rows([{0: box(0)}], num_keys=1)[0]) == 1
