"""Which face is followed."""

from __future__ import annotations


from pipeline.faces.choice import largest_track
from pipeline.faces.tracking import face_rows
from tests.faces.test_tracking import box


def test_the_largest_track_is_the_one_that_covers_most_over_the_span() -> None:
    frames, rows = face_rows([{0: box(0, side=10), 9: box(0, side=10)}, {4: box(50, side=14), 9: box(50, side=14)}],
                             num_keys=3)
    assert {row[0] for row in largest_track(frames, rows, 0, 6).values()} == {0.0}, "10²·6 frames against 14²·2"
    assert {row[0] for row in largest_track(frames, rows, 4, 10).values()} == {1.0}
    assert list(largest_track(frames, rows, 4, 7)) == [4, 5, 6]
    assert largest_track(frames, rows, 20, 30) == {}
