"""Faces between key frames: a network that knows where the face is stands in for the third one."""

from __future__ import annotations

import numpy as np

from pipeline.faces.refinement import begin, follow, joined, refine
from pipeline.faces.tracking import Linked
from tests.faces.test_tracking import NO_CUT, box


class Scene:
    """A face that moves as ``place`` says and is there in the frames ``seen``; counts what it is asked."""

    def __init__(self, place: dict[int, float]) -> None:
        self.place = place
        self.asked: list[int] = []

    def __call__(self, frames: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        self.asked += frames.tolist()
        return np.stack([box(self.place[frame]) if frame in self.place else np.append(known, [0.1, *[0.0] * 10])
                         for frame, known in zip(frames.tolist(), boxes, strict=True)]).astype(np.float32)


def test_a_face_that_does_not_move_evenly_is_found_on_every_frame_between() -> None:
    curve = {frame: 8 * np.sin(frame / 16 * np.pi) for frame in range(17)}
    scene = Scene(curve)
    (track,), (faint,) = refine([{0: box(0), 8: box(8), 16: box(0)}], scene)
    assert sorted(track) == list(range(17)) and not faint
    np.testing.assert_allclose([track[frame][0] for frame in range(17)], list(curve.values()), atol=1e-5)
    assert sorted(scene.asked) == sorted(set(range(17)) - {0, 8, 16}), "each frame is asked about once"


def test_frames_where_the_face_is_hidden_or_the_answer_leaps_away_are_faint() -> None:
    place = {frame: 0.0 for frame in (0, 1, 2, 6, 7)} | {3: 100.0}
    given = {0: box(0), 8: box(0)}
    (track,), (faint,) = refine([given], Scene(place))
    assert sorted(track) == [0, 1, 2, 6, 7, 8] and sorted(faint) == [3, 4, 5]
    assert faint[4] < 0.2 and sorted(given) == [0, 8], "what was given is unchanged"


def test_no_tracks_and_tracks_without_gaps_ask_nothing() -> None:
    scene = Scene({})
    assert refine([], scene) == ([], [])
    assert refine([{3: box(0), 4: box(0)}], scene)[1] == [{}] and not scene.asked


def test_a_track_is_followed_to_where_the_face_leaves_and_back_to_where_it_came_in() -> None:
    scene = Scene({frame: 2.0 * frame for frame in range(2, 14)})
    track = {8: box(16), 9: box(18)}
    assert sorted(follow(track, scene, 16)) == [10, 11, 12, 13]
    assert sorted(follow(track, scene, 10)) == [10]
    assert sorted(follow(track, scene, 0)) == [2, 3, 4, 5, 6, 7]


def test_a_track_begins_after_the_key_frame_that_missed_it_and_never_before_its_shot() -> None:
    def begun(keys: list[int], cuts: list[int]) -> int:
        track = Linked({8: box(0)}, [8])
        begin([track], Scene({frame: 0.0 for frame in range(20)}), np.array(keys), np.array(cuts, np.int64))
        return min(track.sights)
    assert begun([0, 4, 8], []) == 5 and begun([0, 8], []) == 1 and begun([8], []) == 0
    assert begun([0, 8], [6]) == 6


def test_a_track_does_not_begin_on_another_persons_face() -> None:
    other = Linked({frame: box(1) for frame in range(6)}, [0, 5])
    track = Linked({8: box(0)}, [8])
    begin([other, track], Scene({frame: 0.0 for frame in range(9)}), np.array([0, 8]), NO_CUT)
    assert min(track.sights) == 6


def test_tracks_that_meet_are_one_unless_a_cut_or_the_place_says_otherwise() -> None:
    first, second = Linked({0: box(0), 4: box(0)}, [0, 4]), Linked({5: box(2), 8: box(0)}, [8])
    one, = joined([first, second], NO_CUT)
    assert sorted(one.sights) == [0, 4, 5, 8] and one.found == [0, 4, 8]
    assert sorted(first.sights) == [0, 4]
    assert len(joined([first, second], np.array([5]))) == 2
    assert len(joined([first, Linked({5: box(30)}, [5])], NO_CUT)) == 2
    assert len(joined([first, Linked({7: box(0)}, [7])], NO_CUT)) == 2


def test_a_track_in_the_gap_of_another_is_the_same_face_if_it_is_in_the_same_place() -> None:
    track = Linked({0: box(0), 16: box(0)}, [0, 16])
    one, = joined([track, Linked({7: box(4), 8: box(4)}, [8])], NO_CUT)
    assert sorted(one.sights) == [0, 7, 8, 16] and one.found == [0, 8, 16]
    assert len(joined([track, Linked({8: box(30)}, [8])], NO_CUT)) == 2
    both = Linked({0: box(0), 8: box(0), 16: box(0)}, [0, 8, 16])
    assert len(joined([both, Linked({7: box(4), 8: box(4)}, [8])], NO_CUT)) == 2, "two faces are seen at once"
