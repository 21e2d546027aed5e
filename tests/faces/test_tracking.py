"""Tracks of made-up boxes."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces import COLUMNS
from pipeline.faces.tracking import Linked, Track, expected, face_rows, fill, link, overlap, smoothed

NONE = np.zeros((0, 15), np.float32)


def box(x: float, y: float = 0.0, side: float = 10.0, probability: float = 0.9) -> np.ndarray:
    """A detection (15,) with its landmarks at its corner."""
    return np.array([x, y, x + side, y + side, probability, *[x, y] * 5], np.float32)


def test_overlap_of_boxes() -> None:
    a, b = np.array([[0, 0, 10, 10.0]]), np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10], [3, 3, 3, 3.0]])
    np.testing.assert_allclose(overlap(a, b), [[1, 1 / 3, 0, 0]])


def frames_of(tracks: list[Linked]) -> list[list[int]]:
    return [sorted(track.sights) for track in tracks]


def linked(track: Track) -> Linked:
    return Linked(track, sorted(track))


NO_CUT = np.zeros(0, np.int64)
RED, BLUE = np.eye(2, dtype=np.float32)


def test_a_face_is_followed_and_two_faces_are_two_tracks() -> None:
    detections = [np.stack([box(number), box(100 - number)]) for number in range(4)]
    tracks = link(detections, np.arange(4) * 4, NO_CUT)
    assert frames_of(tracks) == [[0, 4, 8, 12]] * 2
    assert [track.sights[12][0] for track in tracks] == [3, 97]


def test_a_track_never_crosses_a_cut() -> None:
    keys = np.array([0, 4, 5, 9])
    assert frames_of(link([box(0)[None]] * 4, keys, np.array([5]))) == [[0, 4], [5, 9]]


def test_people_who_swap_places_at_a_cut_are_four_tracks() -> None:
    before, after = np.stack([box(0), box(50)]), np.stack([box(50), box(0)])
    looks = [np.stack([RED, BLUE])] * 4
    tracks = link([before, before, after, after], np.array([0, 7, 8, 15]), np.array([8]), looks=looks)
    assert frames_of(tracks) == [[0, 7], [0, 7], [8, 15], [8, 15]]


def test_people_who_cross_keep_their_tracks() -> None:
    left, right = np.arange(0, 60, 4), np.arange(60, 0, -4)
    detections = [np.stack([box(a, 0, 20), box(b, 12, 20)]) for a, b in zip(left, right, strict=True)]
    tracks = link(detections, np.arange(len(left)), NO_CUT)
    assert len(tracks) == 2
    assert [row[0] for row in tracks[0].sights.values()] == left.tolist()
    assert [row[0] for row in tracks[1].sights.values()] == right.tolist()


def test_people_who_turn_back_as_they_meet_are_told_apart_by_their_looks() -> None:
    red, blue = [0, 8, 16, 8, 0], [34, 26, 18, 26, 34]
    detections = [np.stack([box(a, side=20), box(b, side=20)]) for a, b in zip(red, blue, strict=True)]
    looks = [np.stack([RED, BLUE])] * 5
    by_looks = link(detections, np.arange(5), NO_CUT, looks=looks)
    assert [[row[0] for row in track.sights.values()] for track in by_looks] == [red, blue]


def test_another_person_in_the_same_place_is_another_track() -> None:
    tracks = link([box(0)[None]] * 4, np.arange(4), NO_CUT, looks=[RED[None]] * 2 + [BLUE[None]] * 2)
    assert frames_of(tracks) == [[0, 1], [2, 3]]


def test_a_face_that_leaps_is_one_person_only_if_it_looks_the_same_and_is_near() -> None:
    def number(x: float, look: np.ndarray) -> int:
        return len(link([box(0)[None], box(x)[None]], np.array([0, 8]), NO_CUT, looks=[RED[None], look[None]]))
    assert number(9.5, RED) == 1 and number(9.5, (RED + BLUE) / 2) == 2 and number(30, RED) == 2


@pytest.mark.parametrize(("missing", "num_tracks"), [(1, 1), (5, 1), (6, 2)])
def test_a_track_survives_a_gap_of_1_6_seconds(missing: int, num_tracks: int) -> None:
    detections = [box(0)[None], *[NONE] * missing, box(1)[None]]
    assert len(link(detections, np.arange(len(detections)) * 4, NO_CUT)) == num_tracks


def test_a_face_that_moves_too_fast_to_overlap_is_followed_to_where_it_is_found_again() -> None:
    detections = [box(0)[None], box(25)[None]]

    def follow(track: Track, stop: int) -> Track:
        return {frame: box(frame * 25 / 8) for frame in range(max(track) + 1, stop + 1)}
    keys = np.array([0, 8])
    assert len(link(detections, keys, NO_CUT)) == 2
    one, = link(detections, keys, NO_CUT, follow=follow)
    assert sorted(one.sights) == list(range(9)) and one.found == [0, 8]


def test_what_was_followed_onto_another_persons_face_is_forgotten() -> None:
    detections = [np.stack([box(0), box(40)]), box(40)[None]]
    tracks = link(detections, np.array([0, 4]), NO_CUT,
                  follow=lambda track, stop: {frame: box(10.0 * frame) for frame in range(1, stop + 1)})
    assert frames_of(tracks) == [[0], [0, 4]]


def test_no_detections_give_no_tracks_and_no_rows() -> None:
    assert link([], NO_CUT, NO_CUT) == [] and link([NONE] * 3, np.arange(3), NO_CUT) == []
    frames, rows = face_rows([], num_frames=3)
    assert frames.shape == (0,) and rows.shape == (0, len(COLUMNS)) and rows.dtype == np.float32


def test_a_face_is_expected_where_its_motion_leads_but_not_beyond_half_its_size() -> None:
    track = {0: box(0), 4: box(2)}
    assert expected(track, 8)[[0, 2, 5]].tolist() == [4, 14, 4]
    assert expected(track, 100)[0] == 7 and expected({0: box(3)}, 8)[0] == 3
    assert expected(track, -4)[0] == -2


def test_between_key_frames_a_face_moves_evenly() -> None:
    frames, rows = fill({4: box(0), 8: box(8)})
    assert frames.tolist() == [4, 5, 6, 7, 8] and rows[:, 0].tolist() == [0, 2, 4, 6, 8]
    assert rows.dtype == np.float32


def test_smoothing_does_not_lag_and_does_not_reach_into_gaps() -> None:
    line = np.stack([box(2.0 * number) for number in range(9)])
    np.testing.assert_allclose(smoothed(line, np.ones(9, bool)), line)
    spike = np.stack([box(8.0 * (number == 4)) for number in range(9)])
    assert smoothed(spike, np.ones(9, bool))[:, 0].tolist() == [0, 0, 0, 2, 4, 2, 0, 0, 0]
    is_seen = np.ones(9, bool)
    is_seen[5] = False
    assert smoothed(spike, is_seen)[:, 0].tolist() == [0, 0, 0, 2, 8, 0, 0, 0, 0]
    assert smoothed(spike[:1], is_seen[:1]).shape == (1, 15)


def test_rows_stand_by_frame_then_track_in_order_of_appearance() -> None:
    late = {frame: box(50) for frame in (1, 4, 9)}
    early = {frame: box(0) for frame in (0, 5, 9)}
    frames, rows = face_rows([linked(late), linked(early)], num_frames=10)
    assert frames.tolist() == [0, *[frame for frame in range(1, 10) for _ in range(2)]]
    assert rows[:3, 0].tolist() == [0, 0, 1] and rows[:3, 1].tolist() == [0, 0, 50]


@pytest.mark.parametrize(("track", "found"), [
    ({0: box(0)}, [0]),                                                                     # once
    ({0: box(0), 5: box(0)}, [0, 5]),                                                       # shorter than half a second
    ({frame: box(0, probability=0.72) for frame in range(20)}, [0, 10, 19]),                # weak
    ({0: box(0), 19: box(0)}, [0, 19])])                                                    # mostly filled in
def test_chance_finds_are_dropped_unless_the_clip_is_one_frame(track: Track, found: list[int]) -> None:
    assert len(face_rows([Linked(track, found)], num_frames=20)[0]) == 0
    assert len(face_rows([Linked({0: track[0]}, [0])], num_frames=1)[0]) == 1


def test_a_short_clip_keeps_a_track_as_long_as_itself() -> None:
    assert len(face_rows([linked({0: box(0), 2: box(0)})], num_frames=3)[0]) == 3


def test_where_a_face_was_not_seen_the_probability_says_so() -> None:
    track = {frame: box(0) for frame in (0, 1, 2, 6, 7, 8)}
    _, rows = face_rows([linked(track)], num_frames=9, faint=[{4: 0.1, 20: 0.3}])
    np.testing.assert_allclose(rows[:, 5], [0.9, 0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9])
