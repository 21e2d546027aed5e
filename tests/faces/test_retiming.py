"""Tracks on another clock: which frames, whose they are, and where a box is between two rows."""

from __future__ import annotations

import numpy as np

from pipeline.faces import COLUMNS
from pipeline.faces.retiming import RetimedTrack, nearest_rows, retime, steadied, track_spans


def faces(*tracks: tuple[int, range], speed: float = 30.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ``faces`` ordered by frame, then track, whose boxes move to the right; and their times."""
    found = sorted((frame, number) for number, frames in tracks for frame in frames)
    rows = np.zeros((len(found), len(COLUMNS)), np.float32)
    for row, (frame, number) in zip(rows, found, strict=True):
        left = 100 * number + speed * frame / 15
        row[:6] = number, left, 10, left + 20, 40, 0.9
    grid = np.array([frame for frame, _ in found])
    return rows, (np.stack([grid, grid + 1], axis=1) / 15).astype(np.float32)


def test_a_track_has_the_frames_that_begin_while_it_lasts() -> None:
    [track] = retime(*faces((0, range(15))), 25.0)
    assert track.frames.tolist() == list(range(25))
    [later] = retime(*faces((0, range(3, 9))), 25.0)  # 0.2 to 0.6 s
    assert later.frames.tolist() == list(range(5, 15))


def test_a_track_of_one_row_has_a_frame_even_where_none_begins_in_it() -> None:
    for start in range(20):
        [track] = retime(*faces((0, range(start, start + 1))), 7.0)
        assert len(track) == 1 and abs(track.frames[0] / 7 - start / 15) < 0.5 / 7 + 1 / 15


def test_boxes_between_two_rows_lie_between_them_and_at_the_ends_are_held() -> None:
    [track] = retime(*faces((0, range(15))), 25.0)
    expected = np.minimum(30 * track.frames / 25, 30 * 14 / 15)
    np.testing.assert_allclose(track.rows[:, 1], expected, atol=1e-4)
    np.testing.assert_allclose(track.rows[:, 3], expected + 20, atol=1e-4)
    assert (track.rows[:, 0] == 0).all()


def test_a_hole_in_a_track_is_filled_in() -> None:
    rows, times = faces((0, range(30)))
    there = np.r_[:10, 20:30]
    [track] = retime(rows[there], times[there], 25.0)
    assert track.frames.tolist() == list(range(50))
    np.testing.assert_allclose(track.rows[:45, 1], 30 * np.arange(45) / 25, atol=1e-4)


def test_tracks_follow_each_other_by_number_and_every_row_of_faces_finds_its_own() -> None:
    rows, times = faces((0, range(0, 20)), (1, range(10, 40)), (2, range(20, 30)))
    tracks = retime(rows, times, 25.0)
    assert [track.number for track in tracks] == [0, 1, 2]
    spans = track_spans(tracks)
    assert [span.stop - span.start for span in spans] == [34, 50, 16] and spans[1].start == spans[0].stop
    numbers, starts = np.zeros(100), np.zeros(100)
    for track, span in zip(tracks, spans, strict=True):
        numbers[span], starts[span] = track.number, track.frames / 25
    nearest = nearest_rows(tracks)
    assert numbers[nearest].tolist() == rows[:, 0].tolist()
    assert np.abs(starts[nearest] - times[:, 0]).max() <= 0.02 + 0.04, "within half a step, at the ends within one"


def test_rows_in_another_order_give_the_same() -> None:
    rows, times = faces((0, range(0, 20)), (1, range(10, 40)))
    turned = np.argsort(rows[:, 0] * 1000 - times[:, 0], kind="stable")
    for one, other in zip(retime(rows, times, 25.0), retime(rows[turned], times[turned], 25.0), strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(rows[one.sources], rows[turned][other.sources])


def test_no_faces_give_no_tracks() -> None:
    rows, times = faces()
    assert retime(rows, times, 25.0) == [] and track_spans([]) == [] and nearest_rows([]).tolist() == []


def test_a_trembling_box_is_steadied_and_a_moving_one_moves_on() -> None:
    [track] = retime(*faces((0, range(60))), 25.0)
    shaken = track.rows.copy()
    shaken[30, 1:5] += (40, -10, 60, 30)
    np.testing.assert_allclose(steadied(shaken)[:, 1:5][8:-8], track.rows[:, 1:5][8:-8], atol=1.3)
    np.testing.assert_array_equal(steadied(shaken)[:, 5:], shaken[:, 5:])
    short = RetimedTrack(0, track.frames[:2], track.rows[:2], track.sources, track.nearest)
    assert (steadied(short.rows)[:, 3] - steadied(short.rows)[:, 1] == 20).all(), "no edge of zeros"
