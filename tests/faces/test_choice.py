"""Which face is followed: each policy on faces whose size, place, length and scores are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from pipeline.faces import COLUMNS
from pipeline.faces.choice import POLICIES, Candidates, Policy, areas, choose

SIZE = 100, 200  # height and width of the picture


def faces(*tracks: tuple[int, range, float, float]) -> Candidates:
    """Tracks as (number, frames, middle x, side of its box), all half-way up, ordered by frame, then track."""
    found = sorted((frame, number, x, side) for number, frames, x, side in tracks for frame in frames)
    rows = np.zeros((len(found), len(COLUMNS)), np.float32)
    for row, (_, number, x, side) in zip(rows, found, strict=True):
        row[:6] = number, x - side / 2, 50 - side / 2, x + side / 2, 50 + side / 2, 0.99
    return Candidates(np.array([frame for frame, *_ in found], np.int64), rows, SIZE)


def followed(policy: Policy, known: Candidates, start: int = 0, stop: int = 16) -> list[int]:
    """Tracks that are chosen."""
    return [int(known.rows[rows[0], 0]) for rows in choose(policy, known, start, stop)]


def test_the_largest_covers_most_area_over_the_span() -> None:
    known = faces((0, range(0, 10), 30, 10), (1, range(4, 10), 150, 14))
    assert followed("largest", known, 0, 6) == [0], "10²·6 frames against 14²·2"
    assert followed("largest", known, 4, 10) == [1]


def test_the_most_central_is_nearest_to_the_pictures_middle_on_average() -> None:
    known = faces((0, range(16), 20, 60), (1, range(3), 105, 10), (2, range(16), 60, 10))
    assert followed("central", known) == [1], "however small and however short"
    assert followed("central", known, 3, 16) == [2]
    known = faces((0, range(16), 105, 10), (1, range(1), 120, 10))
    assert followed("central", known) == [0], "5 pixels away in 16 frames against 20 in one"


def test_the_longest_is_counted_over_the_whole_clip_and_looked_for_in_the_span() -> None:
    known = faces((0, range(0, 40), 20, 10), (1, range(10, 30), 100, 40), (2, range(30, 60), 100, 40))
    assert followed("longest", known, 12, 28) == [0]
    assert followed("longest", known, 40, 56) == [2], "track 0 is not in view"


def test_of_two_that_are_seen_equally_long_the_larger_is_followed() -> None:
    known = faces((0, range(16), 20, 10), (1, range(16), 150, 12))
    assert followed("longest", known) == [1]


def scored(known: Candidates, by_track: dict[int, float]) -> Candidates:
    return replace(known, speaking=np.array([by_track[int(track)] for track in known.rows[:, 0]], np.float32))


def test_who_speaks_most_is_followed_and_nobody_where_nobody_speaks() -> None:
    known = faces((0, range(16), 20, 50), (1, range(16), 150, 10), (2, range(2), 100, 10))
    assert followed("speaking", scored(known, {0: 0.2, 1: 0.7, 2: 0.9})) == [1], "0.7·16 frames against 0.9·2"
    assert followed("speaking", scored(known, {0: 0.49, 1: 0.1, 2: 0.5})) == [2], "0.49·16 is more, but is no speaking"
    assert followed("speaking", scored(known, {0: 0.49, 1: 0.1, 2: 0.4})) == []


def test_who_is_most_like_the_speaker_is_followed_and_nobody_where_nobody_is_like_enough() -> None:
    known = faces((0, range(16), 20, 50), (1, range(16), 150, 10), (2, range(20, 30), 100, 10))
    known = replace(known, likeness=np.array([0.3, 0.62, 0.9]), least_likeness=0.6)
    assert followed("gallery", known) == [1] and followed("gallery", known, 18, 30) == [2]
    assert followed("gallery", replace(known, least_likeness=0.7)) == []
    assert followed("gallery", replace(known, likeness=np.full(3, -1.0), least_likeness=0.0)) == [], "an unknown name"


def test_all_are_followed_in_the_order_of_their_numbers() -> None:
    known = faces((7, range(0, 9), 20, 50), (3, range(4, 16), 150, 10), (5, range(20, 30), 100, 10))
    assert followed("all", known) == [3, 7]
    assert [known.frames[rows].tolist() for rows in choose("all", known, 2, 6)] == [[4, 5], [2, 3, 4, 5]]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_still_with_one_face_shows_it_and_a_span_without_faces_shows_none(policy: Policy) -> None:
    known = replace(scored(faces((0, range(1), 100, 20)), {0: 0.8}), likeness=np.array([0.8]), least_likeness=0.5)
    assert followed(policy, known) == [0] and followed(policy, known, 1, 16) == []
    none = Candidates(np.zeros(0, np.int64), np.zeros((0, len(COLUMNS)), np.float32), speaking=np.zeros(0))
    assert choose(policy, none, 0, 16) == []


@pytest.mark.parametrize("policy", POLICIES)
def test_the_choice_hangs_on_nothing_but_what_it_says(policy: Policy) -> None:
    # Equal faces: the one that appeared first. Numbers as wide as a hostile file may hold cost nothing.
    equal = faces((1, range(16), 100, 20), (2, range(16), 100, 20))
    equal = replace(scored(equal, {1: 0.8, 2: 0.8}), likeness=np.full(3, 0.9))
    assert followed(policy, equal)[0] == 1
    if policy != "gallery":
        wide = scored(faces((10 ** 7, range(16), 100, 20)), {10 ** 7: 0.8})
        assert followed(policy, wide) == [10 ** 7]


def test_scores_that_are_missing_or_of_another_length_are_refused() -> None:
    known = faces((0, range(16), 20, 50))
    with pytest.raises(ValueError, match="speaking needs a speaking score for each face"):
        choose("speaking", known, 0, 16)
    with pytest.raises(ValueError, match="gallery needs each track's likeness"):
        choose("gallery", known, 0, 16)
    with pytest.raises(ValueError, match="16 faces in 16 frames with 3 speaking scores"):
        replace(known, speaking=np.zeros(3))


def test_areas_are_those_of_the_boxes() -> None:
    for sides in permutations([3, 50, 7]):
        known = faces(*((number, range(1), 100, side) for number, side in enumerate(sides)))
        np.testing.assert_allclose(areas(known.rows), np.square(sides), rtol=1e-5)
