"""Rows and words of a clip on one axis: each stands where it is, and the clock's lines go through all."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.curation.alignment import steps
from pipeline.pages.alignment_plots import MOST_IN_LANES, Strip, Words, _apart, _lanes, draw_alignment

RANDOM = np.random.default_rng(0)
BANDS = Strip("bands", RANDOM.normal(size=(100, 80)).astype(np.float32),
              np.stack([np.arange(100) / 50, np.arange(100) / 50 + .03], 1))
LEVEL = Strip("level", RANDOM.random(20).astype(np.float32), steps(.1, 2))
FACES = Strip("faces", RANDOM.integers(0, 256, (50, 24, 32, 3), np.uint8), steps(.04, 2))
WORDS = Words("words", ["so", "it", "is"], np.array([[.2, .5], [.5, .6], [1, 1.9]]))
ALL = (WORDS, BANDS, LEVEL, FACES)


def pixels(found: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(found)).convert("RGB")).astype(int)


def columns_of(found: bytes, is_it: Any) -> np.ndarray:
    """Columns of a picture in which at least a third of the rows are of some colour, as groups' first columns."""
    share = is_it(*np.moveaxis(pixels(found), 2, 0)).mean(0)
    dense = np.flatnonzero(share > 0.3)
    return dense[np.diff(dense, prepend=-9) > 1]


def test_a_picture_is_drawn_the_same_each_time_and_each_part_shows_in_it() -> None:
    whole = draw_alignment(ALL, steps(.5, 2))
    assert whole == draw_alignment(ALL, steps(.5, 2)) and min(pixels(whole).shape[:2]) > 300
    others = [draw_alignment([part for part in ALL if part is not left_out], steps(.5, 2)) for left_out in ALL]
    others += [draw_alignment(ALL, steps(.25, 2)), draw_alignment(ALL, steps(.5, 2), title="a clip")]
    assert len({whole, *others}) == 1 + len(others)


def test_the_clocks_lines_stand_where_its_spans_begin_and_end_in_every_part() -> None:
    lines = columns_of(draw_alignment([LEVEL, WORDS], np.array([[.4, .8], [.8, 1.6]])), lambda red, green, blue: (
        red > green + 60) & (red > blue + 40))
    assert len(lines) == 3
    assert (lines[2] - lines[1]) / (lines[1] - lines[0]) == pytest.approx(2, abs=0.05)


def test_rows_are_drawn_from_their_start_to_their_stop_and_nothing_where_none_is() -> None:
    rows = Strip("rows", np.ones(2, np.float32), np.array([[0, .5], [1.5, 2.0]]))
    picture = pixels(draw_alignment([rows], np.zeros((0, 2))))
    blue = ((picture[..., 2] > picture[..., 0] + 80) & (picture[..., 2] < 220)).any(0)
    inside = np.flatnonzero(blue)
    quarter = (inside.max() - inside.min()) / 4
    assert blue[int(inside.min() + 0.5 * quarter)] and not blue[int(inside.min() + 2 * quarter)]
    assert blue.sum() == pytest.approx(2 * quarter, rel=0.05)


def test_colours_say_how_far_a_unit_is_from_its_mean_with_the_first_at_the_bottom() -> None:
    rows = Strip("rows", np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0, .5], [1.5, 2.0]]))
    red, green, blue = np.moveaxis(pixels(draw_alignment([rows], np.zeros((0, 2)))), 2, 0)
    high, low = (red > 200) & (green > 200) & (blue < 80), (red < 90) & (green < 30) & (blue > 60)  # yellow, violet
    for found in (high, low):
        down, right = np.argwhere(found).T
        first, last = right < right.mean(), right > right.mean()
        assert right[last].min() - right[first].max() > 0.4 * (right.max() - right.min()), "nothing between the rows"
        assert (down[first].mean() > down[last].mean()) == (found is high)


def test_rows_that_overlap_lie_above_each_other() -> None:
    assert _lanes(np.array([[0, 2], [1, 3], [2, 4], [3, 5.0]])).tolist() == [0, 1, 0, 1]
    assert _lanes(np.array([[3, 4], [0, 1.0]])).tolist() == [0, 0]
    assert _lanes(np.array([[0, 1.0]] * 7)).tolist() == [0, 1, 2, 3, 4, 5, 0]


def test_many_rows_reach_half_way_to_their_neighbours() -> None:
    assert _apart(np.array([[0, 2], [1, 3], [5, 6]])).tolist() == [[0, 1.5], [1.5, 3], [5, 6]]
    assert _apart(np.array([[1, 3], [0, 2.0]])).tolist() == [[1.5, 3], [0, 1.5]]
    few, many = (Strip("rows", np.eye(num, 3, dtype=np.float32), np.stack([np.arange(num), np.arange(num) + 2.0], 1))
                 for num in (4, MOST_IN_LANES + 4))
    assert draw_alignment([few], few.times) and draw_alignment([many], many.times)


@pytest.mark.parametrize("values", [np.zeros((0, 4)), np.zeros(0), np.ones((1, 4)), np.zeros((3, 600, 2)),
                                    np.zeros((0, 8, 8, 3), np.uint8), np.zeros((2, 9, 9), np.uint8)])
def test_rows_of_any_shape_and_number_are_drawn(values: np.ndarray) -> None:
    assert draw_alignment([WORDS, Strip("rows", values, steps(.5, 2)[:len(values)])], steps(1, 2))


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 rows of face need as many times \(T, 2\), found \(2, 2\)"):
        Strip("face", np.zeros((3, 5)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"2 words need as many times \(N, 2\), found \(1, 2\)"):
        Words("said", ["a", "b"], np.zeros((1, 2)))
    for parts in ([], [Strip("rows", np.zeros(1), np.full((1, 2), np.nan))], [Strip("rows", np.zeros(0),
                                                                                    np.zeros((0, 2)))]):
        with pytest.raises(ValueError, match="rows with times are needed"):
            draw_alignment(parts, np.zeros((0, 2)))
