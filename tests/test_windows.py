"""Spans and snippets on sequences whose answer is known."""

from __future__ import annotations

import doctest
from typing import Literal

import numpy as np
import pytest

from pipeline import windows
from pipeline.windows import Snippets, evenly, spans


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(windows) == (0, 5)


@pytest.mark.parametrize(("length", "size", "stride", "starts"), [
    (10, 4, 3, [0, 3, 6]), (9, 4, 3, [0, 3]), (4, 4, 1, [0]), (3, 4, 1, []), (0, 1, 1, []), (5, 1, 2, [0, 2, 4])])
def test_spans_fit_whole_and_drop_the_tail(length: int, size: int, stride: int, starts: list[int]) -> None:
    found = spans(length, size, stride)
    assert found.dtype == np.int64 and found.shape == (len(starts), 2)
    assert found.tolist() == [[start, start + size] for start in starts]


@pytest.mark.parametrize(("size", "stride"), [(0, 1), (1, 0), (-1, 1)])
def test_spans_without_length_or_step_are_refused(size: int, stride: int) -> None:
    with pytest.raises(ValueError, match="size and stride are at least 1"):
        spans(10, size, stride)


@pytest.mark.parametrize("field", ["size", "hop", "most"])
def test_snippets_of_nothing_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match="size, hop and most are at least 1"):
        Snippets(**{field: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize(("num_frames", "starts"), [
    (1, [0]), (16, [0]), (23, [0]), (24, [0, 8]), (96, list(range(0, 81, 8)))])
def test_sliding_snippets_are_as_many_as_fit_and_at_least_one(num_frames: int, starts: list[int]) -> None:
    assert Snippets().spans(num_frames).tolist() == [[start, start + 16] for start in starts]


def test_too_many_sliding_snippets_are_thinned_evenly_from_first_to_last() -> None:
    starts = Snippets(most=32).spans(16 + 8 * 999)[:, 0]
    assert len(starts) == 32 and (starts[0], starts[-1]) == (0, 8 * 999)
    assert np.ptp(np.diff(starts)) <= 8


@pytest.mark.parametrize(("num_frames", "starts"), [(1, [0] * 6), (16, [0] * 6), (96, [0, 16, 32, 48, 64, 80])])
def test_six_by_sixteen_always_spreads_six(num_frames: int, starts: list[int]) -> None:
    assert Snippets("spread", most=6).spans(num_frames)[:, 0].tolist() == starts


@pytest.mark.parametrize("layout", ["sliding", "spread"])
def test_no_frames_give_no_snippets(layout: Literal["sliding", "spread"]) -> None:
    assert Snippets(layout).spans(0).shape == (0, 2) and Snippets(layout).frames(0).shape == (0,)


def test_frames_are_those_that_snippets_cover() -> None:
    assert Snippets("spread", size=2, most=2).frames(10).tolist() == [0, 1, 8, 9]
    assert Snippets(size=4, hop=4).frames(10).tolist() == list(range(8))
    assert Snippets(size=4).frames(2).tolist() == [0, 1]


def test_whole_numbers_are_even() -> None:
    assert evenly(10, 5).tolist() == [0, 3, 5, 8, 10] and evenly(10, 1).tolist() == [0] and evenly(3, 0).tolist() == []
