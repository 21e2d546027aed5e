"""Rows brought to a clock: known answers, a slow reference, and spans that nothing overlaps."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from pipeline.curation import alignment
from pipeline.curation.alignment import HOWS, How, onto, steps


def spans(*pairs: tuple[float, float]) -> np.ndarray:
    return np.array(pairs, np.float32).reshape(-1, 2)


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(alignment) == (0, 4)


def test_the_mean_weighs_by_overlap() -> None:
    rows, which = onto(numbers(1, 5), spans((0, 1), (1, 2)), spans((0.75, 1.25), (0, 2), (0.5, 1.25)), "mean")
    np.testing.assert_allclose(rows[:, 0], [3, 3, (0.5 * 1 + 0.25 * 5) / 0.75], rtol=1e-6)
    assert which.tolist() == [0, 1, 2]


def test_the_nearest_is_one_that_overlaps_and_of_equals_the_earlier() -> None:
    rows, _ = onto(numbers(1, 5, 9), spans((0, 1), (1, 2), (2, 3)), spans((0.9, 1.3), (0.5, 1.5)), "nearest")
    assert rows[:, 0].tolist() == [5, 1]
    rows, which = onto(numbers(1), spans((0, 1)), spans((1, 1.1)), "nearest")
    assert len(rows) == len(which) == 0, "half-open spans that touch do not overlap"


def test_lines_go_from_middle_to_middle_and_end_flat() -> None:
    clock = spans((0, .1), (.4, .6), (.9, 1.1), (1.9, 2))
    rows, _ = onto(numbers(1, 5), spans((0, 1), (1, 2)), clock, "linear")
    np.testing.assert_allclose(rows[:, 0], [1, 1, 3, 5], atol=1e-4)


def test_lines_do_not_know_how_many_spans_are_read_at_a_time() -> None:
    times, clock = steps(1.0, 1000.0), steps(.3, 1000.0)
    values = np.random.default_rng(0).normal(size=(1000, 1)).astype(np.float32)
    rows, which = onto(values, times, clock, "linear")
    assert len(which) == len(clock) > 3000
    expected = np.interp(clock.mean(1, dtype=np.float64), times.mean(1, dtype=np.float64), values[:, 0])
    np.testing.assert_allclose(rows[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize("how", HOWS)
def test_spans_that_nothing_overlaps_are_left_out(how: How) -> None:
    rows, which = onto(numbers(1, 5), spans((1, 2), (5, 6)), spans((0, 1), (1, 2), (3, 4), (5.5, 7), (8, 9)), how)
    assert which.tolist() == [1, 3] and rows[:, 0].tolist() == [1, 5]
    assert onto(numbers(), spans(), spans((0, 1)), how)[0].shape == (0, 1)
    assert onto(numbers(1), spans((0, 1)), spans(), how)[0].shape == (0, 1)


def slow_mean(values: np.ndarray, times: np.ndarray, clock: np.ndarray) -> tuple[np.ndarray, list[int]]:
    rows, which = [], []
    for number, (start, stop) in enumerate(clock.astype(np.float64)):
        weights = np.array([max(0.0, min(stop, b) - max(start, a)) for a, b in times.astype(np.float64)])
        if weights.any():
            rows.append((weights[:, None] * values).sum(0) / weights.sum())
            which.append(number)
    return np.array(rows), which


def test_the_fast_way_is_the_slow_one_for_windows_of_any_length_in_any_order() -> None:
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 60, 900)
    times = np.stack([starts, starts + rng.exponential(.5, 900)], 1).astype(np.float32)
    begins = np.sort(rng.uniform(-2, 70, 1400))
    clock = np.stack([begins, begins + rng.exponential(.05, 1400)], 1).astype(np.float32)
    values = rng.normal(size=(900, 3)).astype(np.float32)
    expected, which = slow_mean(values, times, clock)
    found, places = onto(values, times, clock, "mean")
    assert places.tolist() == which and len(which) > 1000
    np.testing.assert_allclose(found, expected, atol=1e-5)
    turned = rng.permutation(900)
    np.testing.assert_array_equal(onto(values[turned], times[turned], clock, "mean")[1], places)


def test_rows_of_any_shape_keep_it_and_pixels_are_taken_as_they_are() -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    rows, _ = onto(values, spans((0, 1), (1, 2)), spans((0, 1), (1, 2), (0, 2)), "mean")
    np.testing.assert_allclose(rows, [values[0], values[1], values.mean(0)])
    pixels = np.arange(2, dtype=np.uint8).reshape(2, 1)
    assert onto(pixels, spans((0, 1), (1, 2)), spans((1, 2)), "nearest")[0].dtype == np.uint8
    with pytest.raises(ValueError, match="rows of uint8 are only taken as they are: nearest"):
        onto(pixels, spans((0, 1), (1, 2)), spans((1, 2)), "mean")


def test_rows_and_times_belong_together() -> None:
    with pytest.raises(ValueError, match="1 rows with 2 times"):
        onto(numbers(1), spans((0, 1), (1, 2)), spans((0, 1)), "mean")


@pytest.mark.parametrize(("step", "stop", "count"), [(0.04, 1.0, 25), (0.04, 1.001, 26), (0.1, 0.3, 3), (1.0, 0.0, 0)])
def test_a_clock_of_steps_covers_the_stretch(step: float, stop: float, count: int) -> None:
    clock = steps(step, stop)
    assert clock.shape == (count, 2) and clock.dtype == np.float32
    assert (clock[1:, 0] == clock[:-1, 1]).all()


def test_a_step_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="a step is above 0 s, found 0"):
        steps(0, 1)
